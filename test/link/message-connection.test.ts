// One connection that carries messages, on a real Unix socket: what it holds is bounded, what ends it is told once.
import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { TlshubError } from '#src/errors.js';
import { MessageConnection } from '#src/link/message-connection.js';
import { MAX_LINE_BYTES } from '#src/protocol/limits.js';

type Message = Record<string, unknown>;

interface Pair {
  connection: MessageConnection;
  /** The other end, a plain socket that is read only when a test does it. */
  peer: Socket;
  messages: Message[];
  faults: Error[];
  /** Reasons of `connectionOnClose`, one for each call. */
  closes: (Error | undefined)[];
}

/** A connection and its peer. */
async function makePair(t: TestContext, onMessage?: (message: Message, pair: Pair) => void): Promise<Pair> {
  const path = join(tempDir(t), 'socket');
  const server = createServer({ allowHalfOpen: true });
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const peer = connect({ path, allowHalfOpen: true });
  peer.on('error', () => {});
  const socket = await within(accepted, { what: 'a connection' });
  t.after(() => {
    peer.destroy();
    socket.destroy();
    server.close();
  });
  const pair = { peer, messages: [], faults: [], closes: [] } as unknown as Pair;
  pair.connection = new MessageConnection(socket, {
    connectionOnMessage: (message) => {
      pair.messages.push(message);
      onMessage?.(message, pair);
    },
    connectionOnFault: (reason) => {
      pair.faults.push(reason);
      pair.connection.send({ last: reason.message });
    },
    connectionOnClose: (reason) => pair.closes.push(reason),
  });
  return pair;
}

/** Everything that the peer gets until the end. */
async function allOf(peer: Socket): Promise<string> {
  let text = '';
  let ended = false;
  peer.setEncoding('utf8');
  peer.on('data', (chunk: string) => {
    text += chunk;
  });
  peer.on('close', () => {
    ended = true;
  });
  peer.on('end', () => {
    ended = true;
  });
  await waitFor(() => ended, { what: 'the end of the connection' });
  return text;
}

const codeOf = (error: Error | undefined) => (error as { code?: string } | undefined)?.code;

test('messages come in order, however they are cut', async (t) => {
  const { peer, messages } = await makePair(t);
  peer.write('{"a":1}\n{"a":');
  await waitFor(() => messages.length === 1, { what: 'the first message' });
  peer.write('2}\n{"a":3}\n{');
  await waitFor(() => messages.length === 3, { what: 'three messages' });
  assert.deepEqual(messages, [{ a: 1 }, { a: 2 }, { a: 3 }]);
});

test('bytes that were read before the connection was made count as received', async (t) => {
  const { connection, peer, messages } = await makePair(t);
  connection.receive(Buffer.from('{"a":1}\n{"a"'));
  peer.write(':2}\n');
  await waitFor(() => messages.length === 2, { what: 'both messages' });
  assert.deepEqual(messages, [{ a: 1 }, { a: 2 }]);
});

test('messages leave as lines', async (t) => {
  const { connection, peer } = await makePair(t);
  connection.send({ a: 1 });
  connection.send({ b: '\n' });
  connection.close(new Error('done'));
  assert.equal(await allOf(peer), '{"a":1}\n{"b":"\\n"}\n');
});

test('the orderly end of the peer has no reason', async (t) => {
  const { peer, closes } = await makePair(t);
  peer.resume();
  peer.end('{"a":1}\n');
  await waitFor(() => closes.length > 0, { what: 'the close' });
  assert.deepEqual(closes, [undefined]);
});

test('what is sent while the peer ends still leaves', async (t) => {
  const { peer } = await makePair(t, (message, { connection }) => connection.send({ answer: message.a }));
  peer.end('{"a":1}\n');
  assert.equal(await allOf(peer), '{"answer":1}\n');
});

test('P14: garbage ends it with a reason, and nothing behind the garbage is taken', async (t) => {
  const { connection, peer, messages, faults, closes } = await makePair(t);
  peer.write('{"a":1}\nGET / HTTP/1.1\n{"a":2}\n');
  const last = allOf(peer);
  await waitFor(() => faults.length > 0, { what: 'the fault' });
  connection.receive(Buffer.from('{"a":3}\n'));
  assert.equal(await last, '{"last":"a line is not JSON"}\n');
  await waitFor(() => closes.length > 0, { what: 'the close' });
  assert.deepEqual(messages, [{ a: 1 }]);
  assert.deepEqual([faults.length, codeOf(faults[0])], [1, 'ERR_TLSHUB_PROTOCOL']);
  assert.deepEqual(closes.map(codeOf), ['ERR_TLSHUB_PROTOCOL']);
  connection.send({ late: true });
});

test('P14: a line without end is not kept', async (t) => {
  const { peer, messages, closes } = await makePair(t);
  peer.resume();
  peer.write(Buffer.alloc(MAX_LINE_BYTES + 1, 'x'));
  await waitFor(() => closes.length > 0, { what: 'the close' });
  assert.deepEqual(closes.map(codeOf), ['ERR_TLSHUB_PROTOCOL']);
  assert.deepEqual(messages, []);
});

test('what the owner throws ends it with that reason', async (t) => {
  const { peer, closes } = await makePair(t, () => {
    throw new TlshubError('ERR_TLSHUB_VERSION');
  });
  peer.resume();
  peer.write('{"a":1}\n{"a":2}\n');
  await waitFor(() => closes.length > 0, { what: 'the close' });
  assert.deepEqual(closes.map(codeOf), ['ERR_TLSHUB_VERSION']);
});

test('an owner that closes it gets no message after that', async (t) => {
  const { peer, messages, closes } = await makePair(t, (_message, { connection }) =>
    connection.close(new Error('enough')),
  );
  peer.resume();
  peer.write('{"a":1}\n{"a":2}\n');
  await waitFor(() => closes.length > 0, { what: 'the close' });
  assert.deepEqual(messages, [{ a: 1 }]);
  assert.equal(closes[0]?.message, 'enough');
});

test('P14: a peer that reads nothing is dropped at 16 MiB, though it never takes the last words', async (t) => {
  const { connection, peer, closes } = await makePair(t);
  peer.pause();
  const message = { filler: 'x'.repeat(512 * 1024) };
  let sent = 0;
  while (!connection.socket.writableEnded && sent < 100) {
    connection.send(message);
    sent += 1;
  }
  assert.ok(sent >= 32 && sent < 40, `${sent} messages were taken`);
  await waitFor(() => closes.length > 0, { what: 'the close' });
  assert.deepEqual(closes.map(codeOf), ['ERR_TLSHUB_LIMIT']);
  assert.ok(connection.socket.destroyed);
});

test('P14: a peer that ends its side and reads nothing is dropped', async (t) => {
  const { connection, peer, closes } = await makePair(t);
  peer.pause();
  connection.send({ filler: 'x'.repeat(4 * 1024 * 1024) });
  peer.end();
  await waitFor(() => closes.length > 0, { what: 'the close' });
  assert.deepEqual(closes, [undefined]);
});

test('a connection that breaks is told once, with the system error', async (t) => {
  const { connection, peer, closes } = await makePair(t);
  connection.send({ filler: 'x'.repeat(4 * 1024 * 1024) });
  peer.destroy();
  await waitFor(() => closes.length > 0, { what: 'the close' });
  connection.close(new Error('too late'));
  assert.equal(closes.length, 1);
  assert.ok(['EPIPE', 'ECONNRESET'].includes(String(codeOf(closes[0]))), String(codeOf(closes[0])));
});
