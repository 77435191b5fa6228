// SSL_connect, SSL_accept and what a session says of itself.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { listen, unusedPort } from '#helpers/listen.js';
import { rawOrigin } from '#helpers/raw-origin.js';
import { waitFor } from '#helpers/wait-for.js';
import { Ssl, X509_V } from '#src/ssl.js';
import type { TestPki } from '../../sharing/test-pki.ts';
import { type Bench, inEveryWay, outcome, readExactly, setUpWays } from './ways.ts';

setUpWays();

inEveryWay(
  'connect answers 1 and the session describes itself',
  async ({ origin, target, shared, ...bench }) => {
    const server = await origin({ tls: { ALPNProtocols: ['one'] } });
    const ssl = new Ssl();
    bench.scope.after(() => ssl.free());
    const rc = await ssl.connect(shared, target(server, { ALPNProtocols: ['other', 'one'] }));
    assert.equal(outcome(ssl, rc), '1');
    assert.equal(await ssl.write('hello\n'), 6);
    assert.equal(await readExactly(ssl, 9), 'ok hello\n');
    const [peer] = server.sockets;
    assert.equal(ssl.getVersion(), bench.version);
    assert.equal(ssl.getCipher(), peer?.getCipher().name);
    assert.equal(ssl.getAlpnSelected(), 'one');
    assert.equal(ssl.getVerifyResult(), 0);
    assert.equal(ssl.getShutdown(), 0);
    assert.equal(ssl.getPeerCertificate()?.toString(), bench.pki.good.cert);
    assert.equal(ssl.sessionReused(), 0);
    assert.equal(ssl.sharing.shared, bench.mode === 'shared');
    assert.equal(ssl.lastError, undefined);
    assert.equal(server.counts.handshakes, 1);
  },
);

inEveryWay('a resumed session says so', async ({ origin, open, mode, shared, target }) => {
  const server = await origin();
  const first = await open(server);
  assert.equal(await first.write('hello\n'), 6);
  assert.equal(await readExactly(first, 9), 'ok hello\n');
  await first.shutdown();
  await first.shutdown();
  const second = new Ssl();
  await second.connect(shared, target(server));
  // Only the daemon keeps tickets by itself; node:tls wants them from the application.
  assert.equal(second.sessionReused(), mode === 'shared' ? 1 : 0);
  second.free();
});

inEveryWay('what a session says is known until it is freed', async ({ origin, open, version, pki }) => {
  const ssl = await open(await origin({ behaviour: { kind: 'echo' } }));
  assert.equal(await ssl.shutdown(), 0);
  assert.equal(await ssl.shutdown(), 1);
  assert.equal(ssl.getVersion(), version);
  assert.equal(typeof ssl.getCipher(), 'string');
  assert.equal(ssl.getPeerCertificate()?.toString(), pki.good.cert);
});

describe('a handshake that fails', () => {
  const failures: readonly {
    title: string;
    certificate(pki: TestPki): { chain: string; key: string };
    /** The client trusts another authority. */
    stranger?: true;
    code: string;
    result: number;
  }[] = [
    { title: 'expired', certificate: (pki) => pki.expired, code: 'CERT_HAS_EXPIRED', result: 10 },
    { title: 'not yet valid', certificate: (pki) => pki.notYetValid, code: 'CERT_NOT_YET_VALID', result: 9 },
    {
      title: 'for another host',
      certificate: (pki) => pki.wrongName,
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      result: 62,
    },
    {
      title: 'self-signed',
      certificate: (pki) => pki.selfSigned,
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
      result: 18,
    },
    {
      title: 'of an unknown authority',
      certificate: (pki) => pki.good,
      stranger: true,
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      result: 21,
    },
  ];
  for (const { title, certificate, stranger, code, result } of failures) {
    inEveryWay(`a certificate that is ${title}: -1 SSL ${code}, result ${result}`, async (bench) => {
      const { pki, shared, target, open } = bench;
      const { chain, key } = certificate(pki);
      const server = await bench.origin({ cert: chain, key });
      const ca = stranger ? pki.strangeCa.cert : pki.ca.cert;
      const ssl = new Ssl();
      assert.equal(outcome(ssl, await ssl.connect(shared, target(server, { ca }))), `-1 SSL ${code}`);
      assert.equal(ssl.getVerifyResult(), result);
      assert.equal(ssl.getPeerCertificate(), null);
      const tolerant = await open(server, { ca, rejectUnauthorized: false });
      assert.equal(tolerant.getVerifyResult(), result);
      assert.equal(tolerant.getPeerCertificate()?.toString(), chain);
    });
  }

  inEveryWay('a refused port: -1 SYSCALL ECONNREFUSED', async ({ shared, target }) => {
    const ssl = new Ssl();
    const rc = await ssl.connect(shared, target({ port: await unusedPort() }));
    assert.equal(outcome(ssl, rc), '-1 SYSCALL ECONNREFUSED');
    assert.equal(ssl.getVerifyResult(), X509_V.OK);
    assert.equal(outcome(ssl, await ssl.read(1)), '-1 SYSCALL ECONNREFUSED');
    assert.equal(outcome(ssl, await ssl.write('x')), '-1 SYSCALL ECONNREFUSED');
    assert.equal(outcome(ssl, await ssl.shutdown()), '-1 SYSCALL ECONNREFUSED');
  });

  inEveryWay('RST instead of an answer: -1 SYSCALL ECONNRESET', async ({ scope, shared, target }) => {
    const ssl = new Ssl();
    const rc = await ssl.connect(shared, target(await rawOrigin(scope, { on: 'data', finally: 'reset' })));
    assert.equal(outcome(ssl, rc), '-1 SYSCALL ECONNRESET');
  });

  inEveryWay('plain text: -1 SSL', async ({ scope, shared, target }) => {
    const ssl = new Ssl();
    const server = await rawOrigin(scope, { on: 'data', send: 'HTTP/1.1 400 Bad Request\r\n\r\n' });
    const rc = await ssl.connect(shared, target(server));
    assert.match(outcome(ssl, rc), /^-1 SSL (ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG)$/);
  });

  inEveryWay('no common version: -1 SSL', async ({ origin, shared, target, version }) => {
    const ssl = new Ssl();
    const server = await origin({ tls: { minVersion: version } });
    const options = version === 'TLSv1.3' ? { maxVersion: 'TLSv1.2' } : { minVersion: 'TLSv1.3' };
    const rc = await ssl.connect(shared, target(server, options as object));
    assert.match(outcome(ssl, rc), /^-1 SSL (EPROTO|ERR_SSL_\S*ALERT_PROTOCOL_VERSION)$/);
  });

  inEveryWay('the static connect rejects with the error', async ({ shared, target }) => {
    const options = target({ port: await unusedPort() });
    await assert.rejects(Ssl.connect(shared, options), { code: 'ECONNREFUSED' });
  });
});

describe('a handshake that takes its time', () => {
  inEveryWay('WANT_READ until doHandshake answers 1', async ({ scope, origin, shared, target }) => {
    const server = await origin({ handshakeDelayMs: 80 });
    const ssl = new Ssl();
    scope.after(() => ssl.free());
    assert.equal(outcome(ssl, await ssl.connect(shared, target(server), { wait: 0 })), '-1 WANT_READ');
    assert.equal(outcome(ssl, await ssl.doHandshake({ wait: 0 })), '-1 WANT_READ');
    assert.equal(outcome(ssl, await ssl.read(1, { wait: 0 })), '-1 WANT_READ');
    assert.equal(outcome(ssl, await ssl.shutdown()), '-1 SSL ERR_SSL_SHUTDOWN_WHILE_IN_INIT');
    assert.equal(ssl.getVersion(), null);
    assert.equal(outcome(ssl, await ssl.doHandshake()), '1');
    assert.equal(await ssl.write('a\n'), 2);
    assert.equal(await readExactly(ssl, 5), 'ok a\n');
    assert.equal(server.counts.connections, 1);
  });

  inEveryWay('a write before it is done is sent after it', async ({ scope, origin, shared, target }) => {
    const server = await origin({ handshakeDelayMs: 50 });
    const ssl = new Ssl();
    scope.after(() => ssl.free());
    await ssl.connect(shared, target(server), { wait: 0 });
    assert.equal(await ssl.write('early\n'), 6);
    assert.equal(await readExactly(ssl, 9), 'ok early\n');
    assert.notEqual(ssl.getCipher(), null, 'known without doHandshake');
  });

  inEveryWay('the static connect gives up with ETIMEDOUT', async ({ scope, shared, target }) => {
    const server = await rawOrigin(scope, { on: 'connect' });
    await assert.rejects(Ssl.connect(shared, target(server), { wait: 30 }), { code: 'ETIMEDOUT' });
  });

  inEveryWay('a signal that is aborted already opens nothing', async ({ scope, origin, shared, target }) => {
    const server = await origin();
    const reason = new Error('enough');
    const ssl = new Ssl();
    scope.after(() => ssl.free());
    await assert.rejects(ssl.connect(shared, target(server), { signal: AbortSignal.abort(reason) }), reason);
    assert.equal(await ssl.connect(shared, target(server)), 1, 'the object is as before');
    assert.equal(server.counts.connections, 1);
  });

  inEveryWay('a signal ends the waiting', async ({ scope, shared, target }) => {
    const server = await rawOrigin(scope, { on: 'connect' });
    const reason = new Error('enough');
    const abort = new AbortController();
    const opening = Ssl.connect(shared, target(server), { signal: abort.signal });
    abort.abort(reason);
    await assert.rejects(opening, reason);
  });
});

describe('accept', () => {
  /** A server of node:tls, and the socket that it gets for the bench's next session. */
  async function serve(
    { scope }: Bench,
    options: TlsOptions,
  ): Promise<{ port: number; socket: Promise<TLSSocket> }> {
    const server = createServer(options);
    scope.after(() => void server.close());
    const socket = new Promise<TLSSocket>((resolve) => server.once('secureConnection', resolve));
    return { port: await listen(server), socket };
  }

  inEveryWay('the server speaks by the same verbs', async (bench) => {
    const { pki, version } = bench;
    const { good, client, ca } = pki;
    const options = { ...good, ca: ca.cert, requestCert: true, maxVersion: version };
    const { port, socket } = await serve(bench, options);
    const near = await bench.open({ port }, { cert: client.chain, key: client.key });
    const far = await Ssl.accept(await socket);
    bench.scope.after(() => far.free());
    assert.equal(far.getVersion(), version);
    assert.equal(far.getCipher(), near.getCipher());
    assert.equal(far.getVerifyResult(), X509_V.OK);
    assert.equal(far.getPeerCertificate()?.toString(), client.cert);
    assert.equal(await near.write('question'), 8);
    assert.equal(await readExactly(far, 8), 'question');
    assert.equal(await far.write('answer'), 6);
    assert.equal(await readExactly(near, 6), 'answer');
    assert.equal(await near.shutdown(), 0);
    assert.equal(outcome(far, await far.read(1)), '0 ZERO_RETURN');
    assert.equal(await far.write('last words'), 10, 'the end of one side leaves the other open');
    assert.equal(await far.shutdown(), 1);
    assert.equal(await readExactly(near, 10), 'last words');
    assert.equal(await near.shutdown(), 1);
  });

  inEveryWay('a client without a certificate: none, and nothing was found wrong', async (bench) => {
    const { port, socket } = await serve(bench, bench.pki.good);
    await bench.open({ port });
    const far = await Ssl.accept(await socket);
    bench.scope.after(() => far.free());
    assert.equal(far.getPeerCertificate(), null);
    assert.equal(far.getVerifyResult(), X509_V.OK);
    assert.equal(far.sharing.shared, false);
  });

  inEveryWay('a socket whose bytes flow already', async (bench) => {
    const { port, socket } = await serve(bench, bench.pki.good);
    const near = await bench.open({ port });
    const flowing = (await socket).resume();
    const far = await Ssl.accept(flowing);
    bench.scope.after(() => far.free());
    await near.write('from now on');
    await waitFor(() => far.pending() === 11, { what: 'the bytes, before anybody reads' });
    assert.equal(await readExactly(far, 11), 'from now on');
  });

  inEveryWay('a socket that has closed: -1 SYSCALL', async (bench) => {
    const { port, socket } = await serve(bench, bench.pki.good);
    await bench.open({ port });
    const closed = (await socket).destroy();
    const far = new Ssl();
    assert.equal(outcome(far, await far.accept(closed)), '-1 SYSCALL ERR_SOCKET_CLOSED');
    assert.equal(far.getCipher(), null);
  });
});

describe('wrong use', () => {
  test('before connect every call answers -1 SSL', async () => {
    const ssl = new Ssl();
    const failed = '-1 SSL ERR_SSL_UNINITIALIZED';
    assert.equal(outcome(ssl, await ssl.read(1)), failed);
    assert.equal(outcome(ssl, await ssl.peek(1, { wait: 0 })), failed);
    assert.equal(outcome(ssl, await ssl.write('x')), failed);
    assert.equal(outcome(ssl, await ssl.doHandshake()), failed);
    assert.equal(outcome(ssl, await ssl.shutdown()), failed);
    assert.equal(outcome(ssl, await ssl.release()), failed);
    assert.equal(outcome(ssl, await ssl.detach()), failed);
    assert.equal(ssl.pending(), 0);
    assert.equal(ssl.getShutdown(), 0);
    assert.equal(
      ssl.getVersion() ?? ssl.getCipher() ?? ssl.getAlpnSelected() ?? ssl.getPeerCertificate(),
      null,
    );
    assert.equal(ssl.sharing.shared, false);
    ssl.free();
  });

  inEveryWay('arguments that are none are refused', async ({ origin, open, shared, target }) => {
    const server = await origin();
    const ssl = await open(server);
    const refused = { code: 'ERR_TLSHUB_INVALID_OPTION' };
    for (const max of [0, -1, 1.5, Number.NaN, '1', undefined]) {
      await assert.rejects(ssl.read(max as number), refused);
      await assert.rejects(ssl.peek(max as number), refused);
    }
    for (const wait of [-1, 0.5, '1', Number.NaN]) {
      const wrong = { wait: wait as number };
      await assert.rejects(ssl.read(1, wrong), refused);
      await assert.rejects(ssl.write('x', wrong), refused);
      await assert.rejects(ssl.shutdown(wrong), refused);
      await assert.rejects(new Ssl().connect(shared, target(server), wrong), refused);
    }
    for (const data of [undefined, null, 1, {}, ['a']]) {
      await assert.rejects(ssl.write(data as unknown as string), refused);
    }
    await assert.rejects(ssl.connect(shared, target(server)), refused, 'one session for one object');
    await assert.rejects(new Ssl().accept({} as TLSSocket), refused);
    await assert.rejects(new Ssl().attach(1 as unknown as string), refused);
    const onread = { buffer: Buffer.alloc(1), callback: () => true };
    await assert.rejects(new Ssl().connect(shared, target(server, { onread } as object)), refused);
    await assert.rejects(new Ssl().connect('yes' as unknown as true, target(server)), refused);
    await assert.rejects(new Ssl().connect(shared, target(server, { port: 70_000 } as object)), {
      code: 'ERR_SOCKET_BAD_PORT',
    });
    assert.equal(server.counts.connections, 1, 'nothing was opened for them');
    assert.equal(await ssl.write('still open\n'), 11);
    assert.equal(await readExactly(ssl, 14), 'ok still open\n');
  });
});
