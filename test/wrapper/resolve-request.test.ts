// Session keys of requests: walks the options of the key, and compares with node:tls what may be shared at all.
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import tls from 'node:tls';
import * as v from 'valibot';
import { canonicalSessionKey, type SessionKey, sessionKeySchema } from '#src/protocol/session-key.js';
import { resolveRequest, type SharedRequest } from '#src/wrapper/resolve-request.js';
import { createSecureContext } from '#src/wrapper/secure-context.js';
import { clientA, clientB } from './context-fixtures.js';
import { keySamples, optionsFor, pfxWithoutPassphrase } from './key-samples.js';
import { ODD_VALUES } from './odd-values.js';

const BASE = { host: 'a.example', port: 443 };

function shared(options: object): SharedRequest {
  const request = resolveRequest(options);
  assert.ok(request.shared, request.shared ? '' : request.reason);
  return request;
}

function keyOf(options: object): SessionKey {
  return shared(options).key;
}

function reasonOf(options: object): string {
  const request = resolveRequest(options);
  assert.ok(!request.shared, 'is shared');
  return request.reason;
}

describe('P2: options of the session key', () => {
  for (const [option, sample] of Object.entries(keySamples)) {
    test(`${option}: equal contents give equal keys, different ones different keys`, () => {
      const canonical = sample.meanings.map(({ given }) => {
        const keys = given.map((value) => canonicalSessionKey(keyOf(optionsFor(option, sample, value))));
        const unlike = keys.findIndex((key) => key !== keys[0]);
        assert.equal(unlike, -1, `value ${unlike} means something else than the first of its group`);
        return keys[0];
      });
      assert.equal(new Set(canonical).size, sample.meanings.length);
    });

    test(`${option}: its keys fit the schema of the wire`, () => {
      for (const value of sample.meanings.flatMap(({ given }) => given)) {
        const sent = JSON.parse(JSON.stringify(keyOf(optionsFor(option, sample, value))));
        assert.deepEqual(v.parse(sessionKeySchema, sent), sent);
      }
    });
  }

  test('a PFX archive without a passphrase', () => {
    const keys = pfxWithoutPassphrase.map((pfx) => canonicalSessionKey(keyOf({ ...BASE, pfx })));
    assert.equal(new Set(keys).size, 1);
  });

  test('values are taken at the time of the call: buffers changed afterwards do not change the key', () => {
    const cert = Buffer.from(clientA.cert);
    const ca = Buffer.from(clientA.ca);
    const { key, caBlob } = shared({ ...BASE, cert, ca });
    const before = canonicalSessionKey(key);
    cert.set(Buffer.from(clientB.cert));
    ca.set(Buffer.from(clientB.ca));
    assert.equal(canonicalSessionKey(key), before);
    assert.deepEqual(caBlob(), Buffer.from(clientA.ca));
    assert.equal(
      canonicalSessionKey(keyOf({ ...BASE, cert, ca })),
      canonicalSessionKey(keyOf({ ...BASE, cert: clientB.cert, ca: clientB.ca })),
    );
  });

  test('a getter is asked once, and only own enumerable options count', () => {
    let asked = 0;
    const options = Object.create(
      { servername: 'inherited.example' },
      {
        host: { enumerable: true, get: () => `host${++asked}.example` },
        port: { enumerable: true, value: 443 },
        path: { enumerable: false, value: '/run/a.sock' },
      },
    );
    const key = keyOf(options);
    assert.equal(key.host, 'host1.example');
    assert.equal(key.servername, null);
    assert.equal(key.path, null);
    assert.equal(asked, 1);
  });

  test('with a path the host is only the name to check, and the port does not matter', () => {
    const key = keyOf({ path: '/run/a.sock', host: 'a.example', port: 443 });
    assert.deepEqual([key.path, key.host, key.port], ['/run/a.sock', 'a.example', null]);
    assert.equal(keyOf({ path: '/run/a.sock', port: 80 }).host, null);
  });
});

describe('what the wrapper keeps to itself', () => {
  test('settings of the socket, as given', () => {
    const { signal } = new AbortController();
    const onread = { buffer: Buffer.alloc(1), callback: () => true };
    const { local, socket } = shared({
      ...BASE,
      servername: 'name.example',
      ...{ allowHalfOpen: true, highWaterMark: 5, onread, timeout: 7, signal, rejectUnauthorized: false },
      ...{ noDelay: 1, keepAlive: true, keepAliveInitialDelay: 1500.7 },
    });
    assert.deepEqual(local, {
      ...{ allowHalfOpen: true, highWaterMark: 5, onread, timeout: 7, signal, rejectUnauthorized: false },
      checkServerIdentity: undefined,
      identity: 'name.example',
      requested: { host: 'a.example', port: 443, path: undefined, localAddress: undefined },
    });
    assert.deepEqual(socket, { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1500 });
    assert.deepEqual(shared(BASE).socket, {});
    assert.deepEqual(shared({ ...BASE, keepAliveInitialDelay: -1 }).socket, { keepAliveInitialDelay: 0 });
  });

  test('the name to check is the servername, else the host, else localhost', () => {
    assert.equal(shared({ ...BASE, servername: '' }).local.identity, 'a.example');
    assert.equal(shared({ path: '/run/a.sock' }).local.identity, 'localhost');
  });

  test('the application’s own check of the name', () => {
    const check = () => undefined;
    assert.equal(shared({ ...BASE, checkServerIdentity: check }).local.checkServerIdentity, check);
    const nodes = shared({ ...BASE, checkServerIdentity: tls.checkServerIdentity });
    assert.equal(nodes.local.checkServerIdentity, undefined);
  });
});

describe('requests that are left to node:tls, with a reason', () => {
  for (const [title, options, reason] of [
    ['no port and no path', { host: 'a.example' }, /neither a port nor a path/],
    ['a port that is none', { ...BASE, port: 65536 }, /"port"/],
    ['an IP address as servername', { ...BASE, servername: '127.0.0.1' }, /"servername"/],
    [
      'undefined as checkServerIdentity',
      { ...BASE, checkServerIdentity: undefined },
      /"checkServerIdentity"/,
    ],
    ['undefined as minDHSize', { ...BASE, minDHSize: undefined }, /"minDHSize"/],
    [
      'an empty ALPN name, which ends the process in some versions',
      { ...BASE, ALPNProtocols: [''] },
      /"ALPN/,
    ],
    ['too many ALPN names', { ...BASE, ALPNProtocols: Array(300).fill('x'.repeat(255)) }, /"ALPN/],
    ['ALPN names cut short', { ...BASE, ALPNProtocols: Buffer.from([9, 1]) }, /"ALPNProtocols"/],
    ['a key of another certificate', { ...BASE, cert: clientA.cert, key: clientB.key }, /^invalid options: /],
    ['a wrong passphrase', { ...BASE, key: clientA.encryptedKey, passphrase: 'x' }, /^invalid options: /],
    ['no cipher', { ...BASE, ciphers: 'NONE-SUCH' }, /^invalid options: /],
    ['no curve', { ...BASE, ecdhCurve: 'none-such' }, /^invalid options: /],
    [
      'a contradiction',
      { ...BASE, secureProtocol: 'TLS_method', minVersion: 'TLSv1.2' },
      /protocol versions/,
    ],
    ['a method of servers', { ...BASE, secureProtocol: 'TLS_server_method' }, /"secureProtocol"/],
    ['a CA that is no text', { ...BASE, ca: Buffer.from([0x30, 0x82, 0, 1]) }, /not a PEM text/],
    ['a path too long when absolute', { path: `${'x'.repeat(100)}.sock` }, /does not fit/],
    ['a path with a zero byte inside', { path: '/a\0b' }, /does not fit/],
    ['no path but a zero byte', { path: '\0' }, /does not fit/],
    ['a foreign secure context', { ...BASE, secureContext: tls.createSecureContext() }, /"secureContext"/],
  ] as const) {
    test(title, () => assert.match(reasonOf(options), reason));
  }

  test('a getter that throws', () => {
    const options = {
      get host(): string {
        throw new Error('no host today');
      },
    };
    assert.equal(reasonOf(options), 'the options cannot be read: no host today');
  });

  test('what node:tls takes as text only, even after the same contents were shared as text', () => {
    keyOf({ ...BASE, key: clientA.encryptedKey, passphrase: clientA.passphrase });
    const passphrase = Buffer.from(clientA.passphrase);
    assert.match(reasonOf({ ...BASE, key: clientA.encryptedKey, passphrase }), /"passphrase"/);
    keyOf({ ...BASE, dhparam: 'auto' });
    assert.match(reasonOf({ ...BASE, dhparam: Buffer.from('auto') }), /"dhparam"/);
  });

  test('a private key or passphrase is never in the reason', () => {
    const reason = reasonOf({ ...BASE, cert: clientB.cert, key: clientA.encryptedKey, passphrase: 'geheim' });
    assert.doesNotMatch(reason, /geheim|PRIVATE|MI[A-Z]/);
  });
});

describe('P4: nothing is shared that node:tls refuses', () => {
  for (const option of [
    ...Object.keys(keySamples),
    ...['allowHalfOpen', 'highWaterMark', 'onread', 'signal', 'timeout', 'session'],
    ...['noDelay', 'keepAlive', 'keepAliveInitialDelay', 'enableTrace', 'lookup', 'pskCallback', 'socket'],
  ]) {
    test(`${option} with values of all kinds`, () => {
      let left = 0;
      for (const value of ODD_VALUES) {
        const options = { host: '127.0.0.1', port: 1, [option]: value } as tls.ConnectionOptions;
        if (!resolveRequest(options).shared) {
          left += 1;
          continue;
        }
        // A secure context by node:tls itself, so that this is the judge.
        const socket = tls.connect(options);
        socket.on('error', () => undefined).destroy();
      }
      const takesAnything = /^(allowHalfOpen|onread|noDelay|keepAlive|(rejectU|requestO|honor|allowP).*)$/;
      assert.equal(left === 0, takesAnything.test(option), `${left} of ${ODD_VALUES.length} were left`);
    });
  }
});

describe('secureContext', () => {
  test('takes the place of the options that it was made of, as in node:tls', () => {
    const secureContext = createSecureContext({ ca: clientA.ca, minVersion: 'TLSv1.3' });
    const key = keyOf({ ...BASE, secureContext, ca: clientB.ca, minVersion: 'TLSv9', servername: 'x' });
    const plain = keyOf({ ...BASE, ca: clientA.ca, minVersion: 'TLSv1.3', servername: 'x' });
    assert.equal(canonicalSessionKey(key), canonicalSessionKey(plain));
    assert.deepEqual(shared({ ...BASE, secureContext }).caBlob(), Buffer.from(clientA.ca));
  });

  test('and paths, relative to the directory of the process, become absolute', () => {
    assert.equal(keyOf({ path: 'run/a.sock' }).path, resolve('run/a.sock'));
  });
});
