// Issue 5: the sessions of a server that survive share one connection of its process, and none feels the others.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import type { Scope } from '#helpers/scope.js';
import { closed, opened } from '#helpers/streams.js';
import { waitFor } from '#helpers/wait-for.js';
import tls, { type TlshubServer, type TlshubSocket } from '#src/index.js';
import { servingDaemon, servingPki, setUpServing, sharedAs } from './serve-each-way.ts';

setUpServing();

const SESSIONS = 600;
const AT_ONCE = 20;
const STALLED_BYTES = 24 * 1024 * 1024;

function echo(socket: TlshubSocket): void {
  socket.on('error', () => {});
  socket.on('data', (chunk) => void socket.write(chunk));
}

/** A server of this process whose sessions survive it. */
async function serve(scope: Scope, listener: (socket: TlshubSocket) => void): Promise<TlshubServer> {
  const { cert, key } = servingPki().good;
  const server = tls.createServer({ cert, key, shared: sharedAs('framed') }, listener as never);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => void server.close());
  return server;
}

async function dial(scope: Scope, server: TlshubServer): Promise<TLSSocket> {
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: servingPki().ca.cert });
  scope.after(() => void client.destroy());
  client.on('error', () => {});
  return opened(client);
}

async function answer(client: TLSSocket, word: string): Promise<void> {
  client.write(word);
  const [chunk] = await once(client, 'data');
  assert.equal(String(chunk), word);
}

/** What the daemon has. */
async function numbers(): Promise<string> {
  const { links, lanes, sessions } = await servingDaemon().status();
  return JSON.stringify({ links, lanes, sessions });
}

test(`${SESSIONS} sessions, opened and closed over one connection, leave nothing behind`, async (t) => {
  const server = await serve(t, echo);
  // The connection of the server itself, and what it is made with, are there from the first session on.
  await answer(await dial(t, server), 'first');
  const before = await numbers();
  const some = async (count: number) => {
    for (let n = 0; n < count; n += 1) {
      const client = await dial(t, server);
      await answer(client, 'x');
      if (n % 3 === 0) client.destroy();
      else client.end();
      await closed(client);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, () => some(SESSIONS / AT_ONCE)));
  await waitFor(async () => (await numbers()) === before, { what: `the daemon as it was: ${before}` });
  const left = () => new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
  await waitFor(async () => (await left()) === 1, { what: 'the end of the sockets' });
});

test('P9: a reader that stops, and one whose client does not read, hold up nobody on the same connection', async (t) => {
  const held: TlshubSocket[] = [];
  const server = await serve(t, (socket) => {
    if (held.length < 2) held.push(socket);
    else echo(socket);
  });
  const clients = [await dial(t, server), await dial(t, server)];
  await waitFor(() => held.length === 2, { what: 'both sessions' });
  for (const socket of [...clients, ...held]) {
    socket.on('error', () => {});
    socket.pause();
    socket.write(Buffer.alloc(STALLED_BYTES));
  }
  await waitFor(() => [...clients, ...held].every(({ writableLength }) => writableLength > 0), {
    what: 'writes that are held up',
  });
  for (let n = 0; n < 20; n += 1) await answer(await dial(t, server), `word ${n}`);
  assert.ok([...clients, ...held].every(({ writableLength }) => writableLength > 0));
  // What was held up goes on from where it was.
  const received = [...clients, ...held].map((socket) => {
    const counter = { bytes: 0 };
    socket.on('data', (chunk: Buffer) => {
      counter.bytes += chunk.length;
    });
    socket.resume();
    return counter;
  });
  await waitFor(() => received.every(({ bytes }) => bytes === STALLED_BYTES), { what: 'the rest' });
});

test('P9: what waits for one reader does not hold what came for the others', async (t) => {
  const sockets: TlshubSocket[] = [];
  const server = await serve(t, (socket) => void sockets.push(socket));
  const [slow, busy] = [await dial(t, server), await dial(t, server)];
  await waitFor(() => sockets.length === 2, { what: 'both sessions' });
  const [waiting, reading] = sockets;
  assert.ok(waiting !== undefined && reading !== undefined);
  let busyBytes = 0;
  reading.on('data', (chunk: Buffer) => {
    busyBytes += chunk.length;
  });
  const rounds = 300;
  for (let round = 0; round < rounds; round += 1) {
    slow.write('a few bytes');
    busy.write(Buffer.alloc(12_000));
    if (round % 10 === 0) await once(reading, 'data');
  }
  await waitFor(() => busyBytes === rounds * 12_000 && waiting.readableLength === rounds * 11, {
    what: 'all bytes',
  });
  const memory = new Set<ArrayBufferLike>();
  waiting.on('data', (chunk: Buffer) => memory.add(chunk.buffer));
  await waitFor(() => waiting.readableLength === 0, { what: 'the rest' });
  const held = [...memory].reduce((sum, { byteLength }) => sum + byteLength, 0);
  assert.ok(held < 200_000, `${held} bytes were held for ${rounds * 11}`);
  for (const socket of sockets) socket.on('error', () => {}).destroy();
});
