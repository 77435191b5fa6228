// What a socket tells about its TLS session: certificates, cipher, keys, addresses. A shared socket answers as a
// direct one does, before the handshake, after it, and after the end; and as the server sees it.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { before, describe, test } from 'node:test';
import type { ConnectionOptions, DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import { type CountingOrigin, countingOrigin, type OriginOptions } from '#helpers/counting-origin.js';
import { fileScope, type Scope } from '#helpers/scope.js';
import { closed, exchange, opened } from '#helpers/streams.js';
import { waitFor } from '#helpers/wait-for.js';
import { connectAs, MODES, type Mode, useTestDaemon } from './both-ways.ts';
import { makeTestPki, type TestPki } from './test-pki.ts';

let pki: TestPki;
const scope = fileScope();
before(async () => {
  pki = await makeTestPki();
  await useTestDaemon(scope);
});

interface Case {
  origin: (pki: TestPki) => OriginOptions;
  options: (pki: TestPki) => ConnectionOptions;
}

const chained = (tls: OriginOptions['tls']) => (made: TestPki) => ({
  ...made.intermediate,
  cert: made.intermediate.chain,
  tls,
});
const trusting = (more: ConnectionOptions) => (made: TestPki) => ({ ca: made.ca.cert, ...more });

const cases: Record<string, Case> = {
  'TLSv1.3, EC, chain of three': { origin: chained({ minVersion: 'TLSv1.3' }), options: trusting({}) },
  'TLSv1.2, EC, chain of three': { origin: chained({ maxVersion: 'TLSv1.2' }), options: trusting({}) },
  'TLSv1.3, RSA, ALPN and server name': {
    origin: (made) => ({ ...made.rsa, tls: { ALPNProtocols: ['one', 'two'] } }),
    options: trusting({ ALPNProtocols: ['two', 'one'], servername: 'localhost' }),
  },
  'TLSv1.2, RSA': {
    origin: (made) => ({ ...made.rsa, tls: { maxVersion: 'TLSv1.2' } }),
    options: trusting({ servername: 'localhost' }),
  },
  'TLSv1.2, RSA key exchange': {
    origin: (made) => ({ ...made.rsa, tls: { maxVersion: 'TLSv1.2' } }),
    options: trusting({ ciphers: 'AES128-GCM-SHA256' }),
  },
  'TLSv1.2, DHE': {
    origin: (made) => ({ ...made.rsa, tls: { maxVersion: 'TLSv1.2', dhparam: 'auto' } }),
    options: trusting({ ciphers: 'DHE-RSA-AES128-GCM-SHA256' }),
  },
  'TLSv1.3, P-384 and AES-128': {
    origin: (made) => ({ ...made.good, tls: { ecdhCurve: 'P-384' } }),
    options: trusting({ ecdhCurve: 'P-384', ciphers: 'TLS_AES_128_GCM_SHA256' }),
  },
  'the root is in the chain': {
    origin: (made) => ({ ...made.intermediate, cert: made.intermediate.chain + made.ca.cert }),
    options: trusting({}),
  },
  'no issuer is known, tolerated': {
    origin: (made) => made.good,
    options: (made) => ({ ca: made.strangeCa.cert, rejectUnauthorized: false }),
  },
  'self-signed, tolerated': {
    origin: (made) => made.selfSigned,
    options: trusting({ rejectUnauthorized: false }),
  },
  'a client certificate of ours': {
    origin: (made) => ({
      ...made.good,
      tls: { requestCert: true, rejectUnauthorized: true, ca: made.ca.cert },
    }),
    options: (made) => ({ ca: made.ca.cert, cert: made.client.cert, key: made.client.key }),
  },
};

describe('P4: a shared socket tells about its session what a direct one tells', () => {
  for (const [title, { origin, options }] of Object.entries(cases)) {
    test(title, async (t) => {
      const [direct, shared] = await inBothModes(async (mode) => {
        const { server, socket } = await connectTo(t, mode, origin(pki), options(pki));
        const early = describeConnection(socket);
        await opened(socket);
        const secure = describeSocket(socket);
        assert.equal(await exchange(socket, 'hello'), 'ok hello');
        const used = describeSocket(socket);
        const peer = [...server.sockets][0];
        assert.equal(socket.localPort, peer?.remotePort);
        assert.deepEqual(socket.getFinished(), peer?.getPeerFinished());
        assert.deepEqual(socket.getPeerFinished(), peer?.getFinished());
        socket.destroy();
        const destroyed = describeSocket(socket);
        await closed(socket);
        return { early, secure, used, destroyed, over: describeSocket(socket) };
      });
      assert.deepEqual(shared, direct);
    });
  }

  test('getPeerCertificate(true) ends in a root that is its own issuer', async (t) => {
    for (const mode of MODES) {
      const { socket } = await connectTo(t, mode, chained({})(pki), trusting({})(pki));
      await opened(socket);
      const leaf = socket.getPeerCertificate(true);
      const root = leaf.issuerCertificate.issuerCertificate;
      assert.equal(root.subject.CN, 'Test root', mode);
      assert.equal(root.issuerCertificate, root, mode);
      socket.destroy();
    }
  });

  for (const [title, { origin, options }] of Object.entries(cases)) {
    // Node up to 24 forgets the peer's chain when it is asked this, so it is the only question.
    test(`getPeerX509Certificate(): ${title}`, async (t) => {
      const [direct, shared] = await inBothModes(async (mode) => {
        const { socket } = await connectTo(t, mode, origin(pki), options(pki));
        const early = socket.getPeerX509Certificate();
        await opened(socket);
        const leaf = socket.getPeerX509Certificate();
        assert.ok(leaf instanceof X509Certificate, mode);
        socket.destroy();
        return { early, chain: describeX509(leaf), over: socket.getPeerX509Certificate() };
      });
      assert.deepEqual(shared, direct);
    });
  }

  test('own check is given the host and the same certificate', async (t) => {
    const [direct, shared] = await inBothModes(async (mode) => {
      const asked: unknown[] = [];
      const checkServerIdentity = (host: string, cert: PeerCertificate): undefined => {
        asked.push(host, describeChain(cert as DetailedPeerCertificate));
      };
      const { socket } = await connectTo(t, mode, chained({})(pki), {
        ...trusting({ servername: 'whatever.test' })(pki),
        checkServerIdentity,
      });
      await opened(socket);
      socket.destroy();
      return asked;
    });
    assert.equal(direct?.[0], 'whatever.test');
    assert.deepEqual(shared, direct);
  });
});

describe('P4: exportKeyingMaterial gives what the server computes', () => {
  const requests: [length: number, label: string, context: Buffer | undefined][] = [
    [32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)],
    [32, 'EXPORTER-Channel-Binding', undefined],
    [16, 'EXPORTER-Channel-Binding', Buffer.alloc(0)],
    [64, 'EXPORTER-Test-Label', Buffer.from('context')],
    [1, 'EXPORTER-Test-Label', undefined],
  ];
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const mode of MODES) {
      test(`${version}, ${mode}`, async (t) => {
        const tls = { minVersion: version, maxVersion: version };
        const { server, socket } = await connectTo(t, mode, { ...pki.good, tls }, trusting({})(pki));
        await opened(socket);
        await exchange(socket, 'hello');
        const peer = [...server.sockets][0];
        for (const [length, label, context] of requests) {
          const ours = exportOf(socket, length, label, context);
          assert.deepEqual(ours, exportOf(peer, length, label, context), `${label}, ${length}`);
        }
        socket.destroy();
      });
    }
  }

  test('wrong arguments and states are refused alike', async (t) => {
    const [direct, shared] = await inBothModes(async (mode) => {
      // TLS 1.2 reserves some labels, TLS 1.3 none.
      const origin = { ...pki.good, tls: { maxVersion: 'TLSv1.2' } } as const;
      const { socket } = await connectTo(t, mode, origin, trusting({})(pki));
      const early = thrownBy(() => socket.exportKeyingMaterial(32, 'EXPORTER-Test', Buffer.alloc(0)));
      await opened(socket);
      const wrong = [
        ['32', 'EXPORTER-Test', Buffer.alloc(0)],
        [0, 'EXPORTER-Test', Buffer.alloc(0)],
        [-1, 'EXPORTER-Test', Buffer.alloc(0)],
        [1.5, 'EXPORTER-Test', Buffer.alloc(0)],
        [32, 5, Buffer.alloc(0)],
        [32, 'EXPORTER-Test', 5],
        [32, 'client finished', Buffer.alloc(0)],
      ].map((args) => thrownBy(() => Reflect.apply(socket.exportKeyingMaterial, socket, args)));
      socket.destroy();
      return { early, wrong };
    });
    assert.deepEqual(shared, direct);
  });
});

describe('P4: tickets and resumption', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`'session', getSession() and getTLSTicket() (${version})`, async (t) => {
      const [direct, shared] = await inBothModes(async (mode) => {
        const origin = { ...pki.good, tls: { maxVersion: version } };
        const { socket } = await connectTo(t, mode, origin, trusting({})(pki));
        const sessions: Buffer[] = [];
        socket.on('session', (session) => sessions.push(session));
        await opened(socket);
        await exchange(socket, 'hello');
        await waitFor(() => sessions.length >= (version === 'TLSv1.3' ? 2 : 1), {
          what: 'the session events',
        });
        const seen = {
          events: sessions.length,
          buffers: sessions.every((session) => Buffer.isBuffer(session) && session.length > 0),
          last: sessions.at(-1)?.equals(socket.getSession() ?? Buffer.alloc(0)),
          ticket: typeof socket.getTLSTicket(),
          reused: socket.isSessionReused(),
        };
        socket.destroy();
        return seen;
      });
      assert.deepEqual(shared, direct);
    });
  }
});

async function inBothModes<Result>(work: (mode: Mode) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  for (const mode of MODES) results.push(await work(mode));
  return results;
}

async function connectTo(
  scope: Scope,
  mode: Mode,
  origin: OriginOptions,
  options: ConnectionOptions,
): Promise<{ server: CountingOrigin; socket: TLSSocket }> {
  const server = await countingOrigin(scope, origin);
  const socket = connectAs(mode, { host: '127.0.0.1', port: server.port, ...options });
  scope.after(() => void socket.destroy());
  return { server, socket };
}

/** Every documented member that answers a question, as data; lengths where the value is random. */
function describeSocket(socket: TLSSocket): Record<string, unknown> {
  return {
    ...describeConnection(socket),
    peer: answer(() => socket.getPeerCertificate()),
    peerAbbreviated: answer(() => socket.getPeerCertificate(false)),
    chain: answer(() => describeChain(socket.getPeerCertificate(true))),
    own: answer(() => socket.getCertificate()),
    ownX509: answer(() => socket.getX509Certificate()?.toString()),
    cipher: answer(() => socket.getCipher()),
    protocol: answer(() => socket.getProtocol()),
    ephemeralKey: answer(() => defined(socket.getEphemeralKeyInfo())),
    finishedBytes: answer(() => socket.getFinished()?.length),
    peerFinishedBytes: answer(() => socket.getPeerFinished()?.length),
    sharedSigalgs: answer(() => socket.getSharedSigalgs()),
  };
}

/** The members that may be asked before the handshake; of others Node 24 and later end the process (getFinished). */
function describeConnection(socket: TLSSocket): Record<string, unknown> {
  return {
    authorized: socket.authorized,
    authorizationError: socket.authorizationError,
    encrypted: socket.encrypted,
    alpnProtocol: socket.alpnProtocol,
    servername: (socket as { servername?: unknown }).servername,
    reused: answer(() => socket.isSessionReused()),
    remoteAddress: socket.remoteAddress,
    remotePort: typeof socket.remotePort,
    remoteFamily: socket.remoteFamily,
    localAddress: socket.localAddress,
    localPort: typeof socket.localPort,
    localFamily: (socket as { localFamily?: unknown }).localFamily,
    address: answer(() => {
      const address: Record<string, unknown> = { ...socket.address() };
      return { ...address, port: typeof address.port };
    }),
  };
}

/** An object without the properties that are there but undefined (the size of a hybrid key), or what is none. */
function defined(value: object | null): unknown {
  if (value === null) return null;
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined));
}

/** What a member answers, or the error that it throws. */
function answer(ask: () => unknown): unknown {
  try {
    return ask();
  } catch (error) {
    return describeError(error);
  }
}

/** The chain as a list of certificates without their links, and how it ends. */
function describeChain(leaf: DetailedPeerCertificate | null): unknown {
  if (leaf === null) return null;
  const list: unknown[] = [];
  let current: DetailedPeerCertificate | undefined = leaf;
  while (current !== undefined) {
    const { issuerCertificate, ...rest }: DetailedPeerCertificate = current;
    list.push(rest);
    if (issuerCertificate === current) return { list, end: 'its own issuer' };
    current = issuerCertificate;
  }
  return { list, end: 'no issuer' };
}

/** The certificate and its issuers, as far as they are linked. */
function describeX509(leaf: X509Certificate): unknown {
  const list: unknown[] = [];
  for (let current: X509Certificate | undefined = leaf; current; current = current.issuerCertificate) {
    list.push({
      legacy: current.toLegacyObject(),
      pem: current.toString(),
      key: current.publicKey.asymmetricKeyType,
    });
    assert.ok(list.length < 20, 'the chain of issuers has no end');
  }
  return list;
}

function exportOf(
  socket: TLSSocket | undefined,
  length: number,
  label: string,
  context: Buffer | undefined,
): Buffer | undefined {
  // The context may be left out (RFC 5705 §4 tells the two apart), which the types do not know.
  const args = context === undefined ? [length, label] : [length, label, context];
  return socket && Reflect.apply(socket.exportKeyingMaterial, socket, args);
}

function thrownBy(work: () => unknown): unknown {
  try {
    work();
    return 'nothing';
  } catch (error) {
    return describeError(error);
  }
}

function describeError(error: unknown): Record<string, unknown> {
  const { name, message, stack: _, ...rest } = error as Error;
  return { error: name, message, ...rest };
}
