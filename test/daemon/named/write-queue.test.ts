// The order of writes, against a connection that is as full as the test wants: no two calls interleave, a short call
// leaves only when it is whole, and what a writer left unfinished is dropped.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import fc from 'fast-check';
import { WriteQueue, type Writer } from '#src/daemon/named/write-queue.js';

/** A connection that takes what it is given until it is full. */
class Connection extends EventEmitter {
  written = '';
  readonly parts: Buffer[] = [];
  writableLength = 0;
  writableNeedDrain = false;
  writableEnded = false;
  destroyed = false;
  /** Parts until it is full again. */
  room = Number.POSITIVE_INFINITY;
  write(part: Buffer): void {
    assert.ok(!this.writableNeedDrain && !this.writableEnded && !this.destroyed);
    this.parts.push(part);
    this.written += part.toString('latin1');
    this.room -= 1;
    this.writableNeedDrain = this.room <= 0;
  }
  drain(room: number): void {
    this.room = room;
    this.writableNeedDrain = room <= 0;
    if (!this.writableNeedDrain) this.emit('drain');
  }
}

class CountingWriter implements Writer {
  taken = 0;
  takeWritten(bytes: number): void {
    this.taken += bytes;
  }
}

function make() {
  const connection = new Connection();
  return { connection, queue: new WriteQueue(connection as unknown as TLSSocket) };
}

const WINDOW = 262_144;

test('P9: a few bytes that wait do not hold the chunk that they came in', () => {
  const { connection, queue } = make();
  const writer = new CountingWriter();
  connection.drain(0);
  connection.writableLength = 1;
  for (let count = 0; count < 10; count += 1)
    queue.add(writer, Buffer.allocUnsafeSlow(65_536).fill('x').subarray(100, 110), true);
  connection.drain(Number.POSITIVE_INFINITY);
  assert.equal(connection.written, 'x'.repeat(100));
  const held = connection.parts.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  assert.ok(held < 65_536, `${held} bytes are held`);
});

test('issue 3: a second call that comes while the first is held up is sent too', () => {
  const { connection, queue } = make();
  const [one, two] = [new CountingWriter(), new CountingWriter()];
  connection.room = 1;
  queue.add(one, Buffer.from('a'), false);
  queue.add(one, Buffer.from('b'), true);
  queue.add(one, Buffer.from('c'), true);
  queue.add(two, Buffer.from('d'), true);
  connection.drain(Number.POSITIVE_INFINITY);
  assert.equal(connection.written, 'abcd');
  assert.deepEqual([one.taken, two.taken, queue.bytes], [3, 1, 0]);
});

test('issue 3: a call that fits a window waits until it is whole; others overtake it', () => {
  const { connection, queue } = make();
  const [one, two] = [new CountingWriter(), new CountingWriter()];
  queue.add(one, Buffer.alloc(WINDOW - 1, 'x'), false);
  queue.add(two, Buffer.from('two'), true);
  assert.equal(connection.written, 'two');
  assert.equal(queue.remove(one).half, false);
  assert.deepEqual([connection.written, queue.bytes, one.taken], ['two', 0, 0]);
});

test('issue 3: a longer call streams and holds the others off; its death leaves half a write', () => {
  const { connection, queue } = make();
  const [one, two] = [new CountingWriter(), new CountingWriter()];
  queue.add(one, Buffer.alloc(WINDOW, 'x'), false);
  assert.equal(connection.written.length, WINDOW);
  queue.add(two, Buffer.from('two'), true);
  queue.add(one, Buffer.from('y'), false);
  assert.ok(connection.written.endsWith('xy'));
  assert.equal(queue.remove(one).half, true);
  assert.ok(!connection.written.includes('two'), 'nothing follows half a write');
});

test('issue 3: who leaves within its second call has its first one sent, and did not leave half a write', () => {
  const { connection, queue } = make();
  const one = new CountingWriter();
  connection.room = 1;
  queue.add(one, Buffer.from('a'), false);
  queue.add(one, Buffer.from('b'), true);
  queue.add(one, Buffer.from('never'), false);
  assert.equal(queue.remove(one).half, false);
  connection.drain(10);
  assert.equal(connection.written, 'ab');
});

test('whenIdle waits for whole calls, not for what is unfinished; a connection that is gone is idle', () => {
  const { connection, queue } = make();
  const one = new CountingWriter();
  const told: string[] = [];
  const toldSoFar = () => told.join();
  connection.drain(0);
  queue.add(one, Buffer.from('a'), true);
  queue.whenIdle(() => told.push('first'));
  queue.add(new CountingWriter(), Buffer.from('unfinished'), false);
  assert.equal(toldSoFar(), '');
  connection.drain(10);
  assert.equal(toldSoFar(), 'first');
  connection.drain(0);
  queue.add(one, Buffer.from('b'), true);
  connection.destroyed = true;
  queue.whenIdle(() => told.push('gone'));
  assert.equal(toldSoFar(), 'first,gone');
});

test('nothing is written to a connection that has ended its side', () => {
  const { connection, queue } = make();
  connection.writableEnded = true;
  queue.add(new CountingWriter(), Buffer.from('late'), true);
  assert.equal(connection.written, '');
});

type Act = { writer: number; parts: number } | { drain: number } | { leave: number };
const acts = fc.array(
  fc.oneof(
    fc.record({ writer: fc.nat(3), parts: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ drain: fc.nat(6) }),
    fc.record({ leave: fc.nat(3) }),
  ) as fc.Arbitrary<Act>,
  { maxLength: 60, size: 'max' },
);

test('issue 3: whatever comes in whatever order, each call is sent whole, once, in the order of its writer', () => {
  fc.assert(
    fc.property(acts, (list) => {
      const { connection, queue } = make();
      let writers = [0, 1, 2, 3].map(() => new CountingWriter());
      /** What each place has begun: the parts that are still to come. */
      let open: string[][] = [[], [], [], []];
      const whole: string[] = [];
      let calls = 0;
      let current: string[] = ['', '', '', ''];
      for (const act of list) {
        if ('drain' in act) connection.drain(act.drain);
        else if ('leave' in act) {
          assert.equal(queue.remove(writers[act.leave] as CountingWriter).half, false);
          writers = writers.with?.(act.leave, new CountingWriter()) ?? writers;
          open = open.map((parts, place) => (place === act.leave ? [] : parts));
          current = current.map((text, place) => (place === act.leave ? '' : text));
        } else {
          const { writer } = act;
          let parts = open[writer] ?? [];
          if (parts.length === 0) {
            const id = calls++;
            parts = Array.from({ length: act.parts }, (_, part) => `<${writer}:${id}:${part}>`);
            current[writer] = parts.join('');
          }
          const part = parts.shift() as string;
          open[writer] = parts;
          queue.add(writers[writer] as CountingWriter, Buffer.from(part), parts.length === 0);
          if (parts.length === 0) whole.push(current[writer] as string);
        }
      }
      connection.drain(Number.POSITIVE_INFINITY);
      assert.equal(connection.written, whole.join(''), 'in the order in which they became whole');
    }),
    { numRuns: 300 },
  );
});
