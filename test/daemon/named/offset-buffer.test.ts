// The window of a byte stream against a naive twin that keeps every byte in one buffer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OffsetBuffer } from '#src/daemon/named/offset-buffer.js';

/** Does the same by keeping everything. */
class NaiveTwin {
  #all = Buffer.alloc(0);
  #start = 0;
  append(chunk: Buffer): void {
    this.#all = Buffer.concat([this.#all, chunk]);
  }
  dropBefore(offset: number): void {
    this.#start = Math.min(Math.max(offset, this.#start), this.#all.length);
  }
  get start(): number {
    return this.#start;
  }
  get end(): number {
    return this.#all.length;
  }
  from(offset: number, limit: number): Buffer {
    return this.#all.subarray(offset, offset + limit);
  }
}

type Act = { append: number } | { drop: number } | { read: number; limit: number };

const acts = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ append: fc.oneof(fc.nat(20), fc.nat(3_000), fc.nat(20_000)) }) },
    { weight: 2, arbitrary: fc.record({ drop: fc.double({ min: -0.1, max: 1.1, noNaN: true }) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        read: fc.double({ min: 0, max: 1, noNaN: true }),
        limit: fc.integer({ min: 1, max: 70_000 }),
      }),
    },
  ) as fc.Arbitrary<Act>,
  { maxLength: 120, size: 'max' },
);

function readAll(buffer: OffsetBuffer, from: number, limit: number): Buffer {
  const parts: Buffer[] = [];
  for (let offset = from; offset < Math.min(buffer.end, from + limit); ) {
    const part = buffer.read(offset, from + limit - offset);
    assert.ok(part.length > 0, 'within the window there is always something');
    parts.push(part);
    offset += part.length;
  }
  return Buffer.concat(parts);
}

test('issue 3: any order of appending, dropping and reading gives what the stream has there', () => {
  fc.assert(
    fc.property(acts, (list) => {
      const buffer = new OffsetBuffer();
      const twin = new NaiveTwin();
      /** What was read once must not change when bytes follow. */
      const kept: { bytes: Buffer; copy: Buffer }[] = [];
      let next = 0;
      for (const act of list) {
        const at = (share: number) => Math.round(twin.start + share * (twin.end - twin.start));
        if ('append' in act) {
          const chunk = Buffer.from(Array.from({ length: act.append }, () => next++ % 251));
          buffer.append(chunk);
          twin.append(chunk);
        } else if ('drop' in act) {
          buffer.dropBefore(at(act.drop));
          twin.dropBefore(at(act.drop));
        } else {
          const offset = at(act.read);
          const wanted = twin.from(offset, act.limit);
          assert.ok(readAll(buffer, offset, act.limit).equals(wanted));
          const bytes = buffer.read(offset, act.limit);
          kept.push({ bytes, copy: Buffer.from(bytes) });
        }
        assert.deepEqual(
          [buffer.start, buffer.end, buffer.length],
          [twin.start, twin.end, twin.end - twin.start],
        );
      }
      for (const { bytes, copy } of kept) assert.ok(bytes.equals(copy));
    }),
    { numRuns: 200 },
  );
});

test('P9: a peer that sends byte by byte costs no long search and no object a byte', () => {
  const buffer = new OffsetBuffer();
  const count = 262_144;
  const startedAtMs = performance.now();
  for (let index = 0; index < count; index++) {
    buffer.append(Buffer.of(index & 0xff));
    assert.equal(buffer.read(index, 65_536)[0], index & 0xff);
  }
  let reads = 0;
  for (let offset = 0; offset < count; reads++) offset += buffer.read(offset, 65_536).length;
  assert.ok(reads <= count / 4_096, `${reads} pieces`);
  // Searching all single bytes each time would take minutes.
  assert.ok(performance.now() - startedAtMs < 10_000);
});

test('an offset outside the window is moved to its edge', () => {
  const buffer = new OffsetBuffer(100);
  buffer.append(Buffer.from('abc'));
  buffer.dropBefore(7);
  assert.equal(buffer.start, 100);
  buffer.dropBefore(1_000);
  assert.deepEqual([buffer.start, buffer.end, buffer.length], [103, 103, 0]);
  buffer.append(Buffer.from('d'));
  assert.equal(buffer.read(103, 10).toString(), 'd');
});
