// The sections of endpoints: what they come to, and that every mistake is told with its place.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfigFile } from '#src/daemon/contexts/config-file.js';
import { endpointSettings } from '#src/daemon/endpoint/endpoint-file.js';
import { authorityOf, targetOf } from '#src/daemon/endpoint/endpoint-settings.js';
import { resolveRequest } from '#src/wrapper/resolve-request.js';

const WHOLE = '[endpoint.a]\nlisten = "127.0.0.1:9000"\nto = "api.example:443"\n';

function settings(text: string) {
  const definition = parseConfigFile(`${text}context = "x"\n`).endpoints.get('a');
  assert.ok(definition);
  return endpointSettings(definition, '/etc/tlshub', undefined);
}

test('what is left out has its default, and the key is that of a request of a process', () => {
  const { key, place, kind, keepHost, unsafeListen } = settings(WHOLE);
  assert.deepEqual(place, { host: '127.0.0.1', port: 9000, path: null });
  assert.deepEqual([kind, keepHost, unsafeListen], ['raw', false, false]);
  assert.deepEqual(
    [key.host, key.port, key.servername, key.context],
    ['api.example', 443, 'api.example', 'x'],
  );
  assert.deepEqual([key.ALPNProtocols, key.rejectUnauthorized, key.cert], [null, true, null]);
  assert.deepEqual([targetOf(key), authorityOf(key)], ['api.example:443', 'api.example']);
});

test('P2: the key is, field by field, that of a process that names the same context', () => {
  for (const [to, servername] of [
    ['api.example:443', 'api.example'],
    ['[::1]:8443', ''],
  ] as const) {
    const { key } = settings(WHOLE.replace('api.example:443', to));
    const request = resolveRequest({ host: key.host ?? '', port: key.port ?? 0, servername }, 'x');
    assert.ok(request.shared);
    assert.deepEqual(key, request.key);
  }
});

test('paths are relative to the file, an IP address sends no name, http asks for HTTP/1.1', () => {
  const { key, place } = settings(
    '[endpoint.a]\nlisten = "unix:api.sock"\nto = "[::1]:8443"\nkind = "http"\n',
  );
  assert.deepEqual(place, { host: null, port: null, path: '/etc/tlshub/api.sock' });
  assert.deepEqual([key.host, key.servername], ['::1', null]);
  assert.equal(Buffer.from(key.ALPNProtocols ?? '', 'base64').toString(), '\bhttp/1.1');
  assert.equal(authorityOf(key), '[::1]:8443');
  const named = settings(`${WHOLE}servername = "other.example"\n`);
  assert.equal(authorityOf(named.key), 'other.example');
});

const MISTAKES: readonly [text: string, message: RegExp][] = [
  ['[endpoint.a]\nto = "x:1"\n', /endpoint\.a: "listen" is missing; it must be an address or a path/],
  ['[endpoint.a]\nlisten = "127.0.0.1:1"\n', /endpoint\.a: "to" is missing/],
  [WHOLE.replace('443', 'https'), /line 3: "endpoint\.a\.to" must be an address/],
  [`${WHOLE}kind = "tcp"\n`, /line 4: "endpoint\.a\.kind" must be one of "raw", "http"/],
  [`${WHOLE}lisen = 1\n`, /line 4: endpoint\.a\.lisen is not a known key; there are: listen, to, kind,/],
  [`${WHOLE}keep_host = "yes"\n`, /"endpoint\.a\.keep_host" must be true or false/],
  [`${WHOLE}keep_host = true\n`, /"keep_host" is for kind "http"/],
  [`${WHOLE}kind = "http"\nalpn = ["h2"]\n`, /"alpn" is for kind "raw"/],
  [`${WHOLE}certificate = "c.pem"\n`, /"certificate" and "key" go together/],
  [`${WHOLE}ca = ["ca.pem"]\ncontext = "x"\n`, /"context" and "ca" exclude each other/],
  ['[endpoint]\na = 1\n', /"endpoint\.a" must be a section: \[endpoint\.a\]/],
  ['[endpoints.a]\n', /\[endpoints\] is not a known section; there are: context, endpoint/],
];

test('a mistake is ERR_TLSHUB_CONFIG with its place', () => {
  for (const [text, message] of MISTAKES)
    assert.throws(() => parseConfigFile(text), { code: 'ERR_TLSHUB_CONFIG', message }, text);
});

test('P10: an address that other hosts reach is refused unless the file says so', () => {
  for (const listen of ['0.0.0.0:1', '[::]:1', '192.0.2.1:1', 'name:1', '', '127.0.0.1:70000', 'unix:'])
    assert.throws(
      () => settings(WHOLE.replace('127.0.0.1:9000', listen)),
      { code: 'ERR_TLSHUB_CONFIG' },
      listen,
    );
  const open = settings(`${WHOLE.replace('127.0.0.1', '0.0.0.0')}unsafe_listen = true\n`);
  assert.equal(open.unsafeListen, true);
});
