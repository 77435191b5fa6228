// The blob of CA certificates: joined and split again, entry by entry.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { blobHash, joinCa, splitCa } from '#src/protocol/ca-blob.js';

const entry = fc.string().filter((text) => !text.includes('\0'));

test('entries come back as they went, as text or as bytes', () => {
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1 }), fc.array(fc.boolean()), (entries, asBytes) => {
      const given = entries.map((text, index) => (asBytes[index] ? Buffer.from(text) : text));
      const blob = Buffer.from(joinCa(given) ?? assert.fail());
      // One empty entry says as much as none.
      const expected = entries.join('') === '' && entries.length === 1 ? [] : entries;
      assert.deepEqual(splitCa(blob).map(String), expected);
      assert.equal(blobHash(blob), blobHash(joinCa(entries) ?? assert.fail()));
    }),
  );
});

test('no entries make an empty blob, which has none', () => {
  assert.equal(joinCa([]), '');
  assert.deepEqual(splitCa(Buffer.alloc(0)), []);
});

test('an entry with the separator cannot be joined', () => {
  for (const entries of [['a\0'], ['a', '\0'], [Buffer.from([0])], ['a', Buffer.from('b\0c')]]) {
    assert.equal(joinCa(entries), undefined);
  }
});

test('the hash is SHA-256 in hexadecimal (FIPS 180-4, the message "abc")', () => {
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
  assert.equal(blobHash('abc'), abc);
  assert.equal(blobHash(Buffer.from('abc')), abc);
});
