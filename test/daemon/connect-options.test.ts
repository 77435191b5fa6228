// Session keys as options of the daemon's tls.connect: the inverse of what the wrapper does, without a rest.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import tls from 'node:tls';
import fc from 'fast-check';
import { listen } from '#helpers/listen.js';
import { tempDir } from '#helpers/temp-dir.js';
import { toConnectOptions, toSecureContextOptions } from '#src/daemon/connect-options.js';
import { defaultCa } from '#src/protocol/default-ca.js';
import { canonicalSessionKey, type SessionKey } from '#src/protocol/session-key.js';
import { OPTION_RULES } from '#src/wrapper/options.js';
import { resolveRequest } from '#src/wrapper/resolve-request.js';
import { clientA, clientB } from '../wrapper/context-fixtures.js';
import { keySamples, optionsFor, pfxWithoutPassphrase } from '../wrapper/key-samples.js';

type Options = Record<string, unknown>;

/** A request as the daemon gets it, with its CA certificates. */
function received(options: object): { key: SessionKey; ca: Buffer | 'bundled' } {
  const request = resolveRequest(options);
  assert.ok(request.shared, request.shared ? '' : request.reason);
  const key = JSON.parse(JSON.stringify(request.key)) as SessionKey;
  const own = defaultCa();
  const isOwn = 'sha256' in own && own.sha256 === key.ca;
  return { key, ca: isOwn ? 'bundled' : (request.caBlob() ?? assert.fail()) };
}

function daemonOptions(options: object): Options {
  const { key, ca } = received(options);
  return allOptions(key, ca);
}

/** Of the connection and of its secure context. */
function allOptions(key: SessionKey, ca: Buffer | 'bundled'): Options {
  return { ...toSecureContextOptions(key, ca), ...toConnectOptions(key) };
}

describe('P2: the daemon connects with the options of the application', () => {
  for (const [option, sample] of Object.entries(keySamples)) {
    test(`${option}: the same meaning`, () => {
      for (const { given, daemon } of sample.meanings) {
        for (const value of given) {
          const options = daemonOptions(optionsFor(option, sample, value));
          if (option === 'checkServerIdentity' && daemon !== tls.checkServerIdentity) {
            // The application's own check runs in the wrapper, so the daemon refuses no name.
            assert.equal((options[option] as () => unknown)(), undefined);
          } else {
            assert.deepEqual(options[option], daemon);
          }
        }
      }
    });

    test(`${option}: made into a request again, the same key`, () => {
      for (const value of sample.meanings.flatMap(({ given }) => given)) {
        const { key, ca } = received(optionsFor(option, sample, value));
        const again = received(allOptions(key, ca));
        assert.equal(canonicalSessionKey(again.key), canonicalSessionKey(key));
      }
    });
  }

  test('a PFX archive without a passphrase', () => {
    for (const pfx of pfxWithoutPassphrase) {
      tls.createSecureContext(daemonOptions({ port: 1, pfx }) as tls.SecureContextOptions);
    }
  });

  test('nothing is left to the defaults of the daemon’s process', () => {
    const options = daemonOptions({ host: 'a.example', port: 443, ca: clientA.ca });
    for (const name of [
      ...['ca', 'ciphers', 'ecdhCurve', 'minVersion', 'maxVersion', 'rejectUnauthorized', 'minDHSize'],
      ...['checkServerIdentity', 'autoSelectFamily', 'autoSelectFamilyAttemptTimeout', 'family'],
    ]) {
      assert.notEqual(options[name], undefined, name);
    }
    assert.equal(options.allowHalfOpen, true);
  });

  test('the part of a secure context is the same by itself', () => {
    const { key, ca } = received({ port: 443, cert: clientA.cert, key: clientA.key, ca: clientB.ca });
    const all = allOptions(key, ca);
    const part = Object.entries(all).filter(([name]) => OPTION_RULES.get(name)?.context);
    assert.deepEqual(toSecureContextOptions(key, ca), Object.fromEntries(part));
  });

  test('the daemon’s own trust is used by leaving `ca` out', () => {
    const { key } = received({ host: 'a.example', port: 443, ca: clientA.ca });
    assert.equal('ca' in allOptions(key, 'bundled'), false);
    assert.deepEqual(allOptions(key, Buffer.alloc(0)).ca, []);
  });
});

describe('P2: a real server sees the client that the application asked for', () => {
  const server = { cert: clientB.cert, key: clientB.key, ca: clientA.ca, requestCert: true };
  const common = { ca: clientB.ca, checkServerIdentity: () => undefined };

  async function seenBy(t: TestContext, address: object, options: object): Promise<tls.TLSSocket> {
    const { key, ca } = received({ ...common, ...options, ...address });
    const client = tls.connect(allOptions(key, ca));
    t.after(() => client.destroy());
    await once(client, 'secureConnect');
    return client;
  }

  for (const [title, options] of [
    ['certificate and key', { cert: clientA.cert, key: clientA.key }],
    ['encrypted key', { cert: clientA.cert, key: clientA.encryptedKey, passphrase: clientA.passphrase }],
    [
      'encrypted key with its own passphrase, which comes before the common one',
      {
        cert: clientA.cert,
        key: [{ pem: clientA.encryptedKey, passphrase: clientA.passphrase }],
        passphrase: 'another',
      },
    ],
    ['PFX archive', { pfx: clientA.pfx, passphrase: clientA.passphrase }],
    ['PFX archive in a list', { pfx: [{ buf: clientA.pfx, passphrase: Buffer.from(clientA.passphrase) }] }],
    [
      'PFX archive in a list with the common passphrase',
      { pfx: [{ buf: clientA.pfx, passphrase: '' }], passphrase: clientA.passphrase },
    ],
  ] as [string, object][]) {
    test(title, async (t) => {
      const listener = tls.createServer(server);
      t.after(() => listener.close());
      const subject = once(listener, 'secureConnection').then(([peer]) => {
        const { CN } = (peer as tls.TLSSocket).getPeerCertificate().subject;
        (peer as tls.TLSSocket).end();
        return CN;
      });
      await seenBy(t, { port: await listen(listener) }, options);
      assert.equal(await subject, 'fixture client a');
    });
  }

  test('ALPN, SNI and a Unix socket', async (t) => {
    const path = join(tempDir(t), 's');
    const listener = tls.createServer({ ...server, requestCert: false, ALPNProtocols: ['two'] });
    t.after(() => listener.close());
    listener.listen(path);
    await once(listener, 'listening');
    const accepted = once(listener, 'secureConnection');
    const client = await seenBy(t, { path }, { ALPNProtocols: ['one', 'two'], servername: 'name.example' });
    const [peer] = (await accepted) as [tls.TLSSocket & { servername: unknown }];
    assert.equal(client.alpnProtocol, 'two');
    assert.equal(peer.servername, 'name.example');
    peer.destroy();
  });
});

/** Any session key that fits the schema, right or wrong, of a connection that goes nowhere. */
const anyKey = (() => {
  const base64 = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes).toString('base64'));
  const orNull = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: null, freq: 3 });
  const text = fc.oneof(fc.string(), fc.constantFrom('auto', 'TLSv1.2', 'ALL', 'prime256v1', '\0'));
  const integer = fc.oneof(fc.integer(), fc.maxSafeInteger());
  const list = fc.array(base64, { maxLength: 3 });
  const protectedList = fc.array(fc.record({ data: base64, passphrase: orNull(base64) }), { maxLength: 2 });
  return fc.record<SessionKey>({
    host: orNull(fc.constantFrom('127.0.0.1', '::1', '')),
    port: orNull(fc.integer({ min: 0, max: 65535 })),
    path: orNull(fc.constantFrom('/nowhere/at/all', '\0nobody', '\0', 'x'.repeat(300), '/\0')),
    family: fc.constantFrom(0, 4, 6),
    hints: orNull(integer),
    localAddress: orNull(fc.constantFrom('127.0.0.1', '::1', 'x', '')),
    localPort: orNull(integer),
    autoSelectFamily: fc.boolean(),
    autoSelectFamilyAttemptTimeout: fc.oneof(
      fc.integer({ min: 1 }),
      fc.maxSafeNat().map((value) => value + 1),
    ),
    servername: orNull(text),
    ALPNProtocols: orNull(base64),
    rejectUnauthorized: fc.boolean(),
    checkServerIdentity: fc.boolean(),
    requestOCSP: fc.boolean(),
    minDHSize: orNull(integer),
    context: fc.constant(null),
    ca: fc.constant('0'.repeat(64)),
    cert: orNull(list),
    key: orNull(protectedList),
    pfx: orNull(protectedList),
    passphrase: orNull(base64),
    crl: orNull(list),
    dhparam: orNull(base64),
    ciphers: orNull(text),
    sigalgs: orNull(text),
    ecdhCurve: orNull(text),
    minVersion: orNull(text),
    maxVersion: orNull(text),
    secureProtocol: orNull(text),
    secureOptions: orNull(integer),
    honorCipherOrder: orNull(fc.boolean()),
    sessionIdContext: orNull(text),
    sessionTimeout: orNull(integer),
    ticketKeys: orNull(base64),
    allowPartialTrustChain: orNull(fc.boolean()),
    certificateCompression: orNull(fc.array(fc.constantFrom('zlib', 'brotli', 'zstd'), { maxLength: 5 })),
  });
})();

/** All fields that a secure context would refuse. */
const plainContext: Partial<SessionKey> = {
  ...{ cert: null, key: null, pfx: null, crl: null, dhparam: null, ciphers: null, sigalgs: null },
  ...{ ecdhCurve: null, minVersion: null, maxVersion: null, secureProtocol: null, ticketKeys: null },
  ...{ sessionIdContext: null, sessionTimeout: null, certificateCompression: null },
};

describe('P14: a key that node:tls would refuse is refused, and harms nothing', () => {
  for (const [title, change] of [
    ['all fields at random', {}],
    ['a valid secure context, the rest at random', plainContext],
  ] as [string, Partial<SessionKey>][]) {
    test(title, () => {
      let connected = 0;
      fc.assert(
        fc.property(anyKey, fc.uint8Array({ maxLength: 40 }), (key, ca) => {
          try {
            const options = allOptions({ ...key, ...change }, Buffer.from(ca));
            tls
              .connect(options)
              .on('error', () => undefined)
              .destroy();
            connected += 1;
          } catch (error) {
            assert.ok(error instanceof Error);
          }
        }),
        { numRuns: 300 },
      );
      assert.ok(connected > 0 || Object.keys(change).length === 0);
    });
  }

  test('a path that does not fit, for which tls.connect emits an error that nobody can listen to', () => {
    const { key } = received({ path: '/run/a.sock', servername: 'a.example' });
    for (const path of ['', '\0', '/a\0b', '\0a\0', `/${'x'.repeat(107)}`, `/${'ä'.repeat(54)}`]) {
      assert.throws(() => allOptions({ ...key, path }, 'bundled'), { code: 'ERR_TLSHUB_INVALID_CALL' });
    }
    assert.equal(allOptions({ ...key, path: '\0a' }, 'bundled').path, '\0a');
  });

  test('a malformed ALPN list, for which several versions of Node end the process', () => {
    const { key } = received({ host: 'a.example', port: 443 });
    for (const list of [[0], [2, 0x68], [1, 0x68, 0], [255]]) {
      const ALPNProtocols = Buffer.from(list).toString('base64');
      assert.throws(() => allOptions({ ...key, ALPNProtocols }, 'bundled'), {
        code: 'ERR_TLSHUB_INVALID_CALL',
      });
    }
  });
});
