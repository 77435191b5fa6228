// Which shard has what: the hash of the document, and the numbers in handles and ids of sessions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Handles } from '#src/daemon/handles.js';
import { SessionTable } from '#src/daemon/session-table.js';
import { sessionKeyFields } from '#src/protocol/session-key.js';
import {
  MAX_SHARDS,
  sessionIdPrefix,
  shardOf,
  shardOfHandle,
  shardOfKey,
  shardOfSession,
} from '#src/protocol/shard.js';
import { sessionKey } from '../fuzz/wire-client.ts';

/** FNV-1a, 32 bits, as its authors write it: with a product of big integers. */
function fnv1a(text: string): bigint {
  let hash = 0x811c9dc5n;
  for (const byte of Buffer.from(text, 'utf8')) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn;
  return hash;
}

test('the hash is 32-bit FNV-1a over UTF-8, modulo the number of shards', () => {
  // Vectors of the authors (draft-eastlake-fnv, appendix C): "", "a", "foobar".
  assert.deepEqual(['', 'a', 'foobar'].map(fnv1a), [0x811c9dc5n, 0xe40c292cn, 0xbf9cf968n]);
  for (const text of ['', 'a', 'foobar', 'billing', 'Grüße', '\u{1f980}', 'x'.repeat(5_000)])
    for (const count of [1, 2, 3, 7, 32, MAX_SHARDS])
      assert.equal(
        shardOf(text, count),
        Number(fnv1a(text) % BigInt(count)),
        `${text.slice(0, 9)} of ${count}`,
      );
});

test('names are spread evenly', () => {
  const counts = new Array<number>(8).fill(0);
  for (let number = 0; number < 8_000; number++) {
    const shard = shardOf(`session ${number}`, 8);
    counts[shard] = (counts[shard] ?? 0) + 1;
  }
  for (const count of counts) assert.ok(count > 850 && count < 1_150, String(counts));
});

test('equal keys are on one shard, whatever the order of their fields; one shard has everything', () => {
  const key = sessionKey(443, 'a CA');
  const reversed = Object.fromEntries(Object.entries(key).reverse()) as typeof key;
  for (const count of [2, 5, MAX_SHARDS]) assert.equal(shardOfKey(reversed, count), shardOfKey(key, count));
  assert.equal(shardOfKey(key, 1), 0);
  // As PROTOCOL.md says: a list of the values in the order of its table, as JSON.
  const values = Object.keys(sessionKeyFields).map((field) => key[field as keyof typeof key]);
  assert.equal(shardOfKey(key, 7), shardOf(JSON.stringify(values), 7));
});

test('a handle and the id of a session carry their shard', () => {
  for (const shard of [0, 1, 9, 10, 42, MAX_SHARDS - 1]) {
    const { generation } = new Handles(shard);
    assert.match(generation, /^[0-9a-f]{16}$/);
    assert.equal(shardOfHandle(`tlshub1.${generation}.${'0'.repeat(32)}`), shard);
    const id = new SessionTable(shard).nextId();
    assert.equal(id, `${sessionIdPrefix(shard)}1`);
    assert.equal(shardOfSession(id), shard);
  }
  assert.equal(new SessionTable().nextId(), 's1');
  assert.equal(shardOfHandle('tlshub1.zz'), 0);
  assert.equal(shardOfSession('s12'), 0);
});
