// The text of the configuration file: what it means, and that whatever it should not have is refused with its place.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseConfigFile } from '#src/daemon/contexts/config-file.js';

const WWW = '[context.www]\nside = "server"\ncertificate = "www.pem"\nkey = "www.key"\n';
const API = '[context.api]\nside = "client"\n';

test('a file may define nothing', () => {
  for (const text of ['', '# only a remark\n', '[context]\n'])
    assert.equal(parseConfigFile(text).contexts.size, 0);
});

test('every key is taken as it is written', () => {
  const whole = `
    passphrase_file = 'www.pass'
    ca = ["one.pem", "two.pem"]   # a remark
    alpn = [
      "h2",
      "http/1.1",
    ]
    min_version = "TLSv1.2"
    max_version = "TLSv1.3"
    ciphers = "HIGH:!aNULL"
    uids = [0, 1000]
  `;
  assert.deepEqual(
    parseConfigFile(`${WWW}${whole}\n[context."my api"]\nside = "client"\n`).contexts,
    new Map<string, object>([
      [
        'www',
        {
          side: 'server',
          certificate: 'www.pem',
          key: 'www.key',
          passphrase_file: 'www.pass',
          ca: ['one.pem', 'two.pem'],
          alpn: ['h2', 'http/1.1'],
          min_version: 'TLSv1.2',
          max_version: 'TLSv1.3',
          ciphers: 'HIGH:!aNULL',
          uids: [0, 1000],
        },
      ],
      ['my api', { side: 'client' }],
    ]),
  );
});

/** Text, and the whole message that it must give. */
const ERRORS: Readonly<Record<string, readonly [text: string, message: RegExp]>> = {
  'no TOML': ['side = \n', /^line 1, column \d+: \w/],
  'TOML that breaks off': [`${WWW}alpn = ["h2"\n`, /^line 6, column \d+: \w/],
  'a key twice': [`${WWW}side = "server"\n`, /^line 5, column \d+: /],
  'a section twice': [`${WWW}${WWW}`, /^line 5, column \d+: /],
  'an unknown section': [
    `[contexts.www]\nside = "server"\n`,
    /^line 1: \[contexts\] is not a known section; there are: context, endpoint$/,
  ],
  'a key outside': [`side = "server"\n`, /^line 1: \[side\] is not a known section/],
  'an unknown key': [
    `${WWW}certficate = "x"\n`,
    /^line 5: context\.www\.certficate is not a known key; there are: side, certificate, key, /,
  ],
  'an unknown key in two sections': [
    `${WWW}tls = 1\n${API}tls = 1\n`,
    /^context\.www\.tls is not a known key/,
  ],
  'a key that every object has': [
    `${API}constructor = 1\n`,
    /^line 3: context\.api\.constructor is not a known key/,
  ],
  'a key that no object should have': [
    `${API}__proto__ = 1\n`,
    /^line 3: context\.api\.__proto__ is not a known key/,
  ],
  'a context that is no section': [
    'context.www = 1\n',
    /^"context\.www" must be a section: \[context\.www\]$/,
  ],
  'contexts that are none': ['context = 1\n', /^"context" must be a section: \[context\.NAME\]$/],
  'a list of contexts': ['[[context]]\nside = "client"\n', /^"context" must be a section/],
  'a date for a context': ['context.www = 2026-01-01\n', /^"context\.www" must be a section/],
  'an empty name': ['[context.""]\nside = "client"\n', /^context "": a name must not be empty$/],
  'a name with a control character': ['[context."a\\tb"]\nside = "client"\n', /^context "a\\tb": .*control/],
  'a name like a handle': ['[context."tlshub1.x"]\nside = "client"\n', /^context "tlshub1\.x": .*begin/],
  'no side': ['[context.www]\n', /^context\.www: "side" is missing; it must be one of "server", "client"$/],
  'another side': [
    '[context.www]\nside = "both"\n',
    /^line 2: "context\.www\.side" must be one of "server", "client"$/,
  ],
  'a server without a key': [
    '[context.www]\nside = "server"\ncertificate = "x"\n',
    /^context\.www: a server needs "certificate" and "key"$/,
  ],
  'a client with half of it': [`${API}key = "x"\n`, /^context\.api: "certificate" and "key" go together$/],
  'a passphrase for nothing': [
    `${API}passphrase_file = "x"\n`,
    /^context\.api: "passphrase_file" is of no use/,
  ],
  'an empty path': [
    `${API}certificate = ""\nkey = ""\n`,
    /^line 3: "context\.api\.certificate" must be a path/,
  ],
  'a path that is none': [`${API}certificate = 1\nkey = "x"\n`, /"context\.api\.certificate" must be a path/],
  'one ca without brackets': [`${API}ca = "x"\n`, /^line 3: "context\.api\.ca" must be a list of paths$/],
  'an empty ca': [`${API}ca = []\n`, /"context\.api\.ca" must be a list of paths$/],
  'a ca that is no path': [`${API}ca = ["x", 1]\n`, /"context\.api\.ca" must be a list of paths$/],
  'an empty alpn': [`${API}alpn = []\n`, /"context\.api\.alpn" must be a list of protocol names/],
  'a protocol without a name': [
    `${API}alpn = [""]\n`,
    /"context\.api\.alpn" must be a list of protocol names/,
  ],
  'a protocol that is too long': [
    `${API}alpn = ["${'x'.repeat(256)}"]\n`,
    /"context\.api\.alpn" must be protocol names of at most 255/,
  ],
  'a version that Node does not know': [
    `${API}min_version = "1.2"\n`,
    /^line 3: "context\.api\.min_version" must be one of "TLSv1", /,
  ],
  'versions in the wrong order': [
    `${API}min_version = "TLSv1.3"\nmax_version = "TLSv1.2"\n`,
    /^context\.api: "min_version" is above "max_version"$/,
  ],
  'no ciphers': [`${API}ciphers = ""\n`, /"context\.api\.ciphers" must be a list of cipher suites/],
  'a user by name': [`${API}uids = ["www-data"]\n`, /"context\.api\.uids" must be a list of user ids/],
  'a negative user': [`${API}uids = [-1]\n`, /"context\.api\.uids" must be a list of user ids/],
  'half a user': [`${API}uids = [0.5]\n`, /"context\.api\.uids" must be a list of user ids/],
  'no users': [`${API}uids = []\n`, /"context\.api\.uids" must be a list of user ids/],
};

describe('what is wrong is ERR_TLSHUB_CONFIG with its place', () => {
  for (const [title, [text, message]] of Object.entries(ERRORS)) {
    test(title, () => {
      assert.throws(() => parseConfigFile(text), { code: 'ERR_TLSHUB_CONFIG', message });
    });
  }
});
