// TLSHUB_SHARE: which texts mean what, and which mean nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseServerPolicy, parseSharePolicy, type ShareTarget } from '#src/wrapper/share-policy.js';

/** `host`, `host:port` or a path, as the target of a connection; the port is 443 where none is given. */
function target(text: string): ShareTarget {
  if (text.startsWith('/')) return { path: text };
  const [host, port = 443] = /^(.*[^:]):(\d+)$/.exec(text)?.slice(1) ?? [text];
  return { host, port };
}

/** Policies, what they share, and what they do not. */
const CASES: readonly (readonly [policy: string | undefined, shared: string[], others: string[]])[] = [
  [undefined, ['api.example.com', '/run/socket'], []],
  ['', ['api.example.com'], []],
  [' ', ['api.example.com'], []],
  ['all', ['api.example.com', '/run/socket'], []],
  ['ALL', ['api.example.com'], []],
  ['*', ['api.example.com', '/run/socket'], []],
  ['off', [], ['api.example.com', '/run/socket', 'off']],
  ['none', [], ['api.example.com', 'none']],
  ['None', [], ['api.example.com']],
  [
    'api.example.com',
    ['api.example.com', 'API.Example.COM', 'api.example.com.', 'api.example.com:8443'],
    [
      'example.com',
      'xapi.example.com',
      'api.example.com.evil.test',
      'v1.api.example.com',
      'apixexample.com',
      '/run/socket',
    ],
  ],
  ['API.example.com.', ['api.example.com'], []],
  [
    '*.example.com',
    ['api.example.com', 'a.b.example.com'],
    ['example.com', '.example.com', 'notexample.com'],
  ],
  ['api.example.com:8443', ['api.example.com:8443'], ['api.example.com', 'api.example.com:844']],
  ['*:8443', ['any.test:8443'], ['any.test', '/run/socket']],
  ['a.test, b.test:1 ,*.c.test', ['a.test', 'b.test:1', 'x.c.test'], ['b.test', 'c.test']],
  ['!a.test', ['b.test', 'x.a.test', '/run/socket'], ['a.test', 'a.test:1']],
  ['!*.a.test,!b.test:1', ['a.test', 'b.test'], ['x.a.test', 'b.test:1']],
  ['*.a.test,!x.a.test', ['y.a.test'], ['x.a.test', 'b.test']],
  ['!x.a.test,*.a.test', ['y.a.test'], ['x.a.test']],
  ['all,!a.test', ['b.test'], ['a.test']],
  ['! a.test', ['b.test'], ['a.test']],
  ['!all', [], ['a.test', '/run/socket']],
  ['127.0.0.1', ['127.0.0.1', '127.0.0.1:1'], ['127.0.0.10', 'localhost']],
  ['[::1]', ['::1'], ['::11', '127.0.0.1']],
  ['[::1]:443', ['::1:443'], ['::1:444']],
  ['localhost', ['localhost'], ['127.0.0.1']],
  ['bücher.test', ['bücher.test', 'xn--bcher-kva.test', 'BÜCHER.test'], ['bucher.test']],
  ['my_host', ['my_host'], ['my-host']],
];

for (const [policy, shared, others] of CASES) {
  test(`TLSHUB_SHARE=${policy}`, () => {
    const { shares, sharesNothing } = parseSharePolicy(policy);
    assert.deepEqual(
      shared.filter((text) => !shares(target(text))),
      [],
      'not shared',
    );
    assert.deepEqual(
      others.filter((text) => shares(target(text))),
      [],
      'shared',
    );
    if (shared.length > 0) assert.equal(sharesNothing, false);
  });
}

test('without a host the target is localhost, as for tls.connect', () => {
  const { shares } = parseSharePolicy('localhost:8443');
  assert.deepEqual(
    [{ port: 8443 }, { port: '8443' }, { host: '', port: 8443 }, { port: 443 }].map((target) =>
      shares(target),
    ),
    [true, true, true, false],
  );
});

const MALFORMED = [
  ...[',', 'a.test,', 'a.test,,b.test', '!', '!!a.test', 'https://a.test', 'a.test/path', 'user@a.test'],
  ...[
    'a.test:',
    'a.test:0',
    'a.test:65536',
    'a.test:https',
    'a.*.test',
    'a*',
    '**',
    '*.',
    '*.*',
    '::1',
    '[::1',
    'a b',
  ],
  ...['off,a.test', 'a.test,none', '!off', 'a.test;b.test'],
];

for (const policy of MALFORMED) {
  test(`TLSHUB_SHARE=${policy} is refused`, () => {
    assert.throws(() => parseSharePolicy(policy), {
      code: 'ERR_TLSHUB_INVALID_OPTION',
      message: /TLSHUB_SHARE/,
    });
  });
}

test('TLSHUB_SHARE_SERVERS: off unless it says otherwise, all, or a list of ports', () => {
  for (const text of [undefined, '', ' ', 'off', 'none', 'OFF']) {
    const policy = parseServerPolicy(text);
    assert.deepEqual(
      [policy.sharesNothing, policy.sharesPort(443), policy.sharesPort(null)],
      [true, false, false],
    );
  }
  for (const text of ['all', ' All ']) {
    const policy = parseServerPolicy(text);
    assert.deepEqual(
      [policy.sharesNothing, policy.sharesPort(443), policy.sharesPort(null)],
      [false, true, true],
    );
  }
  const policy = parseServerPolicy('443, 8443');
  assert.equal(policy.sharesNothing, false);
  assert.deepEqual(
    [443, 8443, 80, 0, null].map((port) => policy.sharesPort(port)),
    [true, true, false, false, false],
  );
});

test('TLSHUB_SHARE_SERVERS: what is no port is an error', () => {
  for (const text of [
    '0',
    '65536',
    '443,',
    ',',
    '443 8443',
    'all,443',
    '-1',
    '4.5',
    '*',
    'localhost:443',
    '!443',
    '0x1bb',
  ]) {
    assert.throws(() => parseServerPolicy(text), { code: 'ERR_TLSHUB_INVALID_OPTION' }, text);
  }
});
