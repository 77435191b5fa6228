// Frames: literal bytes in, every way to cut them, and a naive decoder as the oracle.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  encodeFrame,
  encodeFrameHeader,
  FRAME_FLAGS,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  type Frame,
  FrameDecoder,
  type FrameType,
  TRUNK_HEADER_BYTES,
  writeTrunkHeader,
} from '#src/protocol/frame-codec.js';
import { MAX_FRAME_OFFSET, MAX_FRAME_PAYLOAD_BYTES } from '#src/protocol/limits.js';

const { DATA, ACK, CREDIT, WANT } = FRAME_TYPES;

/** A frame in hexadecimal and what it says. */
const FRAMES: readonly { hex: string; type: FrameType; flags: number; offset: number; payload: string }[] = [
  { hex: '01 00 00000003 000000000000 616263', type: DATA, flags: 0, offset: 0, payload: 'abc' },
  { hex: '01 01 00000001 000000010203 7a', type: DATA, flags: 1, offset: 0x10203, payload: 'z' },
  { hex: '01 01 00000000 000000000007', type: DATA, flags: 1, offset: 7, payload: '' },
  { hex: '02 00 00000000 0000ffffffff', type: ACK, flags: 0, offset: 2 ** 32 - 1, payload: '' },
  { hex: '03 00 00000000 ffffffffffff', type: CREDIT, flags: 0, offset: 2 ** 48 - 1, payload: '' },
  { hex: '04 00 00000000 000000000000', type: WANT, flags: 0, offset: 0, payload: '' },
  { hex: '01 00 00000002 fffffffffffd 0001', type: DATA, flags: 0, offset: 2 ** 48 - 3, payload: '\0\x01' },
];

/** A frame that must be refused, with a word of the reason. */
const REFUSED: readonly { hex: string; why: RegExp }[] = [
  { hex: '00 00 00000000 000000000000', why: /0 is no type/ },
  { hex: '05 00 00000000 000000000000', why: /5 is no type/ },
  { hex: 'ff 00 00000000 000000000000', why: /255 is no type/ },
  { hex: '7b 22 63616c6c 223a2272656c', why: /123 is no type/ },
  { hex: '01 02 00000000 000000000000', why: /reserved flags/ },
  { hex: '01 81 00000000 000000000000', why: /reserved flags/ },
  { hex: '02 01 00000000 000000000000', why: /reserved flags/ },
  { hex: '04 01 00000000 000000000000', why: /reserved flags/ },
  { hex: '01 00 00010001 000000000000', why: /longer than 65536/ },
  { hex: '01 00 ffffffff 000000000000', why: /longer than 65536/ },
  { hex: '02 00 00000001 000000000000', why: /has no payload/ },
  { hex: '03 00 00000001 000000000000', why: /has no payload/ },
  { hex: '04 00 00000001 000000000000', why: /has no payload/ },
  { hex: '04 00 00000000 000000000001', why: /WANT has an offset/ },
  { hex: '01 00 00000001 ffffffffffff', why: /offset is over the limit/ },
  { hex: '01 00 00010000 ffffffff0000', why: /offset is over the limit/ },
];

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

/** The frames in chunks, as text, and the code of the error that ended them. */
function decode(chunks: readonly Buffer[]): { frames: string[]; error: string | undefined; pending: number } {
  const decoder = new FrameDecoder();
  const frames: string[] = [];
  let error: string | undefined;
  try {
    for (const chunk of chunks) {
      decoder.push(chunk);
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(show(frame));
    }
  } catch (thrown) {
    error = (thrown as { code?: string }).code ?? String(thrown);
  }
  return { frames, error, pending: decoder.pendingBytes };
}

/** The same by a decoder that has all bytes at once, written from the table of the format alone. */
function decodeNaively(bytes: Buffer): { frames: string[]; error: string | undefined } {
  const frames: string[] = [];
  for (let at = 0; at + 12 <= bytes.length; ) {
    const [type = 0, flags = 0] = bytes.subarray(at, at + 2);
    const length = Number(BigInt(`0x${bytes.toString('hex', at + 2, at + 6)}`));
    const offset = Number(BigInt(`0x${bytes.toString('hex', at + 6, at + 12)}`));
    const good =
      type >= 1 &&
      type <= 4 &&
      (type === 1
        ? flags <= 1 && length <= 65_536 && offset + length < 2 ** 48
        : flags === 0 && length === 0) &&
      (type !== 4 || offset === 0);
    if (!good) return { frames, error: 'ERR_TLSHUB_PROTOCOL' };
    if (at + 12 + length > bytes.length) break;
    const payload = bytes.toString('hex', at + 12, at + 12 + length);
    frames.push(`${type} ${flags} ${offset} ${payload}`);
    at += 12 + length;
  }
  return { frames, error: undefined };
}

function show({ type, flags, offset, payload }: Frame): string {
  return `${type} ${flags} ${offset} ${payload.toString('hex')}`;
}

/** The bytes cut at the given places. */
function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places, bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end));
}

describe('literal frames', () => {
  for (const { hex, type, flags, offset, payload } of FRAMES) {
    test(`${hex} is encoded and decoded`, () => {
      const bytes = bytesOf(hex);
      const content = Buffer.from(payload, 'latin1');
      assert.deepEqual(encodeFrame({ type, flags, offset, payload: content }), bytes);
      const header = encodeFrameHeader({ type, flags, offset, payloadBytes: content.length });
      assert.deepEqual(Buffer.concat([header, content]), bytes);
      const decoder = new FrameDecoder();
      decoder.push(bytes);
      assert.deepEqual(decoder.next(), { lane: 0, type, flags, offset, payload: content });
      assert.equal(decoder.next(), undefined);
      assert.equal(decoder.pendingBytes, 0);
    });
  }

  test('flags and payload have defaults', () => {
    assert.deepEqual(encodeFrame({ type: ACK, offset: 5 }), bytesOf('02 00 00000000 000000000005'));
    assert.deepEqual(encodeFrameHeader({ type: WANT, offset: 0 }), bytesOf('04 00 00000000 000000000000'));
    assert.equal(FRAME_HEADER_BYTES, 12);
    assert.equal(FRAME_FLAGS.END_OF_UNIT, 1);
  });
});

describe('P14: refused frames', () => {
  for (const { hex, why } of REFUSED) {
    test(`${hex}: ${why.source}`, () => {
      const bytes = bytesOf(hex);
      const decoder = new FrameDecoder();
      // The header decides: nothing of the payload is waited for.
      decoder.push(bytes);
      assert.throws(() => decoder.next(), { code: 'ERR_TLSHUB_PROTOCOL', message: why });
      assert.throws(() => decoder.next(), { code: 'ERR_TLSHUB_PROTOCOL', message: why }, 'the error stays');
      for (let place = 0; place <= bytes.length; place += 1) {
        assert.equal(decode(cutAt(bytes, [place])).error, 'ERR_TLSHUB_PROTOCOL', `cut at ${place}`);
      }
    });

    test(`${hex} cannot be encoded`, () => {
      const bytes = bytesOf(hex);
      const header = {
        type: bytes.readUInt8(0) as FrameType,
        flags: bytes.readUInt8(1),
        payloadBytes: bytes.readUInt32BE(2),
        offset: bytes.readUIntBE(6, 6),
      };
      assert.throws(() => encodeFrameHeader(header), { code: 'ERR_TLSHUB_PROTOCOL', message: why });
    });
  }

  for (const offset of [-1, 0.5, Number.NaN, MAX_FRAME_OFFSET + 1, Number.MAX_SAFE_INTEGER, Infinity]) {
    test(`offset ${offset} cannot be encoded`, () => {
      assert.throws(() => encodeFrame({ type: ACK, offset }), { code: 'ERR_TLSHUB_PROTOCOL' });
    });
  }

  test('frames before a refused one are given', () => {
    const bytes = Buffer.concat([
      bytesOf('02 00 00000000 000000000001'),
      bytesOf('09 00 00000000 000000000000'),
    ]);
    for (let place = 0; place <= bytes.length; place += 1) {
      const { frames, error } = decode(cutAt(bytes, [place]));
      assert.deepEqual(frames, ['2 0 1 ']);
      assert.equal(error, 'ERR_TLSHUB_PROTOCOL');
    }
  });
});

describe('cuts', () => {
  const stream = Buffer.concat(FRAMES.map(({ hex }) => bytesOf(hex)));
  const whole = decodeNaively(stream).frames;

  test('the naive decoder reads the literal frames as the table says', () => {
    assert.deepEqual(
      whole,
      FRAMES.map(
        ({ type, flags, offset, payload }) =>
          `${type} ${flags} ${offset} ${Buffer.from(payload, 'latin1').toString('hex')}`,
      ),
    );
  });

  test('a stream of all frames, cut at every pair of places', () => {
    for (let first = 0; first <= stream.length; first += 1) {
      for (let second = first; second <= stream.length; second += 1) {
        const { frames, error, pending } = decode(cutAt(stream, [first, second]));
        assert.deepEqual({ frames, error, pending }, { frames: whole, error: undefined, pending: 0 });
      }
    }
  });

  test('a stream of all frames, byte by byte', () => {
    const places = Array.from({ length: stream.length }, (_, place) => place);
    assert.deepEqual(decode(cutAt(stream, places)).frames, whole);
  });

  test('a stream that stops early is pending', () => {
    for (let end = 0; end < stream.length; end += 1) {
      const { frames, error, pending } = decode([stream.subarray(0, end)]);
      const used = frames.reduce((sum, frame) => sum + 12 + (frame.split(' ')[3] ?? '').length / 2, 0);
      assert.deepEqual({ error, pending }, { error: undefined, pending: end - used });
    }
  });

  test('a payload of the greatest length, cut in pieces', () => {
    const payload = Buffer.alloc(MAX_FRAME_PAYLOAD_BYTES, 'pattern');
    const bytes = encodeFrame({ type: DATA, offset: 9, payload });
    for (const pieceBytes of [1000, 4096, 65_536, 65_547, 65_548]) {
      const decoder = new FrameDecoder();
      const got: Frame[] = [];
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        decoder.push(bytes.subarray(at, at + pieceBytes));
        for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) got.push(frame);
      }
      assert.equal(got.length, 1);
      assert.ok(got[0]?.payload.equals(payload));
    }
  });
});

describe('memory', () => {
  test('a payload that lies whole in a chunk is not copied', () => {
    const chunk = Buffer.concat([bytesOf('01 00 00000003 000000000000'), Buffer.from('abc')]);
    const decoder = new FrameDecoder();
    decoder.push(chunk);
    const frame = decoder.next();
    chunk.write('xyz', 12);
    assert.equal(frame?.payload.toString(), 'xyz');
  });

  test('a payload from several chunks does not share memory with them', () => {
    const decoder = new FrameDecoder();
    const chunks = [bytesOf('01 00 00000003 000000000000 61'), bytesOf('62'), bytesOf('63')];
    let frame: Frame | undefined;
    for (const chunk of chunks) {
      decoder.push(chunk);
      frame = decoder.next();
      chunk.fill(0);
    }
    assert.equal(frame?.payload.toString(), 'abc');
  });

  test('a chunk whose frames were not all taken refuses another', () => {
    const decoder = new FrameDecoder();
    decoder.push(bytesOf('02 00 00000000 000000000001 02 00 00000000 000000000002'));
    assert.equal(decoder.next()?.offset, 1);
    assert.throws(() => decoder.push(bytesOf('02')), /previous chunk/);
    assert.equal(decoder.next()?.offset, 2);
    assert.equal(decoder.next(), undefined);
    decoder.push(bytesOf('02'));
  });

  test('P14: between chunks it holds less than one header and one payload', () => {
    const decoder = new FrameDecoder();
    const chunk = encodeFrame({ type: DATA, offset: 0, payload: Buffer.alloc(MAX_FRAME_PAYLOAD_BYTES) });
    let frames = 0;
    for (let round = 0; round < 40; round += 1) {
      decoder.push(chunk.subarray(0, round * 1000));
      while (decoder.next() !== undefined) frames += 1;
      assert.ok(decoder.pendingBytes < FRAME_HEADER_BYTES + MAX_FRAME_PAYLOAD_BYTES);
      decoder.push(chunk.subarray(round * 1000));
      while (decoder.next() !== undefined) frames += 1;
      assert.equal(decoder.pendingBytes, 0);
    }
    assert.equal(frames, 40);
  });
});

describe('random streams against the naive decoder', () => {
  const places = fc.array(fc.nat(10_000), { maxLength: 12 });
  const frame = fc.oneof(
    fc
      .record({ flags: fc.nat(1), offset: fc.nat(2 ** 31 - 1), payload: fc.uint8Array({ maxLength: 300 }) })
      .map((fields) => encodeFrame({ type: DATA, ...fields })),
    fc
      .record({ type: fc.constantFrom<FrameType>(ACK, CREDIT), offset: fc.maxSafeNat() })
      .map(({ type, offset }) => encodeFrame({ type, offset: offset % 2 ** 48 })),
    fc.constant(encodeFrame({ type: WANT, offset: 0 })),
  );

  function sameAsNaive(bytes: Buffer, cuts: readonly number[]): void {
    const chunks = cutAt(
      bytes,
      cuts.map((cut) => cut % (bytes.length + 1)),
    );
    const { frames, error } = decode(chunks);
    assert.deepEqual({ frames, error }, decodeNaively(bytes));
  }

  test('good frames in any chunks', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), places, (frames, cuts) => {
        sameAsNaive(Buffer.concat(frames), cuts);
      }),
      { numRuns: 500 },
    );
  });

  test('P14: good frames with bytes changed', () => {
    const changes = fc.array(fc.tuple(fc.nat(5000), fc.nat(255)), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(
        fc.array(frame, { minLength: 1, maxLength: 12 }),
        places,
        changes,
        (frames, cuts, changed) => {
          const bytes = Buffer.concat(frames);
          for (const [at, value] of changed) bytes[at % bytes.length] = value;
          sameAsNaive(bytes, cuts);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('P14: garbage', () => {
    // Small first bytes, so that much of it gets past the type.
    const garbage = fc.array(fc.oneof(fc.nat(4), fc.nat(255)), { maxLength: 200 });
    fc.assert(
      fc.property(garbage, places, (bytes, cuts) => sameAsNaive(Buffer.from(bytes), cuts)),
      { numRuns: 1000 },
    );
  });
});

describe('frames of a trunk', () => {
  const header = (lane: number, type: FrameType, flags: number, offset: number, length: number) => {
    const into = Buffer.alloc(TRUNK_HEADER_BYTES + 1);
    writeTrunkHeader(into, 1, { lane, type, flags, offset }, length);
    return into.subarray(1);
  };
  const END = FRAME_TYPES.END;
  const OFFER = FRAME_TYPES.OFFER;

  const LITERAL: readonly [hex: string, head: Buffer, payload: string][] = [
    ['80000000 06 00 00000000 000000000000', header(2 ** 31, FRAME_TYPES.TAKE, 0, 0, 0), ''],
    ['80000001 05 01 00000002 000000000000 7b7d', header(2 ** 31 + 1, OFFER, 1, 0, 2), '{}'],
    ['ffffffff 07 02 00000000 000000000009', header(2 ** 32 - 1, END, 2, 9, 0), ''],
    ['80000000 08 00 00000000 000000000000', header(2 ** 31, FRAME_TYPES.CLOSE, 0, 0, 0), ''],
    ['80000000 09 00 00000001 000000000000 78', header(2 ** 31, FRAME_TYPES.STATE, 0, 0, 1), 'x'],
    ['80000000 01 01 00000003 000000000005 616263', header(2 ** 31, DATA, 1, 5, 3), 'abc'],
  ];
  const stream = Buffer.concat(LITERAL.map(([hex]) => bytesOf(hex)));

  function lanesIn(chunks: readonly Buffer[]): string[] {
    const decoder = new FrameDecoder('trunk');
    const frames: string[] = [];
    for (const chunk of chunks) {
      decoder.push(Buffer.from(chunk));
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next())
        frames.push(`${frame.lane} ${show(frame)}`);
    }
    assert.equal(decoder.pendingBytes, 0);
    return frames;
  }

  test('literal frames are written, and read again when they are cut at every pair of places', () => {
    for (const [hex, head, payload] of LITERAL)
      assert.deepEqual(Buffer.concat([head, Buffer.from(payload)]), bytesOf(hex));
    const whole = lanesIn([stream]);
    assert.equal(whole.length, LITERAL.length);
    assert.equal(whole[2], '4294967295 7 2 9 ');
    for (let first = 0; first <= stream.length; first += 1)
      for (let second = first; second <= stream.length; second += 1)
        assert.deepEqual(lanesIn(cutAt(stream, [first, second])), whole);
  });

  test('P14: what no frame of a trunk may have is refused', () => {
    for (const [hex, why] of [
      ['80000000 00 00 00000000 000000000000', /no type/],
      ['80000000 0a 00 00000000 000000000000', /no type/],
      ['80000000 06 00 00000000 000000000001', /TAKE has an offset/],
      ['80000000 05 02 00000000 000000000000', /reserved flags/],
      ['80000000 07 01 00000000 000000000000', /reserved flags/],
      ['80000000 08 00 00000001 000000000000', /no payload/],
      ['80000000 09 00 00010001 000000000000', /longer than 65536/],
    ] as const) {
      const decoder = new FrameDecoder('trunk');
      decoder.push(bytesOf(hex));
      assert.throws(() => decoder.next(), { code: 'ERR_TLSHUB_PROTOCOL', message: why });
    }
  });
});
