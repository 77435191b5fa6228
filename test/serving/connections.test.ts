// What a server's application sees of its connections: events, errors and bytes, as node:tls has them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectPlain, type Socket } from 'node:net';
import { describe } from 'node:test';
import nodeTls, { type TLSSocket } from 'node:tls';
import { PatternChecker, patternPieces } from '#helpers/pattern.js';
import { closed, exchange, readBytes, readLine } from '#helpers/streams.js';
import { waitFor } from '#helpers/wait-for.js';
import type { TlshubServer } from '#src/index.js';
import { namesOf, type Stage, sameEachWay, setUpServing } from './serve-each-way.ts';

setUpServing();

/** A server with one connection, both ends. */
async function pair(
  stage: Stage,
  options: object = {},
  watch: { read?: boolean } = {},
): Promise<{ server: TlshubServer; client: TLSSocket; socket: TLSSocket }> {
  const server = stage.serve(options);
  await stage.listen(server);
  const next = stage.watchNext(server, watch);
  const client = await stage.dial(server);
  client.on('error', (error: NodeJS.ErrnoException) => stage.recorder.note('client error', error.code));
  return { server, client, socket: await next };
}

/** Closes the server when its connection is gone; else the order of the last two events is chance. */
async function finish(server: TlshubServer, socket?: TLSSocket): Promise<void> {
  if (socket !== undefined) await closed(socket);
  const over = once(server, 'close');
  server.close();
  await over;
}

describe('P4: ending', () => {
  for (const allowHalfOpen of [false, true]) {
    sameEachWay(`the client ends, allowHalfOpen ${allowHalfOpen}`, {
      run: async (stage) => {
        const { server, client, socket } = await pair(stage, { allowHalfOpen });
        client.write('last words');
        await once(socket, 'data');
        client.end();
        if (allowHalfOpen) {
          await once(socket, 'end');
          assert.equal(socket.writable, true);
          socket.end('late answer');
          assert.equal(String(await readBytes(client, 11)), 'late answer');
        }
        client.resume();
        await closed(client);
        await finish(server, socket);
      },
    });

    sameEachWay(`the server ends, allowHalfOpen ${allowHalfOpen}`, {
      run: async (stage) => {
        const { server, client, socket } = await pair(stage, { allowHalfOpen });
        socket.write('hello ');
        socket.end('goodbye');
        assert.equal(String(await readBytes(client, 13)), 'hello goodbye');
        client.resume();
        await once(client, 'end');
        await closed(client);
        await finish(server, socket);
      },
    });
  }

  sameEachWay('the server destroys: the client sees the end at once', {
    run: async (stage) => {
      const { server, client, socket } = await pair(stage, {}, { read: false });
      client.resume();
      client.write('unread');
      // What is still with the kernel when a socket is closed makes it a reset, with node:tls too.
      await waitFor(() => socket.readableLength === 6, { what: 'bytes that nobody reads' });
      socket.destroy();
      await closed(client);
      await finish(server, socket);
    },
  });

  sameEachWay('the server destroys with an error', {
    run: async (stage) => {
      const { server, client, socket } = await pair(stage, {}, { read: false });
      client.resume();
      socket.destroy(Object.assign(new Error('enough'), { code: 'ERR_OWN' }));
      await closed(client);
      await finish(server, socket);
    },
    check: (trace) => assert.ok(namesOf(trace).includes('error')),
  });

  sameEachWay('the server destroys in secureConnection', {
    run: async (stage) => {
      const server = stage.serve({}, (socket) => void socket.destroy());
      await stage.listen(server);
      const next = stage.watchNext(server, { read: false });
      const client = await stage.dial(server);
      client.on('error', () => {});
      client.resume();
      await next;
      await closed(client);
      await finish(server);
    },
  });

  sameEachWay('the client resets the connection', {
    run: async (stage) => {
      const server = stage.serve();
      await stage.listen(server);
      const next = stage.watchNext(server);
      const carrier = connectPlain((server.address() as { port: number }).port, '127.0.0.1');
      const client = await stage.dial(server, { socket: carrier });
      client.on('error', () => {});
      const socket = await next;
      client.write('x');
      await once(socket, 'data');
      const gone = closed(socket);
      carrier.resetAndDestroy();
      await gone;
      await finish(server, socket);
    },
    check: (trace) => {
      const error = trace.events.find(([name]) => name === 'error')?.[1];
      assert.equal((error as { code?: string }).code, 'ECONNRESET');
    },
  });

  sameEachWay('the client goes away without close_notify', {
    run: async (stage) => {
      const { server, client, socket } = await pair(stage);
      client.write('x');
      await once(socket, 'data');
      // The kernel answers the close of a socket with unread bytes (here: tickets) with a reset.
      socket.write('y');
      await readBytes(client, 1);
      const gone = closed(socket);
      client.destroy();
      await gone;
      await finish(server, socket);
    },
  });

  sameEachWay('the server writes after the client has gone', {
    run: async (stage) => {
      const { server, client, socket } = await pair(stage, { allowHalfOpen: true });
      client.resume();
      client.end();
      await once(socket, 'end');
      client.destroy();
      await closed(client);
      const gone = closed(socket);
      const timer = setInterval(() => socket.write('x'), 5);
      stage.scope.after(() => clearInterval(timer));
      await gone;
      clearInterval(timer);
      await finish(server, socket);
      // Which of the writes meets the reset, and how it shows, is the kernel's business.
      stage.recorder.trace.events = stage.recorder.trace.events.filter(([name]) =>
        ['listening', 'secureConnection', 'end', 'server close'].includes(name),
      );
    },
  });

  sameEachWay('a timeout of the socket', {
    run: async (stage) => {
      const { server, client, socket } = await pair(stage);
      client.resume();
      socket.setTimeout(50, () => socket.end());
      await closed(client);
      await finish(server, socket);
    },
    check: (trace) => assert.ok(namesOf(trace).includes('timeout')),
  });
});

describe('P6: bytes', () => {
  const BYTES = 6_000_000;

  sameEachWay('many bytes both ways at the same time', {
    run: async (stage) => {
      const { server, client, socket } = await pair(stage, {}, { read: false });
      const atServer = new PatternChecker();
      const atClient = new PatternChecker();
      socket.on('data', (chunk: Buffer) => atServer.push(chunk));
      client.on('data', (chunk: Buffer) => atClient.push(chunk));
      await Promise.all([pour(socket), pour(client)]);
      await waitFor(() => atServer.bytes === BYTES && atClient.bytes === BYTES, { what: 'all bytes' });
      client.end();
      await closed(client);
      await finish(server, socket);
      await withoutDrains(stage, socket);
    },
  });

  sameEachWay('a client that does not read holds the server up, and then gets every byte', {
    run: async (stage) => {
      const { server, client, socket } = await pair(stage, {}, { read: false });
      socket.resume();
      client.pause();
      let written = 0;
      for (const piece of patternPieces(50_000_000)) {
        written += piece.length;
        if (!socket.write(piece)) {
          const drained = await Promise.race([once(socket, 'drain').then(() => true), quiet(socket)]);
          if (!drained) break;
        }
      }
      assert.ok(written < 50_000_000, 'the writes are not held up');
      const checker = new PatternChecker();
      client.on('data', (chunk: Buffer) => checker.push(chunk));
      client.resume();
      socket.end();
      await once(client, 'end');
      assert.equal(checker.bytes, written);
      client.end();
      await closed(client);
      await finish(server, socket);
      await withoutDrains(stage, socket);
    },
  });

  sameEachWay('a server that does not read holds the client up, and then gets every byte', {
    run: async (stage) => {
      const { server, client, socket } = await pair(stage, {}, { read: false });
      socket.pause();
      let written = 0;
      for (const piece of patternPieces(50_000_000)) {
        written += piece.length;
        if (!client.write(piece)) {
          const drained = await Promise.race([once(client, 'drain').then(() => true), quiet(client)]);
          if (!drained) break;
        }
      }
      assert.ok(written < 50_000_000, 'the writes are not held up');
      const checker = new PatternChecker();
      socket.on('data', (chunk: Buffer) => checker.push(chunk));
      socket.resume();
      client.end();
      client.resume();
      await closed(client);
      assert.equal(checker.bytes, written);
      await finish(server, socket);
      await withoutDrains(stage, socket);
    },
  });

  sameEachWay('one record sent is one chunk received', {
    run: async (stage) => {
      const { server, client, socket } = await pair(stage, {}, { read: false });
      const sizes: number[] = [];
      socket.on('data', (chunk: Buffer) => {
        sizes.push(chunk.length);
        client.emit('next');
      });
      for (const size of [1, 100, 16_384, 5]) {
        const next = once(client, 'next');
        client.write(Buffer.alloc(size));
        await next;
      }
      stage.recorder.note('sizes', sizes);
      client.end();
      client.resume();
      await closed(client);
      await finish(server, socket);
    },
  });

  async function withoutDrains(stage: Stage, socket: TLSSocket): Promise<void> {
    // A socket is closed before it says so.
    await stage.recorder.finished(socket);
    stage.recorder.trace.events = stage.recorder.trace.events
      .filter(([name]) => name !== 'drain')
      .map(([name, ...details]) => [name, ...details.map(withoutCounts)]);
  }

  function withoutCounts(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    const { bytesRead: _read, bytesWritten: _written, ...rest } = value as Record<string, unknown>;
    return rest;
  }

  async function pour(socket: TLSSocket): Promise<void> {
    for (const piece of patternPieces(BYTES)) if (!socket.write(piece)) await once(socket, 'drain');
  }

  /** Answers false when nothing was written to the peer for a time. */
  async function quiet(socket: TLSSocket): Promise<boolean> {
    let before = -1;
    let since = performance.now();
    await waitFor(
      () => {
        if (socket.bytesWritten !== before) since = performance.now();
        before = socket.bytesWritten;
        return performance.now() - since > 300;
      },
      { what: 'the writes to be held up' },
    );
    return false;
  }
});

describe('P4: members of the sockets and the server', () => {
  sameEachWay('pauseOnConnect, noDelay and keepAlive', {
    run: async (stage) => {
      const { server, client, socket } = await pair(
        stage,
        { pauseOnConnect: true, noDelay: true, keepAlive: true },
        { read: false },
      );
      client.write('early');
      stage.recorder.note('paused', socket.isPaused());
      assert.equal(String(await readBytes(socket, 5)), 'early');
      client.end();
      client.resume();
      socket.resume();
      await closed(socket);
      await finish(server, socket);
    },
  });

  sameEachWay('the socket knows its server, and a connection ends with it', {
    run: async (stage) => {
      const { server, client, socket } = await pair(stage, { ALPNProtocols: ['x'] });
      stage.recorder.note('server', (socket as unknown as { server: unknown }).server === server);
      stage.recorder.note('members', {
        certificate: (socket.getCertificate() as { subject?: unknown })?.subject,
        peer: socket.getPeerCertificate(true),
        finished: Buffer.isBuffer(socket.getFinished()),
        keying: socket
          .exportKeyingMaterial(16, 'EXPORTER-test', Buffer.alloc(0))
          .equals(client.exportKeyingMaterial(16, 'EXPORTER-test', Buffer.alloc(0))),
        bytes: [socket.bytesRead, socket.bytesWritten],
      });
      client.end();
      client.resume();
      await closed(client);
      await finish(server, socket);
    },
  });

  sameEachWay('one more than maxConnections is dropped', {
    run: async (stage) => {
      const server = stage.serve({}, (socket) => void socket.pipe(socket));
      server.maxConnections = 1;
      await stage.listen(server);
      const first = await stage.dial(server);
      assert.equal(await exchange(first, 'one'), 'one');
      const dropped = once(server, 'drop');
      const second = nodeTls.connect(stage.target(server));
      second.resume();
      await Promise.all([dropped, closed(second)]);
      first.end();
      first.resume();
      await closed(first);
      await waitFor(
        () =>
          new Promise<boolean>((resolve) =>
            server.getConnections((_, connections) => resolve(connections === 0)),
          ),
        { what: 'no connection' },
      );
      const third = await stage.dial(server);
      assert.equal(await exchange(third, 'three'), 'three');
      third.destroy();
      await finish(server);
    },
    check: (trace) => assert.equal(namesOf(trace).filter((name) => name === 'drop').length, 1),
  });

  sameEachWay('without a listener connections stay, and are closed by the client', {
    run: async (stage) => {
      const server = stage.serve();
      await stage.listen(server);
      const client = await stage.dial(server);
      client.end('x');
      client.resume();
      client.destroy();
      await closed(client);
      server.close();
      stage.recorder.note('closing');
    },
  });
});

describe('P4: handshakes that fail', () => {
  async function failWith(
    stage: Stage,
    options: object,
    attempt: (server: TlshubServer) => Socket,
  ): Promise<void> {
    const server = stage.serve(options);
    await stage.listen(server);
    const failed = once(server, 'tlsClientError');
    const client = attempt(server);
    const errors: unknown[] = [];
    client.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code));
    client.resume();
    const [, socket] = (await failed) as [Error, TLSSocket];
    socket.destroy();
    await closed(client);
    stage.recorder.note('client errors', errors);
    await finish(server);
  }

  const plain = (server: TlshubServer): Socket =>
    connectPlain((server.address() as { port: number }).port, '127.0.0.1');

  sameEachWay('no TLS at all', {
    run: (stage) =>
      failWith(stage, {}, (server) => {
        const client = plain(server);
        client.write('GET / HTTP/1.0\r\n\r\n');
        return client;
      }),
  });

  sameEachWay('a client that goes away', {
    run: async (stage) => {
      await failWith(stage, {}, (server) => {
        const client = plain(server);
        client.write(Buffer.from('16030100', 'hex'), () => client.resetAndDestroy());
        return client;
      });
      // Whether the reset is found by a read or behind the bytes before it is the kernel's business: the code is one.
      stage.recorder.trace.events = stage.recorder.trace.events.map(([name, ...details]) =>
        name === 'tlsClientError' ? [name, (details[0] as { code?: string }).code] : [name, ...details],
      );
    },
    check: ({ events }) =>
      assert.deepEqual(
        events.find(([name]) => name === 'tlsClientError'),
        ['tlsClientError', 'ECONNRESET'],
      ),
  });

  sameEachWay('a client that says nothing', {
    run: (stage) => failWith(stage, { handshakeTimeout: 100 }, plain),
    check: (trace) => {
      const [, error] = trace.events.find(([name]) => name === 'tlsClientError') ?? [];
      assert.equal((error as { code?: string }).code, 'ERR_TLS_HANDSHAKE_TIMEOUT');
    },
  });

  sameEachWay('no protocol in common', {
    run: (stage) =>
      failWith(stage, { minVersion: 'TLSv1.3' }, (server) =>
        nodeTls.connect({ ...stage.target(server), maxVersion: 'TLSv1.2' }),
      ),
  });

  sameEachWay('no cipher in common', {
    run: (stage) =>
      failWith(stage, { ciphers: 'TLS_AES_256_GCM_SHA384', minVersion: 'TLSv1.3' }, (server) =>
        nodeTls.connect({ ...stage.target(server), ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }),
      ),
  });

  sameEachWay('no ALPN protocol in common', {
    run: (stage) =>
      failWith(stage, { ALPNProtocols: ['a'] }, (server) =>
        nodeTls.connect({ ...stage.target(server), ALPNProtocols: ['b'] }),
      ),
  });

  sameEachWay('a client without a certificate', {
    run: (stage) =>
      failWith(
        stage,
        { requestCert: true, rejectUnauthorized: true, ca: stage.pki.ca.cert, maxVersion: 'TLSv1.2' },
        (server) => nodeTls.connect(stage.target(server)),
      ),
  });

  sameEachWay('a client that does not trust the certificate (TLS 1.2)', {
    run: async (stage) => {
      const server = stage.serve({ maxVersion: 'TLSv1.2' });
      await stage.listen(server);
      const client = nodeTls.connect({ ...stage.target(server), ca: stage.pki.strangeCa.cert });
      client.on('error', (error: NodeJS.ErrnoException) => stage.recorder.note('client error', error.code));
      client.resume();
      await closed(client);
      await finish(server);
      // The client finds out after the handshake; whether the server has seen it done by then is a race.
      stage.recorder.trace.events = stage.recorder.trace.events.filter(([name]) => name === 'client error');
    },
  });

  sameEachWay('a failed handshake is nothing to the others', {
    run: async (stage) => {
      const server = stage.serve({}, (socket) => void socket.pipe(socket));
      await stage.listen(server);
      const good = await stage.dial(server);
      assert.equal(await exchange(good, 'first'), 'first');
      const failed = once(server, 'tlsClientError');
      const bad = plain(server);
      bad.on('error', () => {});
      bad.end('rubbish\n');
      const [, socket] = (await failed) as [Error, TLSSocket];
      socket.destroy();
      assert.equal(await exchange(good, 'still here'), 'still here');
      good.write('line\n');
      assert.equal(await readLine(good), 'line');
      good.destroy();
      await finish(server);
    },
  });
});
