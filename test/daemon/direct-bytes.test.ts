// Bytes that land in one buffer for all sockets: none is overwritten before it has left, none comes to another reader,
// whatever is slow, on connections of either side.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { PatternChecker, pattern } from '#helpers/pattern.js';
import { waitFor, within } from '#helpers/wait-for.js';
import {
  encryptBytes,
  holdBytes,
  keepBytes,
  readOn,
  startReader,
  stopReader,
  writeBytes,
} from '#src/daemon/direct-bytes.js';
import { makePairs, type SocketPair } from './socket-pairs.ts';

const MOST_WAITING_BYTES = 256 * 1024;
const RECORD_BYTES = 16 * 1024;
const DEADLINE_MS = 60_000;

/** Carries bytes both ways as a relay does; answers the most bytes that ever waited in it. */
function join(lane: Socket, tls: TLSSocket): { mostWaitingBytes: number } {
  const seen = { mostWaitingBytes: 0 };
  const look = () => {
    const waiting = Math.max(
      lane.writableLength + tls.readableLength,
      tls.writableLength + lane.readableLength,
    );
    seen.mostWaitingBytes = Math.max(seen.mostWaitingBytes, waiting);
  };
  startReader(lane, (bytes) => {
    if (!encryptBytes(tls, bytes, () => {})) lane.pause();
    look();
  });
  startReader(tls, (bytes) => {
    if (!writeBytes(lane, bytes)) tls.pause();
    look();
  });
  lane.on('drain', () => tls.resume());
  tls.on('drain', () => lane.resume());
  lane.on('end', () => tls.end());
  tls.on('end', () => lane.end());
  lane.resume();
  tls.resume();
  return seen;
}

/** Sends the pattern in pieces of the sizes that `sizeOf` gives, and ends. */
async function send(socket: Socket, bytes: number, sizeOf: () => number): Promise<void> {
  for (let offset = 0; offset < bytes; ) {
    const length = Math.min(sizeOf(), bytes - offset);
    offset += length;
    if (!socket.write(pattern(offset - length, length))) await once(socket, 'drain');
  }
  socket.end();
}

/** Reads the pattern to its end; stops now and then for some turns when it is `slow`. */
async function check(socket: Socket, bytes: number, slow: boolean): Promise<void> {
  const checker = new PatternChecker();
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    checker.push(chunk as Buffer);
    if (!slow || Math.random() < 0.7) continue;
    for (let turns = Math.random() * 20; turns > 0; turns -= 1) await turn();
  }
  assert.equal(checker.bytes, bytes);
}

for (const side of ['client', 'server'] as const) {
  test(`P6, P9: of many sockets with slow readers each gets its own bytes, both ways at once; ${side} side`, async (t) => {
    const pairs = await makePairs(t);
    const bytes = 12 * 1024 * 1024;
    const sizeOf = () => 1 + Math.floor(Math.random() * 100_000);
    const all: Promise<void>[] = [];
    for (let number = 0; number < 6; number += 1)
      all.push(carry(number, await pairs.plain(), await pairs.tls()));
    await within(Promise.all(all), { what: 'all bytes', deadlineMs: DEADLINE_MS });

    async function carry(
      number: number,
      plain: SocketPair<Socket>,
      tls: SocketPair<TLSSocket>,
    ): Promise<void> {
      const far = tls[side === 'client' ? 'server' : 'client'];
      const seen = join(plain.server, tls[side]);
      await Promise.all([
        send(plain.client, bytes, sizeOf),
        send(far, bytes, sizeOf),
        check(plain.client, bytes, number % 3 !== 0),
        check(far, bytes, number % 3 !== 1),
      ]);
      assert.ok(seen.mostWaitingBytes <= MOST_WAITING_BYTES, `${seen.mostWaitingBytes} bytes waited`);
    }
  });
}

test('P6: a reader that takes the place of another gets all that comes from then on, paused or not', async (t) => {
  const pairs = await makePairs(t);
  for (const { client: socket, server: far } of [await pairs.plain(), await pairs.tls()]) {
    const came: string[] = [];
    const reader = (name: string) => (bytes: Buffer) => came.push(`${name}: ${bytes.toString('latin1')}`);
    const says = async (text: string, ...wanted: readonly string[]) => {
      far.write(text);
      await waitFor(() => came.length === wanted.length, { what: () => `${wanted} in ${came}` });
      assert.deepEqual(came.splice(0), wanted);
    };
    readOn(socket, reader('one'));
    await says('a', 'one: a');
    readOn(socket, reader('two'));
    await says('b', 'two: b');
    socket.pause();
    readOn(socket, reader('three'));
    await says('c', 'three: c');
    stopReader(socket);
    far.write('d');
    await waitFor(() => socket.readableLength === 1, { what: 'a byte that waits' });
    readOn(socket, reader('four'));
    await says('', 'four: d');
    await says('e', 'four: e');
    assert.equal(socket.listenerCount('data'), 1);
  }
});

test('P6: pieces of every size around the bounds of records come whole, both ways', async (t) => {
  const pairs = await makePairs(t);
  const bounds = [1, 2, 4 * 1024, RECORD_BYTES, 2 * RECORD_BYTES, 3 * RECORD_BYTES, 4 * RECORD_BYTES];
  const sizes = bounds.flatMap((bound) => [bound - 1, bound, bound + 1]).filter((size) => size > 0);
  const [plain, tls] = [await pairs.plain(), await pairs.tls()];
  join(plain.server, tls.client);
  const bytes = 2 * sizes.reduce((sum, size) => sum + size, 0);
  const from = async (socket: Socket) => {
    let offset = 0;
    for (const size of [...sizes, ...sizes.reverse()]) {
      socket.write(pattern(offset, size));
      offset += size;
      await turn();
    }
    socket.end();
  };
  const done = [
    from(plain.client),
    from(tls.server),
    check(plain.client, bytes, false),
    check(tls.server, bytes, false),
  ];
  await within(Promise.all(done), { what: 'all pieces' });
});

test('P9: while a reader sleeps a bounded number of bytes waits, and no byte is lost', async (t) => {
  const pairs = await makePairs(t);
  for (const sleeper of ['plain', 'tls'] as const) {
    const [plain, tls] = [await pairs.plain(), await pairs.tls()];
    const seen = join(plain.server, tls.client);
    const [writer, reader] = sleeper === 'plain' ? [tls.server, plain.client] : [plain.client, tls.server];
    reader.pause();
    const bytes = 32 * 1024 * 1024;
    const sent = send(writer, bytes, () => 65_536);
    await waitFor(() => writer.writableNeedDrain && writer.bytesWritten > 1024 * 1024 && stalled(writer), {
      what: 'a sender that waits',
    });
    assert.ok(
      seen.mostWaitingBytes <= MOST_WAITING_BYTES,
      `${sleeper}: ${seen.mostWaitingBytes} bytes waited`,
    );
    await within(Promise.all([sent, check(reader, bytes, false)]), {
      what: 'the rest',
      deadlineMs: DEADLINE_MS,
    });
  }
});

/** True when nothing has left the socket for some turns. */
async function stalled(socket: Socket): Promise<boolean> {
  const before = socket.bytesWritten - socket.writableLength;
  for (let turns = 0; turns < 50; turns += 1) await turn();
  return socket.bytesWritten - socket.writableLength === before;
}

test('P6: readers take turns at any moment, within a burst too: each byte comes once, in order, to who reads then', async (t) => {
  const pairs = await makePairs(t);
  for (const { client: writer, server: read } of [
    await pairs.tls(),
    await pairs.plain(),
    await pairs.tls(),
  ]) {
    const bytes = 4 * 1024 * 1024;
    const checker = new PatternChecker();
    let current = 0;
    const take = (number: number) => (chunk: Buffer) => {
      assert.equal(number, current, 'bytes for a reader that has stopped');
      checker.push(keepBytes(chunk));
      if (Math.random() < 0.5) return;
      current += 1;
      const how = Math.random();
      if (how < 0.6) stopReader(read);
      if (how < 0.3) setImmediate(next);
      else if (how < 0.6) queueMicrotask(next);
      else next();
    };
    const next = () => {
      startReader(read, take(current));
      read.resume();
    };
    const ended = once(read, 'end');
    next();
    await within(Promise.all([send(writer, bytes, () => 50_000), ended]), { what: 'the end' });
    assert.equal(checker.bytes, bytes);
    assert.ok(current > 10);
  }
});

test('bytes and the end that come while nobody reads wait for the next reader', async (t) => {
  const pairs = await makePairs(t);
  for (const { client: writer, server: read } of [await pairs.tls(), await pairs.plain()]) {
    startReader(read, () => assert.fail('nobody reads'));
    stopReader(read);
    writer.write('late');
    await waitFor(() => read.readableLength === 4, { what: 'bytes that wait' });
    writer.end('st');
    const parts: string[] = [];
    await turn();
    startReader(read, (chunk) => void parts.push(chunk.toString()));
    const ended = once(read, 'end');
    read.resume();
    await within(ended, { what: 'the end' });
    assert.equal(parts.join(''), 'latest');
  }
});

test('an end is noticed while nobody reads', async (t) => {
  const pairs = await makePairs(t);
  for (const { client, server } of [await pairs.tls(), await pairs.plain()]) {
    startReader(server, () => {});
    server.resume();
    stopReader(server);
    holdBytes(server);
    const ended = once(server, 'end');
    client.end();
    await within(ended, { what: 'the end' });
  }
});

test('on every Node that is supported bytes land in one buffer, for sockets of all kinds', async (t) => {
  const pairs = await makePairs(t);
  const buffers = new Set<ArrayBufferLike>();
  for (const { client, server } of [await pairs.tls(), await pairs.plain()]) {
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      let came = false;
      startReader(to, (bytes) => {
        buffers.add(bytes.buffer);
        came = true;
      });
      to.resume();
      from.write('x');
      await waitFor(() => came, { what: 'a byte' });
    }
  }
  assert.equal(buffers.size, 1);
});

test('P8: a lane that breaks under a write is an error, as always', async (t) => {
  const pairs = await makePairs(t);
  const { client, server } = await pairs.plain();
  const broken = once(server, 'error');
  startReader(server, () => {});
  server.resume();
  server.write(pattern(0, 1024 * 1024));
  client.destroy();
  await within(broken, { what: 'the end of a broken lane' });
  assert.equal(writeBytes(server, Buffer.from('x')), false);
});
