// ALPN lists in wire form, by the bytes of RFC 7301 §3.1.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeAlpn, isAlpnWire } from '#src/protocol/alpn.js';

test('names are encoded with their lengths, in order', () => {
  assert.equal(encodeAlpn(['h2', 'http/1.1'])?.toString('hex'), '02683208687474702f312e31');
  assert.equal(encodeAlpn(['ä'])?.toString('hex'), '02c3a4');
  assert.equal(encodeAlpn([])?.length, 0);
  assert.equal(encodeAlpn(['x'.repeat(255)])?.length, 256);
});

test('a name that cannot be one, or a list too long, is not encoded', () => {
  for (const names of [
    [''],
    ['h2', ''],
    ['x'.repeat(256)],
    ['ä'.repeat(128)],
    Array(300).fill('x'.repeat(255)),
  ]) {
    assert.equal(encodeAlpn(names), undefined);
  }
});

test('only a list without gaps and rests is in wire form', () => {
  for (const good of ['', '0168', '02683208687474702f312e31', `ff${'61'.repeat(255)}`]) {
    assert.equal(isAlpnWire(Buffer.from(good, 'hex')), true, good);
  }
  for (const bad of ['00', '01', '0268', '016800', '02683200', '016802']) {
    assert.equal(isAlpnWire(Buffer.from(bad, 'hex')), false, bad);
  }
  assert.equal(isAlpnWire(Buffer.from(`0161${'0161'.repeat(40_000)}`, 'hex')), false);
});
