// Lines on a byte stream: literal bytes at every split point, and a naive twin that has the whole stream at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MAX_LINE_BYTES } from '#src/protocol/limits.js';
import { decodeLine, encodeLine, LineDecoder } from '#src/protocol/line-codec.js';

const PROTOCOL_ERROR = { name: 'TlshubError', code: 'ERR_TLSHUB_PROTOCOL' };

/** `{"a":1}`, `{"ö":"\n"}` and the beginning of a third line; the newline within the second is escaped. */
const STREAM = Buffer.from('7b2261223a317d0a7b22c3b6223a225c6e227d0a7b227261', 'hex');
const LINES = ['7b2261223a317d', '7b22c3b6223a225c6e227d'];
const REST = '7b227261';

/** All lines of the chunks, and what is left. */
function decodeChunks(chunks: readonly Buffer[]): { lines: string[]; rest: string } {
  const decoder = new LineDecoder();
  const lines: string[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (let line = decoder.next(); line !== undefined; line = decoder.next())
      lines.push(line.toString('hex'));
  }
  return { lines, rest: decoder.takeRest().toString('hex') };
}

/** The same without any cleverness. */
function decodeNaively(stream: Buffer): { lines: string[]; rest: string } {
  const hex = stream.toString('hex').match(/../g) ?? [];
  const lines: string[] = [];
  let line = '';
  for (const byte of hex) {
    if (byte === '0a') {
      lines.push(line);
      line = '';
    } else {
      line += byte;
    }
  }
  return { lines, rest: line };
}

test('a message is its JSON and one newline', () => {
  assert.equal(encodeLine({ a: 1 }).toString('hex'), '7b2261223a317d0a');
  assert.equal(encodeLine({ ö: '\n' }).toString('hex'), '7b22c3b6223a225c6e227d0a');
  assert.equal(encodeLine({ call: 'status', id: 7 }).toString(), '{"call":"status","id":7}\n');
});

test('a line is a JSON object, or no message', () => {
  assert.deepEqual(decodeLine(Buffer.from('{"a":1}')), { a: 1 });
  assert.deepEqual(decodeLine(Buffer.from(' {"a" : 1}\r')), { a: 1 }, 'white space around JSON is JSON');
  for (const text of [
    '',
    ' ',
    '{',
    '{"a":1}}',
    '{a:1}',
    'null',
    '1',
    '"a"',
    '[]',
    '[{}]',
    'true',
    '\0',
    'GET / HTTP/1.1',
  ]) {
    assert.throws(() => decodeLine(Buffer.from(text)), PROTOCOL_ERROR, JSON.stringify(text));
  }
});

test('a message without end, or nested without end, is refused without harm', () => {
  assert.throws(() => decodeLine(Buffer.from('['.repeat(500_000))), PROTOCOL_ERROR);
  const deep = `{"a":${'['.repeat(300_000)}${']'.repeat(300_000)}}`;
  assert.equal(typeof decodeLine(Buffer.from(deep)), 'object');
});

test('lines come whole, however the stream is cut in two or three', () => {
  for (let first = 0; first <= STREAM.length; first += 1) {
    for (let second = first; second <= STREAM.length; second += 1) {
      const chunks = [STREAM.subarray(0, first), STREAM.subarray(first, second), STREAM.subarray(second)];
      assert.deepEqual(decodeChunks(chunks), { lines: LINES, rest: REST }, `cut at ${first} and ${second}`);
    }
  }
});

test('lines come whole, byte by byte', () => {
  const bytes = [...STREAM].map((byte) => Buffer.of(byte));
  assert.deepEqual(decodeChunks(bytes), { lines: LINES, rest: REST });
});

test('any stream in any chunks gives what a naive decoder makes of the whole', () => {
  const byte = fc.oneof({ weight: 1, arbitrary: fc.constant(0x0a) }, { weight: 4, arbitrary: fc.nat(255) });
  const chunk = fc.array(byte, { maxLength: 12 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 12 }), (chunks) => {
      assert.deepEqual(decodeChunks(chunks), decodeNaively(Buffer.concat(chunks)));
    }),
    { numRuns: 2_000 },
  );
});

test('what follows a line is kept apart for the lane, from the first byte on', () => {
  const decoder = new LineDecoder();
  decoder.push(Buffer.from('7b7d0a0a00ff0a', 'hex'));
  assert.equal(decoder.next()?.toString(), '{}');
  assert.equal(decoder.takeRest().toString('hex'), '0a00ff0a');
  assert.equal(decoder.takeRest().length, 0);
  decoder.push(Buffer.from('{}\n'));
  assert.equal(decoder.next()?.toString(), '{}', 'and the decoder begins anew');
});

test('P14: a line may have 1 MiB with its newline, and not a byte more', () => {
  const longest = Buffer.alloc(MAX_LINE_BYTES, 'a');
  longest[MAX_LINE_BYTES - 1] = 0x0a;
  const decoder = new LineDecoder();
  decoder.push(Buffer.concat([longest, Buffer.from('b\n')]));
  assert.equal(decoder.next()?.length, MAX_LINE_BYTES - 1);
  assert.equal(decoder.next()?.toString(), 'b');

  const tooLong = new LineDecoder();
  tooLong.push(Buffer.concat([Buffer.from('a'), longest]));
  assert.throws(() => tooLong.next(), PROTOCOL_ERROR);
});

test('P14: a line that does not end is refused as soon as it is over the limit, in chunks of any size', () => {
  for (const chunkBytes of [1_000, 65_536, 300_001]) {
    const decoder = new LineDecoder();
    const chunk = Buffer.alloc(chunkBytes, 'x');
    let taken = 0;
    assert.throws(() => {
      for (;;) {
        decoder.push(chunk);
        taken += chunkBytes;
        assert.equal(decoder.next(), undefined);
      }
    }, PROTOCOL_ERROR);
    assert.equal(taken, Math.ceil((MAX_LINE_BYTES + 1) / chunkBytes) * chunkBytes);
  }
});
