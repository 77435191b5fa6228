// The messages that are recognised by hand: never one that the schema refuses, and never another meaning.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeLine, lineText } from '#src/protocol/line-codec.js';
import { parseLaneCall, parseLinkCall, parseLinkReply } from '#src/protocol/messages.js';
import { isPlainLease, plainLeaseIn } from '#src/protocol/plain-messages.js';
import { sessionKey } from '../fuzz/wire-client.ts';
import { LINK_CALL_SAMPLES } from './message-samples.ts';

const PROCESS = '0123456789abcdef0123456789abcdef';

function lease(key: unknown = sessionKey(443, '')): Record<string, unknown> {
  return { call: 'lease', protocol: 1, process: PROCESS, lane: 7, pid: 4711, key, wait: 30_000, socket: {} };
}

function lineOf(message: object): Buffer {
  return Buffer.from(lineText(message).slice(0, -1));
}

/** As the daemon's reception reads a first line. */
function read(line: Buffer): unknown {
  return parseLaneCall(plainLeaseIn(line) ?? decodeLine(line));
}

test('a lease whose key was found good before is recognised, and is what the schema makes of it', () => {
  const line = lineOf(lease());
  const first = parseLaneCall(decodeLine(line));
  const plain = plainLeaseIn(line);
  assert.ok(plain !== undefined && isPlainLease(plain));
  assert.deepEqual(read(line), first);
  assert.equal(isPlainLease(decodeLine(line)), false);
});

test('P2: equal keys are one object then, which nobody can change; another key is another', () => {
  const line = lineOf(lease());
  read(line);
  const [first, again] = [read(line), read(line)] as { key: Record<string, unknown> }[];
  assert.equal(first?.key, again?.key);
  assert.throws(() => Object.assign(first?.key ?? {}, { host: 'other.example' }), TypeError);
  const other = read(lineOf(lease({ ...sessionKey(443, ''), host: 'other.example' }))) as typeof first;
  assert.equal(other?.key.host, 'other.example');
});

test('P14: a key that the schema has not found good is never recognised', () => {
  const flawed = lease({ ...sessionKey(443, ''), family: 5 });
  for (let round = 0; round < 2; round += 1) {
    assert.equal(plainLeaseIn(lineOf(flawed)), undefined);
    assert.throws(() => read(lineOf(flawed)), { code: 'ERR_TLSHUB_INVALID_CALL' });
  }
});

test('P2: a key with characters that are none of ASCII is left to the schema, whatever its bytes look like', () => {
  const key = { ...sessionKey(443, ''), host: 'Ã©' };
  read(lineOf(lease(key)));
  const line = lineOf(lease({ ...key, host: 'é' }));
  assert.equal(plainLeaseIn(line), undefined);
  assert.equal((read(line) as { key: { host: string } }).key.host, 'é');
});

test('P14: whatever a line says, it means what the schema says, or is refused as the schema refuses it', () => {
  const line = lineOf(lease()).toString();
  read(Buffer.from(line));
  const pieces = fc.constantFrom(
    '"',
    '{',
    '}',
    ',',
    ':',
    '0',
    '-1',
    '1e3',
    '\\',
    ' ',
    'true',
    '"key":',
    ',"wait":',
  );
  const change = fc.record({ at: fc.nat(line.length), remove: fc.nat(3), insert: pieces });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 3 }), (changes) => {
      let text = line;
      for (const { at, remove, insert } of changes)
        text = text.slice(0, at) + insert + text.slice(at + remove);
      const bytes = Buffer.from(text);
      const plain = plainLeaseIn(bytes);
      if (plain !== undefined) assert.deepEqual({ ...plain }, parseLaneCall(decodeLine(bytes)));
    }),
    { numRuns: 2_000 },
  );
});

test('P14: fields beside the key are held to the same limits', () => {
  read(lineOf(lease()));
  const odd: Record<string, unknown>[] = [
    { ...lease(), wait: 86_400_001 },
    { ...lease(), lane: 0 },
    { ...lease(), process: PROCESS.toUpperCase() },
    { ...lease(), socket: { keepAlive: 1 } },
    { ...lease(), more: true },
  ];
  for (const message of odd) {
    assert.equal(plainLeaseIn(lineOf(message)), undefined, JSON.stringify(message).slice(0, 90));
    assert.throws(() => read(lineOf(message)), { code: 'ERR_TLSHUB_INVALID_CALL' });
  }
});

test('P14: a release is held to the same limits', () => {
  const good = { ...LINK_CALL_SAMPLES.release } as Record<string, unknown>;
  assert.deepEqual(parseLinkCall(good), good);
  for (const [name, value] of [
    ...[
      ['id', 0],
      ['lane', 0],
      ['lane', 1.5],
      ['sent', -1],
      ['received', '20'],
      ['more', 1],
    ],
  ] as [string, unknown][]) {
    assert.throws(() => parseLinkCall({ ...good, [name]: value }), { code: 'ERR_TLSHUB_INVALID_CALL' }, name);
  }
});

test('P14: a reply on a link is held to the same limits', () => {
  assert.deepEqual(parseLinkReply({ reply: 1, rc: 1, pooled: true }), { reply: 1, rc: 1, pooled: true });
  for (const odd of [{ reply: 0, rc: 1 }, { reply: 1, rc: 2 }, { rc: 1 }, { reply: 1, rc: 1, error: 1 }])
    assert.throws(() => parseLinkReply(odd), { code: 'ERR_TLSHUB_PROTOCOL' });
});
