// Issue 4, what a worker that gives a session up still has in its stream is the next holder's, and so is what a client
// that has ended its side still waits for.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import { fileScope } from '#helpers/scope.js';
import { waitFor, within } from '#helpers/wait-for.js';
import tls, { type ServerSharedOptions, type TlshubServer, type TlshubSocket } from '#src/index.js';
import { useTestDaemon } from '../sharing/both-ways.ts';
import { makeTestPki, type TestPki } from '../sharing/test-pki.ts';

const scope = fileScope();
let pki: TestPki;
const servers: TlshubServer[] = [];
before(async () => {
  pki = await makeTestPki();
  await useTestDaemon(scope);
});
after(() => {
  for (const server of servers) server.close();
});

/** A server that adopts; answers what it is given. */
async function serve(port = 0, shared: ServerSharedOptions = {}) {
  const { cert, key } = pki.good;
  const server = tls.createServer({ cert, key, allowHalfOpen: true, shared: { fallback: false, ...shared } });
  servers.push(server);
  const opened: TlshubSocket[] = [];
  const adopted: TlshubSocket[] = [];
  server.on('secureConnection', (socket) => opened.push(socket));
  server.on('adopt', (socket) => adopted.push(socket));
  server.listen(port, '127.0.0.1');
  await within(once(server, 'listening'), { what: 'listening' });
  return { server, opened, adopted, port: (server.address() as AddressInfo).port };
}

async function first(sockets: readonly TlshubSocket[]): Promise<TlshubSocket> {
  await waitFor(() => sockets.length > 0, { what: 'a session' });
  const [socket] = sockets;
  assert.ok(socket !== undefined);
  socket.on('error', () => {});
  return socket;
}

function dial(port: number) {
  // The types of node:tls do not know that its sockets take what net.Socket takes.
  const halfOpen = { allowHalfOpen: true };
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: pki.ca.cert, ...halfOpen });
  scope.after(() => void socket.destroy());
  return socket;
}

for (const way of ['read()', 'resume()'] as const) {
  test(`P6: what lies in the stream of a worker that hands off is not given to it by ${way}`, async () => {
    const { opened, port, server } = await serve();
    const client = dial(port);
    const bytes = Buffer.from(Array.from({ length: 1_000 }, (_, n) => n % 251));
    client.write(bytes);
    const old = await first(opened);
    const taken: Buffer[] = [];
    if (way === 'read()') old.on('readable', () => {});
    await waitFor(() => old.read(0) === null && old.readableLength === bytes.length, { what: 'the bytes' });
    const head: Buffer = old.read(10);
    taken.push(head);
    if (way === 'resume()')
      old
        .removeAllListeners('readable')
        .on('data', (chunk: Buffer) => taken.push(chunk))
        .pause();
    let over = false;
    const handingOff = old.handOff().finally(() => {
      over = true;
    });
    while (!over) {
      if (way === 'resume()') old.resume();
      else {
        const chunk: Buffer | null = old.read();
        if (chunk !== null) taken.push(chunk);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await handingOff;
    const next = await serve(port);
    const heir = await first(next.adopted);
    const given: Buffer[] = [];
    heir.on('data', (chunk: Buffer) => given.push(chunk));
    await waitFor(() => Buffer.concat([...taken, ...given]).length >= bytes.length, { what: 'all bytes' });
    assert.deepEqual(Buffer.concat([...taken, ...given]), bytes);
    heir.destroy();
    server.close();
    next.server.close();
  });
}

test('issue 4: a client that has ended its side gets its answer from the worker that the session was handed to', async () => {
  const { opened, port, server } = await serve();
  const client = dial(port);
  client.end('question');
  const old = await first(opened);
  old.resume();
  await within(once(old, 'end'), { what: "the client's end" });
  await old.handOff();
  const next = await serve(port);
  const heir = await first(next.adopted);
  heir.end('answer');
  const [answer] = await within(once(client, 'data'), { what: 'the answer' });
  assert.equal(String(answer), 'answer');
  server.close();
  next.server.close();
});
