// The store of CA lists: chunks, checks, limits, and what the daemon knows by itself.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runNodeForJson } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { type BlobChunk, BlobStore } from '#src/daemon/blob-store.js';
import { defaultCa } from '#src/protocol/default-ca.js';
import { MAX_BLOB_BYTES, MAX_BLOB_CHUNK_BYTES } from '#src/protocol/limits.js';
import { clientA } from '../wrapper/context-fixtures.js';

const sha256Of = (blob: Buffer): string => createHash('sha256').update(blob).digest('hex');

/** The `put` calls that a wrapper sends for a blob. */
function chunksOf(blob: Buffer, chunkBytes = MAX_BLOB_CHUNK_BYTES): BlobChunk[] {
  const sha256 = sha256Of(blob);
  const chunks: BlobChunk[] = [];
  for (let offset = 0; offset < blob.length; offset += chunkBytes) {
    const data = blob.subarray(offset, offset + chunkBytes).toString('base64');
    chunks.push({ sha256, offset, data, last: offset + chunkBytes >= blob.length });
  }
  return chunks;
}

function putAll(store: BlobStore, owner: object, blob: Buffer, chunkBytes?: number): void {
  for (const chunk of chunksOf(blob, chunkBytes)) store.put(owner, chunk);
}

const INVALID = { code: 'ERR_TLSHUB_INVALID_CALL' };

test('a blob comes back as it was put, in one chunk or many, once it is complete', () => {
  const store = new BlobStore();
  for (const bytes of [1, MAX_BLOB_CHUNK_BYTES, MAX_BLOB_CHUNK_BYTES + 1, 1_500_000]) {
    const blob = randomBytes(bytes);
    const chunks = chunksOf(blob);
    for (const [index, chunk] of chunks.entries()) {
      assert.equal(store.get(sha256Of(blob)), undefined, `before chunk ${index}`);
      store.put(store, chunk);
    }
    assert.deepEqual(store.get(sha256Of(blob)), blob);
  }
});

test('a blob that does not hash to its name is refused', () => {
  const store = new BlobStore();
  const [chunk] = chunksOf(Buffer.from('one'));
  assert.ok(chunk);
  const false_ = { ...chunk, data: Buffer.from('two').toString('base64') };
  assert.throws(() => store.put({}, false_), { ...INVALID, message: /does not hash/ });
  assert.equal(store.get(chunk.sha256), undefined);
});

test('two owners put at the same time, also the same blob', () => {
  const store = new BlobStore();
  const [one, other] = [{}, {}];
  const blobs = [Buffer.from('first'), Buffer.from('second')] as const;
  const [a, b] = [chunksOf(blobs[0], 2), chunksOf(blobs[1], 2)];
  for (let index = 0; index < 3; index++) {
    store.put(one, a[index] ?? assert.fail());
    store.put(other, b[index] ?? assert.fail());
  }
  assert.deepEqual(
    blobs.map((blob) => store.get(sha256Of(blob))),
    [...blobs],
  );
  const same = Buffer.from('same');
  const [c, d] = [chunksOf(same, 2), chunksOf(same, 2)];
  for (let index = 0; index < 2; index++) {
    store.put(one, c[index] ?? assert.fail());
    store.put(other, d[index] ?? assert.fail());
  }
  assert.deepEqual(store.get(sha256Of(same)), same);
});

test('chunks out of order are refused, and the upload starts anew', () => {
  const store = new BlobStore();
  const owner = {};
  const blob = Buffer.from('abcdef');
  const [first, second, third] = chunksOf(blob, 2);
  assert.ok(first && second && third);
  assert.throws(() => store.put(owner, second), INVALID);
  store.put(owner, first);
  assert.throws(() => store.put(owner, third), INVALID);
  assert.throws(() => store.put(owner, second), INVALID, 'the first chunk is forgotten');
  store.put(owner, first);
  assert.throws(() => store.put(owner, { ...second, sha256: sha256Of(Buffer.from('x')) }), INVALID);
  store.put(owner, first);
  store.put(owner, first);
  store.put(owner, second);
  store.put(owner, third);
  assert.deepEqual(store.get(first.sha256), blob);
});

test('P14: lengths are checked: of a chunk, of a blob, of nothing at all', () => {
  const store = new BlobStore();
  const owner = {};
  const sha256 = '0'.repeat(64);
  const data = Buffer.alloc(MAX_BLOB_CHUNK_BYTES + 1).toString('base64');
  assert.throws(() => store.put(owner, { sha256, offset: 0, data, last: false }), INVALID);
  assert.throws(() => store.put(owner, { sha256, offset: 0, data: '', last: false }), INVALID);
  const whole = Buffer.alloc(MAX_BLOB_CHUNK_BYTES).toString('base64');
  for (let offset = 0; offset < MAX_BLOB_BYTES; offset += MAX_BLOB_CHUNK_BYTES) {
    store.put(owner, { sha256, offset, data: whole, last: false });
  }
  const more = { sha256, offset: MAX_BLOB_BYTES, data: 'AA==', last: true };
  assert.throws(() => store.put(owner, more), { ...INVALID, message: /longer than/ });
});

test('the store stays within its limit: the blob not used for longest goes', () => {
  const store = new BlobStore({ maxTotalBytes: 30 });
  const blobs = ['a', 'b', 'c', 'd'].map((letter) => Buffer.from(letter.repeat(10)));
  const [a, b, c, d] = blobs.map(sha256Of) as [string, string, string, string];
  for (const blob of blobs.slice(0, 3)) putAll(store, {}, blob);
  assert.ok(store.get(a));
  putAll(store, {}, blobs[3] ?? assert.fail());
  assert.deepEqual(
    [a, b, c, d].map((sha256) => store.get(sha256) !== undefined),
    [true, false, true, true],
  );
});

test('unfinished uploads count, until their owner finishes or goes', () => {
  const store = new BlobStore({ maxTotalBytes: 10 });
  const [one, other] = [{}, {}];
  const blob = Buffer.from('abcdefghij');
  const [first, second] = chunksOf(blob, 8);
  assert.ok(first && second);
  store.put(one, first);
  assert.throws(() => store.put(other, first), { code: 'ERR_TLSHUB_LIMIT' });
  store.forget(one);
  assert.throws(() => store.put(one, second), INVALID);
  store.put(other, first);
  store.put(other, second);
  assert.deepEqual(store.get(sha256Of(blob)), blob);
  store.forget(other);
  putAll(store, one, Buffer.from('0123456789'));
  assert.equal(store.get(sha256Of(blob)), undefined);
});

test('the empty list needs no put', () => {
  assert.deepEqual(new BlobStore().get(sha256Of(Buffer.alloc(0))), Buffer.alloc(0));
});

test('what this process trusts by default is `bundled`, whatever that is', () => {
  const own = defaultCa();
  assert.ok('sha256' in own);
  assert.equal(new BlobStore().get(own.sha256), 'bundled');
});

test('Node’s bundled list is `bundled` only for a daemon that trusts just that', async (t) => {
  const script = `
    import { createHash } from 'node:crypto';
    import tls from 'node:tls';
    import { BlobStore } from './dist/daemon/blob-store.js';
    const sha256 = createHash('sha256').update(tls.rootCertificates.join('\\0')).digest('hex');
    console.log(JSON.stringify([new BlobStore().get(sha256) ?? null]));
  `;
  const env = { NODE_EXTRA_CA_CERTS: undefined, NODE_OPTIONS: undefined };
  assert.deepEqual(await runNodeForJson(script, { env }), ['bundled']);
  const file = join(tempDir(t), 'extra.pem');
  writeFileSync(file, clientA.ca);
  const extra = { ...env, NODE_EXTRA_CA_CERTS: file };
  assert.deepEqual(await runNodeForJson(script, { env: extra }), [null]);
  assert.deepEqual(await runNodeForJson(script, { env, nodeArguments: ['--use-openssl-ca'] }), [null]);
});
