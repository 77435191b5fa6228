// Message boundaries: literal bytes, every way to cut them, and a naive splitter that has all bytes at once.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import * as v from 'valibot';
import { type MessageRule, MessageSplitter, messageRuleSchema } from '#src/protocol/message-splitter.js';

const MIB = 1024 * 1024;

/** A stream in latin1 with the messages and the rest that a rule makes of it. */
const CASES: readonly { rule: MessageRule; stream: string; messages: readonly string[]; rest: string }[] = [
  { rule: { delimiter: '\n' }, stream: 'a\nbc\n', messages: ['a\n', 'bc\n'], rest: '' },
  { rule: { delimiter: '\n' }, stream: '\n\nx\n\n', messages: ['\n', '\n', 'x\n', '\n'], rest: '' },
  { rule: { delimiter: '\n' }, stream: 'no end', messages: [], rest: 'no end' },
  {
    rule: { delimiter: '\r\n' },
    stream: 'a\r\n\r\n\nb\r\r\nc\r',
    messages: ['a\r\n', '\r\n', '\nb\r\r\n'],
    rest: 'c\r',
  },
  { rule: { delimiter: 'aab' }, stream: 'aaabaabab', messages: ['aaab', 'aab'], rest: 'ab' },
  { rule: { delimiter: 'aa' }, stream: 'aaaaa', messages: ['aa', 'aa'], rest: 'a' },
  { rule: { delimiter: 'abab' }, stream: 'ababab abab', messages: ['abab', 'ab abab'], rest: '' },
  { rule: { delimiter: '\0' }, stream: '\0x\0', messages: ['\0', 'x\0'], rest: '' },
  {
    rule: { delimiter: '€' },
    stream: '1\xe2\x82\xac\xe2\x82\xe2\x82\xac',
    messages: ['1\xe2\x82\xac', '\xe2\x82\xe2\x82\xac'],
    rest: '',
  },
  {
    rule: { delimiter: '--end--' },
    stream: '--en--end----end--x',
    messages: ['--en--end--', '--end--'],
    rest: 'x',
  },
  {
    rule: { lengthPrefix: 1 },
    stream: '\x00\x01a\x03bcd\x02e',
    messages: ['\x00', '\x01a', '\x03bcd'],
    rest: '\x02e',
  },
  {
    rule: { lengthPrefix: 2 },
    stream: '\x00\x02ab\x00\x00\x00\x01c\x00',
    messages: ['\x00\x02ab', '\x00\x00', '\x00\x01c'],
    rest: '\x00',
  },
  {
    rule: { lengthPrefix: 2 },
    stream: `\x01\x00${'x'.repeat(256)}`,
    messages: [`\x01\x00${'x'.repeat(256)}`],
    rest: '',
  },
  {
    rule: { lengthPrefix: 4 },
    stream: '\x00\x00\x00\x03abc\x00\x00\x00\x00',
    messages: ['\x00\x00\x00\x03abc', '\x00\x00\x00\x00'],
    rest: '',
  },
];

/** What a stream in chunks gives: messages and the rest as latin1, and the code of the error that ended it. */
interface Outcome {
  messages: string[];
  rest: string;
  error: string | undefined;
}

function split(rule: MessageRule, chunks: readonly Buffer[], maxMessageBytes = MIB): Outcome {
  const splitter = new MessageSplitter(rule, maxMessageBytes);
  const messages: string[] = [];
  let error: string | undefined;
  try {
    for (const chunk of chunks) {
      messages.push(...splitter.push(chunk).map((message) => message.toString('latin1')));
    }
    if (splitter.failure !== undefined) throw splitter.failure;
  } catch (thrown) {
    error = (thrown as { code?: string }).code ?? String(thrown);
  }
  const { pendingBytes } = splitter;
  const rest = splitter.takeRest().toString('latin1');
  assert.equal(rest.length, pendingBytes);
  assert.equal(splitter.pendingBytes, 0);
  return { messages, rest, error };
}

/** The same by looking at the whole stream from its first byte, again for each message. */
function splitNaively(rule: Exclude<MessageRule, 'chunk'>, stream: string, maxMessageBytes = MIB): Outcome {
  const messages: string[] = [];
  let rest = stream;
  for (;;) {
    let end: number;
    if ('delimiter' in rule) {
      const delimiter = Buffer.from(rule.delimiter).toString('latin1');
      const [before = '', ...more] = rest.split(delimiter);
      end = more.length === 0 ? Number.POSITIVE_INFINITY : before.length + delimiter.length;
    } else {
      const prefix = Buffer.from(rest.slice(0, rule.lengthPrefix), 'latin1').toString('hex');
      const known = prefix.length === 2 * rule.lengthPrefix;
      end = known ? rule.lengthPrefix + Number.parseInt(prefix, 16) : Number.POSITIVE_INFINITY;
    }
    const tooLong = Number.isFinite(end) ? end > maxMessageBytes : rest.length > maxMessageBytes;
    if (tooLong) return { messages, rest, error: 'ERR_TLSHUB_LIMIT' };
    if (end > rest.length) return { messages, rest, error: undefined };
    messages.push(rest.slice(0, end));
    rest = rest.slice(end);
  }
}

function cutAt(stream: string, places: readonly number[]): Buffer[] {
  const bytes = Buffer.from(stream, 'latin1');
  const ends = [...places, bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end));
}

describe('literal streams', () => {
  for (const { rule, stream, messages, rest } of CASES) {
    const title = `${JSON.stringify(rule)} ${JSON.stringify(stream.slice(0, 24))}`;
    const expected: Outcome = { messages: [...messages], rest, error: undefined };

    test(`${title}, cut at every pair of places`, () => {
      assert.deepEqual(splitNaively(rule as Exclude<MessageRule, 'chunk'>, stream), expected);
      for (let first = 0; first <= stream.length; first += 1) {
        for (let second = first; second <= Math.min(stream.length, first + 12); second += 1) {
          assert.deepEqual(split(rule, cutAt(stream, [first, second])), expected, `${first}, ${second}`);
        }
      }
    });

    test(`${title}, byte by byte`, () => {
      const places = Array.from({ length: stream.length }, (_, place) => place);
      assert.deepEqual(split(rule, cutAt(stream, places)), expected);
    });
  }

  test('each chunk is a message, an empty one is none', () => {
    const chunks = ['a', '', 'bc\n', ''].map((text) => Buffer.from(text));
    assert.deepEqual(split('chunk', chunks), { messages: ['a', 'bc\n'], rest: '', error: undefined });
  });

  test('a message that lies whole in a chunk is not copied', () => {
    const chunk = Buffer.from('ab\ncd\n');
    const [first, second] = new MessageSplitter({ delimiter: '\n' }).push(chunk);
    chunk.fill('z');
    assert.equal(`${first}${second}`, 'zzzzzz');
  });

  test('a message from several chunks does not share memory with them or the next message', () => {
    const splitter = new MessageSplitter({ delimiter: '\n' });
    const chunks = ['a', 'b\nc', 'd\n'].map((text) => Buffer.from(text));
    const messages = chunks.flatMap((chunk) => {
      const completed = splitter.push(chunk);
      chunk.fill('z');
      return completed;
    });
    assert.deepEqual(messages.map(String), ['ab\n', 'cd\n']);
  });
});

describe('limits', () => {
  const rules: readonly { rule: MessageRule; fits: string; over: string }[] = [
    { rule: 'chunk', fits: '12345678', over: '123456789' },
    { rule: { delimiter: '\n' }, fits: '1234567\n', over: '12345678\n' },
    { rule: { delimiter: '\r\n' }, fits: '123456\r\n', over: '1234567\r\n' },
    { rule: { lengthPrefix: 1 }, fits: '\x071234567', over: '\x0812345678' },
    { rule: { lengthPrefix: 2 }, fits: '\x00\x06123456', over: '\x00\x071234567' },
    { rule: { lengthPrefix: 4 }, fits: '\x00\x00\x00\x041234', over: '\x00\x00\x00\x0512345' },
  ];
  for (const { rule, fits, over } of rules) {
    test(`${JSON.stringify(rule)}: 8 of 8 bytes are a message, 9 are refused`, () => {
      assert.deepEqual(split(rule, cutAt(fits, []), 8), { messages: [fits], rest: '', error: undefined });
      assert.deepEqual(split(rule, cutAt(over, []), 8), {
        messages: [],
        rest: over,
        error: 'ERR_TLSHUB_LIMIT',
      });
      if (rule === 'chunk') return;
      for (let place = 1; place < over.length; place += 1) {
        const { messages, error } = split(rule, cutAt(over, [place]), 8);
        assert.deepEqual({ messages, error }, { messages: [], error: 'ERR_TLSHUB_LIMIT' });
      }
    });
  }

  test('an unfinished message over the limit is refused, one at the limit waits', () => {
    const splitter = new MessageSplitter({ delimiter: '\n' }, 8);
    assert.deepEqual(splitter.push(Buffer.from('12345678')), []);
    assert.equal(splitter.pendingBytes, 8);
    assert.throws(() => splitter.push(Buffer.from('9')), { code: 'ERR_TLSHUB_LIMIT' });
  });

  test('P14: a length over the limit is refused before its bytes come, and none is reserved', () => {
    const splitter = new MessageSplitter({ lengthPrefix: 4 });
    assert.throws(() => splitter.push(Buffer.from('ffffffff', 'hex')), { code: 'ERR_TLSHUB_LIMIT' });
    const arrayBuffersBefore = process.memoryUsage().arrayBuffers;
    const patient = new MessageSplitter({ lengthPrefix: 4 }, 2 ** 32 + 8);
    assert.deepEqual(patient.push(Buffer.from('ffffffff', 'hex')), []);
    assert.ok(process.memoryUsage().arrayBuffers - arrayBuffersBefore < MIB);
  });

  test('messages before one over the limit are given first', () => {
    const splitter = new MessageSplitter({ delimiter: '\n' }, 4);
    assert.deepEqual(splitter.push(Buffer.from('a\nb\ntoo long')).map(String), ['a\n', 'b\n']);
    assert.equal(splitter.failure?.code, 'ERR_TLSHUB_LIMIT');
    assert.throws(() => splitter.push(Buffer.from('\n')), { code: 'ERR_TLSHUB_LIMIT' });
    assert.throws(() => splitter.push(Buffer.alloc(0)), { code: 'ERR_TLSHUB_LIMIT' }, 'the error stays');
    assert.equal(splitter.takeRest().toString(), 'too long');
  });

  test('the default limit is 1 MiB', () => {
    const line = Buffer.alloc(MIB, 'x');
    line[MIB - 1] = 0x0a;
    assert.equal(new MessageSplitter({ delimiter: '\n' }).push(line).length, 1);
    const splitter = new MessageSplitter({ delimiter: '\n' });
    assert.throws(() => splitter.push(Buffer.concat([Buffer.from('x'), line])), { code: 'ERR_TLSHUB_LIMIT' });
  });

  test('a message of 1 MiB that comes byte by byte is cut in linear time', () => {
    const splitter = new MessageSplitter({ delimiter: '\r\n' });
    const byte = Buffer.from('x');
    for (let count = 0; count < MIB - 2; count += 1) splitter.push(byte);
    assert.equal(splitter.push(Buffer.from('\r')).length, 0);
    assert.equal(splitter.push(Buffer.from('\n'))[0]?.length, MIB);
  });
});

describe('the rule', () => {
  const good: readonly MessageRule[] = [
    'chunk',
    { delimiter: '\n' },
    { delimiter: 'x'.repeat(256) },
    { delimiter: '�' },
    { lengthPrefix: 1 },
    { lengthPrefix: 2 },
    { lengthPrefix: 4 },
  ];
  for (const rule of good) {
    test(`${JSON.stringify(rule).slice(0, 40)} is one`, () => {
      assert.deepEqual(v.parse(messageRuleSchema, JSON.parse(JSON.stringify(rule))), rule);
      assert.equal(new MessageSplitter(rule).pendingBytes, 0);
    });
  }

  const bad: readonly unknown[] = [
    { delimiter: '' },
    { delimiter: 'x'.repeat(257) },
    { delimiter: '€'.repeat(86) },
    { delimiter: '\ud800' },
    { delimiter: 10 },
    { delimiter: '\n', lengthPrefix: 1 },
    { delimiter: '\n', other: 1 },
    { lengthPrefix: 0 },
    { lengthPrefix: 3 },
    { lengthPrefix: '1' },
    {},
    'line',
    null,
    undefined,
    [],
  ];
  for (const rule of bad) {
    test(`${String(JSON.stringify(rule)).slice(0, 40)} is none`, () => {
      assert.equal(v.is(messageRuleSchema, rule), false);
      assert.throws(() => new MessageSplitter(rule as MessageRule), { code: 'ERR_TLSHUB_INVALID_OPTION' });
    });
  }

  for (const limit of [0, -1, 1.5, Number.NaN, Infinity]) {
    test(`${limit} is no limit`, () => {
      assert.throws(() => new MessageSplitter('chunk', limit), { code: 'ERR_TLSHUB_INVALID_OPTION' });
    });
  }
});

describe('random streams against the naive splitter', () => {
  const places = fc.array(fc.nat(10_000), { maxLength: 12 });
  const limit = fc.constantFrom(1, 2, 5, 20, MIB);

  function sameAsNaive(
    rule: Exclude<MessageRule, 'chunk'>,
    stream: string,
    cuts: number[],
    max: number,
  ): void {
    const chunks = cutAt(
      stream,
      cuts.map((cut) => cut % (stream.length + 1)),
    );
    const { messages, rest, error } = split(rule, chunks, max);
    const expected = splitNaively(rule, stream, max);
    assert.deepEqual({ messages, error }, { messages: expected.messages, error: expected.error });
    if (error === undefined) assert.equal(rest, expected.rest);
    // After an error the chunks behind it were never taken; what was taken is all there.
    else assert.ok(expected.rest.startsWith(rest) && rest.length > 0);
  }

  test('delimiters, in streams that are made of pieces of them', () => {
    // Few letters, so that delimiters overlap themselves and each other.
    const delimiter = fc.string({ unit: fc.constantFrom('a', 'b', 'é'), minLength: 1, maxLength: 5 });
    const stream = fc
      .string({ unit: fc.constantFrom('a', 'b', 'é'), maxLength: 80 })
      .map((text) => Buffer.from(text).toString('latin1'));
    fc.assert(
      fc.property(delimiter, stream, places, limit, (text, bytes, cuts, max) => {
        sameAsNaive({ delimiter: text }, bytes, cuts, max);
      }),
      { numRuns: 3000 },
    );
  });

  test('length prefixes', () => {
    const prefix = fc.constantFrom(1 as const, 2 as const, 4 as const);
    const bodies = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 10 });
    fc.assert(
      fc.property(prefix, bodies, fc.nat(8), places, limit, (prefixBytes, parts, missing, cuts, max) => {
        const messages = parts.map((part) => {
          const body = prefixBytes === 1 ? part.subarray(0, 255) : part;
          const head = Buffer.alloc(prefixBytes);
          head.writeUIntBE(body.length, 0, prefixBytes);
          return Buffer.concat([head, body]).toString('latin1');
        });
        const stream = messages.join('');
        sameAsNaive(
          { lengthPrefix: prefixBytes },
          stream.slice(0, Math.max(0, stream.length - missing)),
          cuts,
          max,
        );
      }),
      { numRuns: 1500 },
    );
  });

  test('P14: length prefixes in garbage', () => {
    const prefix = fc.constantFrom(1 as const, 2 as const, 4 as const);
    const garbage = fc.array(fc.oneof(fc.nat(3), fc.nat(255)), { maxLength: 100 });
    fc.assert(
      fc.property(prefix, garbage, places, limit, (prefixBytes, bytes, cuts, max) => {
        sameAsNaive({ lengthPrefix: prefixBytes }, Buffer.from(bytes).toString('latin1'), cuts, max);
      }),
      { numRuns: 1500 },
    );
  });

  test('P6: no byte is lost, doubled or changed', () => {
    const rule = fc.constantFrom<MessageRule>(
      'chunk',
      { delimiter: 'ab' },
      { lengthPrefix: 1 },
      { lengthPrefix: 2 },
    );
    fc.assert(
      fc.property(rule, fc.uint8Array({ maxLength: 400 }), places, (cutBy, bytes, cuts) => {
        const stream = Buffer.from(bytes).toString('latin1');
        const chunks = cutAt(
          stream,
          cuts.map((cut) => cut % (stream.length + 1)),
        );
        const { messages, rest, error } = split(cutBy, chunks);
        assert.equal(error, undefined);
        assert.equal(messages.join('') + rest, stream);
      }),
      { numRuns: 1000 },
    );
  });
});
