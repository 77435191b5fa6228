// P16: a daemon that dies takes the one connection of a worker with it, and with that all of its sessions: each socket
// ends once, what it was asked is answered, and the server is there again.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { runCli } from '#helpers/run-node.js';
import { closed, opened } from '#helpers/streams.js';
import { waitFor } from '#helpers/wait-for.js';
import tls, { type TlshubSocket } from '#src/index.js';
import { servingDaemon, servingPki, setUpServing, sharedAs } from './serve-each-way.ts';

setUpServing();

const SESSIONS = 12;
/** More than windows and buffers hold. */
const STUCK_BYTES = 24 * 1024 * 1024;

/** What a socket of the server went through. */
interface Life {
  socket: TlshubSocket;
  events: string[];
  /** Outcomes of its writes. */
  writes: string[];
}

test('P16: the daemon is killed: each socket gets one error, no write stays unanswered, and new sessions come', async (t) => {
  const lives: Life[] = [];
  const { cert, key } = servingPki().good;
  const server = tls.createServer({ cert, key, shared: sharedAs('framed') }, (socket: TlshubSocket) => {
    const life: Life = { socket, events: [], writes: [] };
    lives.push(life);
    socket.on('error', (error: NodeJS.ErrnoException) => life.events.push(String(error.code)));
    socket.on('end', () => life.events.push('end'));
    socket.on('close', () => life.events.push('close'));
    // One that has ended its side may still be asked before the daemon is killed.
    socket.on('data', (chunk) => void (socket.writable && socket.write(chunk)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const dial = async (): Promise<TLSSocket> => {
    const client = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: servingPki().ca.cert });
    t.after(() => void client.destroy());
    client.on('error', () => {});
    return opened(client);
  };
  const ask = async (client: TLSSocket, word: string) => {
    client.write(word);
    assert.equal(String(await once(client, 'data')), word);
  };
  const { directory } = servingDaemon();
  t.after(() => runCli(['stop', '--now', '--directory', directory]));
  t.after(() => void server.close());
  const clients = await Promise.all(Array.from({ length: SESSIONS }, dial));
  for (const client of clients) await ask(client, 'hello');
  // Some write to a client that does not read, some have ended their side, some have just asked.
  for (const [index, life] of lives.entries()) {
    if (index % 3 === 0)
      life.socket.write(Buffer.alloc(STUCK_BYTES), (error) => life.writes.push(error ? 'failed' : 'done'));
    else if (index % 3 === 1) life.socket.end();
  }
  for (const client of clients) {
    client.pause();
    client.write('last question');
  }
  await waitFor(() => lives.filter(({ socket }) => socket.writableLength > 0).length >= SESSIONS / 3, {
    what: 'writes that are held up',
  });
  await servingDaemon().kill('SIGKILL');
  for (const client of clients) client.resume();
  await Promise.all(clients.map((client) => closed(client)));
  await waitFor(() => lives.every(({ events }) => events.includes('close')), {
    what: () => `the end of the sockets: ${JSON.stringify(lives.map(({ events }) => events))}`,
    deadlineMs: 15_000,
  });
  for (const [index, { events, writes }] of lives.entries()) {
    assert.deepEqual(events, ['ERR_TLSHUB_DAEMON_LOST', 'close'], `socket ${index}`);
    if (index % 3 === 0) assert.deepEqual(writes, ['failed']);
  }
  // The server has started a daemon, and has a connection for its sessions there.
  const again = await waitFor(() => dial().catch(() => undefined), { what: 'the port', deadlineMs: 20_000 });
  await ask(again, 'hello again');
  assert.equal(lives.length, SESSIONS + 1);
});
