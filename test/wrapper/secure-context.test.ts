// createSecureContext: Node's own in every respect, and remembered until something changes it natively.
import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { listen } from '#helpers/listen.js';
import { isUnshareable } from '#src/wrapper/context-key.js';
import { createSecureContext, describeSecureContext } from '#src/wrapper/secure-context.js';
import { clientA, clientB } from './context-fixtures.js';

type Native = Record<string, (...args: unknown[]) => unknown>;

function nativeOf(context: tls.SecureContext): Native {
  return (context as unknown as { context: Native }).context;
}

function reasonOf(context: unknown): string | undefined {
  const description = describeSecureContext(context);
  return isUnshareable(description) ? description.reason : undefined;
}

/** The common name that a server sees in the certificate of a client with this context. */
async function seenByServer(t: TestContext, secureContext: tls.SecureContext): Promise<unknown> {
  const server = tls.createServer({
    ...{ cert: clientB.cert, key: clientB.key, ca: clientA.ca, requestCert: true },
    secureContext: undefined,
  } as tls.TlsOptions);
  t.after(() => server.close());
  const port = await listen(server);
  const client = tls.connect({ port, secureContext, checkServerIdentity: () => undefined });
  const [peer] = (await once(server, 'secureConnection')) as [tls.TLSSocket];
  if (!client.authorized) await once(client, 'secureConnect');
  const { CN } = peer.getPeerCertificate().subject;
  client.destroy();
  peer.destroy();
  return CN;
}

describe('P4: createSecureContext is that of node:tls', () => {
  const options = { ca: clientB.ca, cert: clientA.cert, key: clientA.key };

  test('its contexts are SecureContexts, and connections are made with them', async (t) => {
    const context = createSecureContext(options);
    assert.equal(Object.getPrototypeOf(context), Object.getPrototypeOf(tls.createSecureContext()));
    assert.deepEqual(Object.keys(context), ['context']);
    assert.equal(await seenByServer(t, context), 'fixture client a');
    assert.equal(reasonOf(context), undefined, 'a connection made with it changes nothing');
  });

  test('it throws the same', () => {
    for (const wrong of [
      { cert: 'x' },
      { minVersion: 'TLSv9' },
      { ciphers: 5 },
      5,
      { sigalgs: '' },
    ] as never[]) {
      const thrown = (create: typeof tls.createSecureContext) => {
        try {
          return create(wrong) && undefined;
        } catch (error) {
          const { code, message, name } = error as NodeJS.ErrnoException;
          return { code, message, name };
        }
      };
      assert.deepEqual(thrown(createSecureContext), thrown(tls.createSecureContext));
    }
  });
});

describe('P2: a context crosses by what it was made of', () => {
  test('contents are copied when it is made', () => {
    const cert = Buffer.from(clientA.cert);
    const context = createSecureContext({ cert });
    cert.fill(0);
    const description = describeSecureContext(context);
    assert.ok(!isUnshareable(description));
    assert.deepEqual(description.key.cert, [Buffer.from(clientA.cert).toString('base64')]);
  });

  test('one of node:tls, or something else, does not', () => {
    for (const foreign of [tls.createSecureContext(), {}, { context: {} }, 5, 'x']) {
      assert.match(reasonOf(foreign) ?? '', /was not made by createSecureContext of tlshub/);
    }
  });

  test('one made of options with an unknown name, or of inherited ones, does not', () => {
    const unknown = createSecureContext({ unheardOf: 1 } as tls.SecureContextOptions);
    assert.equal(reasonOf(unknown), 'option "secureContext": option "unheardOf" is not known to tlshub');
    const inherited = createSecureContext(Object.create({ ca: clientA.ca }) as tls.SecureContextOptions);
    assert.match(reasonOf(inherited) ?? '', /inherit/);
  });

  test('options of connections, which node:tls does not read here, do not matter', () => {
    const options = {
      host: 'a.example',
      port: 99_999,
      socket: {},
      lookup: () => undefined,
      cert: clientA.cert,
    };
    assert.equal(reasonOf(createSecureContext(options as tls.SecureContextOptions)), undefined);
  });

  test('one that node:tls makes for a single connection of its own is not remembered', () => {
    const context = createSecureContext({ singleUse: true } as tls.SecureContextOptions);
    assert.match(reasonOf(context) ?? '', /was not made/);
  });
});

describe('P5: a context that was changed natively does not cross', () => {
  for (const [name, ...args] of [
    ['addCACert', clientB.ca],
    ['addCRL', clientA.crl],
    ['addRootCerts'],
    ['setCert', clientA.cert],
    ['setKey', clientA.key],
    ['setCiphers', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
    ['setCipherSuites', 'TLS_AES_128_GCM_SHA256'],
    ['setECDHCurve', 'prime256v1'],
    ['setMinProto', 0x0304],
    ['setMaxProto', 0x0303],
    ['setOptions', constants.SSL_OP_NO_TICKET],
    ['setSessionIdContext', 'x'],
    ['setSessionTimeout', 5],
    ['loadPKCS12', clientA.pfx, Buffer.from(clientA.passphrase)],
    ['close'],
  ] as [string, ...unknown[]][]) {
    test(`by ${name}`, () => {
      const context = createSecureContext({ ca: clientA.ca });
      const other = createSecureContext({ ca: clientA.ca });
      assert.equal(reasonOf(context), undefined);
      nativeOf(context)[name]?.(...args);
      assert.equal(reasonOf(context), 'option "secureContext" was changed after it was made');
      assert.equal(reasonOf(other), undefined);
    });
  }

  test('by another native part', () => {
    const context = createSecureContext();
    Object.assign(context, { context: nativeOf(createSecureContext()) });
    assert.match(reasonOf(context) ?? '', /was changed/);
  });

  test('the change is made as it is without tlshub', () => {
    const native = nativeOf(createSecureContext({ minVersion: 'TLSv1.2' }));
    native.setMinProto?.(0x0304);
    assert.equal(native.getMinProto?.(), 0x0304);
    assert.throws(() => native.setCiphers?.('NONE-SUCH'), { code: 'ERR_SSL_NO_CIPHER_MATCH' });
  });

  test('questions change nothing', () => {
    const context = createSecureContext({ cert: clientA.cert, key: clientA.key });
    const native = nativeOf(context);
    for (const name of ['getMinProto', 'getMaxProto', 'getTicketKeys', 'getCertificate', 'getIssuer']) {
      native[name]?.();
    }
    assert.equal(reasonOf(context), undefined);
  });

  test('every native member of this Node is watched, but for the questions', () => {
    const prototype = Object.getPrototypeOf(nativeOf(tls.createSecureContext())) as object;
    const watcher = Object.getPrototypeOf(nativeOf(createSecureContext())) as object;
    assert.equal(Object.getPrototypeOf(watcher), prototype);
    const unwatched = Reflect.ownKeys(prototype).filter((name) => !Object.hasOwn(watcher, name));
    assert.deepEqual(
      unwatched.filter((name) => !/^(constructor|get[A-Z]\w+)$/.test(String(name))),
      [],
    );
  });
});
