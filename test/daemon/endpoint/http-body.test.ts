// P14 for the bodies of HTTP messages: where they end, wherever their bytes are split, and which chunks are refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyReader, UNTIL_CLOSE, WITH_CHUNKS } from '#src/daemon/endpoint/http-body.js';
import { HttpSyntaxError } from '#src/daemon/endpoint/http-fields.js';

/** Reads parts one after the other; answers how many bytes are the body's, and the content of its chunks. */
function read(length: number, ...parts: readonly string[]) {
  const body = new BodyReader();
  body.begin(length);
  body.content = [];
  let bytes = 0;
  for (const part of parts) {
    const piece = Buffer.from(part, 'latin1');
    bytes += body.done ? 0 : body.read(piece, 0);
  }
  return { done: body.done, bytes, content: Buffer.concat(body.content).toString('latin1') };
}

const CHUNKED: readonly (readonly [body: string, content: string])[] = [
  ['0\r\n\r\n', ''],
  ['5\r\nhello\r\n0\r\n\r\n', 'hello'],
  ['00a\r\n0123456789\r\n1\r\n\n\r\n000\r\n\r\n', '0123456789\n'],
  ['A;x=y;z="q\\"r";w\r\n0123456789\r\n0;end\r\n\r\n', '0123456789'],
  ['1\r\n\xff\r\n0\r\nT: v\r\nU:\r\n\r\n', '\xff'],
];

test('P6: a chunked body ends in the same place wherever its bytes are split', () => {
  for (const [body, content] of CHUNKED) {
    const wanted = { done: true, bytes: body.length, content };
    for (let split = 0; split <= body.length; split += 1) {
      const parts = [body.slice(0, split), `${body.slice(split)}GET`];
      // Behind the end nothing is the body's.
      assert.deepEqual(read(WITH_CHUNKS, ...parts), wanted, `${JSON.stringify(body)} at ${split}`);
      if (split < body.length) assert.equal(read(WITH_CHUNKS, body.slice(0, split)).done, false);
    }
    assert.deepEqual(read(WITH_CHUNKS, ...body), wanted, 'byte by byte');
  }
});

test('a body with a length ends by it, and one without only with its connection', () => {
  assert.deepEqual(read(0), { done: true, bytes: 0, content: '' });
  assert.deepEqual(read(3, 'a', 'bcd'), { done: true, bytes: 3, content: '' });
  assert.deepEqual(read(4, 'a', 'bc'), { done: false, bytes: 3, content: '' });
  assert.deepEqual(read(UNTIL_CLOSE, 'a', 'bcd'), { done: false, bytes: 4, content: '' });
});

test('the next body of the same reader begins anew', () => {
  const body = new BodyReader();
  body.begin(WITH_CHUNKS);
  body.read(Buffer.from('5;x\r\nhe'), 0);
  for (const length of [3, WITH_CHUNKS]) {
    body.begin(length);
    const text = Buffer.from(length === 3 ? 'xabc' : 'x1\r\na\r\n0\r\n\r\n');
    assert.equal(body.read(text, 1), text.length);
    assert.equal(body.done, true);
  }
});

const BAD_CHUNKS: readonly string[] = [
  '\r\n',
  ' 5\r\n',
  '5 \r\n',
  '+5\r\n',
  '0x5\r\n',
  'g\r\n',
  '-1\r\n',
  '5\n',
  '5\rx',
  '5\r\nhelloX',
  '5\r\nhello\n',
  '5\r\nhello\rX',
  `${'0'.repeat(14)}\r\n`,
  ';x\r\n',
  '5;\r\n',
  '5; x\r\n',
  '5;x =y\r\n',
  '5;x=\r\n',
  '5;x="\0"\r\n',
  '5;x="\n"\r\n',
  '5;x="y"z\r\n',
  '5;x\n',
  '0\r\n\n',
  '0\r\n\rX',
  '0\r\n folded\r\n',
  '0\r\nT : v\r\n',
  '0\r\nT\r\n',
  '0\r\nT: v\n',
  '0\r\nT: \0',
  '0\r\nContent-Length: 1\r\n',
  '0\r\nTransfer-Encoding: chunked\r\n',
  '0\r\nHost: a\r\n',
  `1;${'x'.repeat(17_000)}`,
  `0\r\nT: ${'x'.repeat(17_000)}`,
];

test('P14: chunks that two readers could understand in two ways are refused, wherever they are split', () => {
  for (const text of BAD_CHUNKS) {
    const title = JSON.stringify(text.slice(0, 40));
    assert.throws(() => read(WITH_CHUNKS, text), HttpSyntaxError, title);
    assert.throws(() => read(WITH_CHUNKS, ...text), HttpSyntaxError, `${title} byte by byte`);
  }
});
