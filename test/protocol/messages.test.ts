// The schemas of all messages: what fits, what does not, and that a refusal names the place but never quotes it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_WAIT_MS } from '#src/protocol/limits.js';
import {
  events,
  laneCalls,
  laneEvents,
  linkCalls,
  parseEvent,
  parseLaneCall,
  parseLaneReply,
  parseLinkCall,
  parseLinkReply,
  parseOpenEvent,
} from '#src/protocol/messages.js';
import {
  EVENT_SAMPLES,
  LANE_CALL_SAMPLES,
  LANE_EVENT_SAMPLES,
  LINK_CALL_SAMPLES,
} from './message-samples.ts';

type Message = Record<string, unknown>;
type Samples = Readonly<Record<string, Readonly<Message>>>;

/** Each kind of message with its parser, its schemas and the codes of its refusals. */
const KINDS: readonly {
  kind: string;
  samples: Samples;
  table: object;
  parse: (message: Message) => unknown;
  unknown: string;
  invalid: string;
  nameField: string;
}[] = [
  {
    kind: 'lane call',
    samples: LANE_CALL_SAMPLES,
    table: laneCalls,
    parse: parseLaneCall,
    unknown: 'ERR_TLSHUB_UNKNOWN_CALL',
    invalid: 'ERR_TLSHUB_INVALID_CALL',
    nameField: 'call',
  },
  {
    kind: 'link call',
    samples: LINK_CALL_SAMPLES,
    table: linkCalls,
    parse: parseLinkCall,
    unknown: 'ERR_TLSHUB_UNKNOWN_CALL',
    invalid: 'ERR_TLSHUB_INVALID_CALL',
    nameField: 'call',
  },
  {
    kind: 'event',
    samples: EVENT_SAMPLES,
    table: events,
    parse: parseEvent,
    unknown: 'ERR_TLSHUB_PROTOCOL',
    invalid: 'ERR_TLSHUB_PROTOCOL',
    nameField: 'event',
  },
  {
    kind: 'lane event',
    samples: LANE_EVENT_SAMPLES,
    table: laneEvents,
    parse: parseOpenEvent,
    unknown: 'ERR_TLSHUB_PROTOCOL',
    invalid: 'ERR_TLSHUB_PROTOCOL',
    nameField: 'event',
  },
];

/** Values that are right for no field but one whose schema says so. */
const STRANGE_VALUES: readonly unknown[] = [
  null,
  -1,
  0.5,
  1e21,
  Number.MAX_SAFE_INTEGER + 1,
  ' '.repeat(2_000),
  '0123456789ABCDEF0123456789ABCDEF',
  'a b',
  [],
  {},
  { call: 'hello' },
  [1],
];

const STRANGE_TEXTS = STRANGE_VALUES.filter((value) => typeof value === 'string').map((text) =>
  JSON.stringify(text),
);

/**
 * Those of them that fit a field all the same, as JSON; an empty list counts as an object without fields. A field that
 * takes more in one message than in others has a row with its name behind that of the message.
 */
const FITTING: Readonly<Record<string, readonly string[]>> = {
  socket: ['{}', '[]'],
  args: ['[]', '[1]'],
  name: ['"0123456789ABCDEF0123456789ABCDEF"', '"a b"'],
  state: ['"0123456789ABCDEF0123456789ABCDEF"'],
  timeout: ['null'],
  context: ['null', '"0123456789ABCDEF0123456789ABCDEF"'],
  rc: ['-1'],
  handle: ['"0123456789ABCDEF0123456789ABCDEF"', '"a b"'],
  version: ['"0123456789ABCDEF0123456789ABCDEF"', '"a b"'],
  label: ['"0123456789ABCDEF0123456789ABCDEF"', '"a b"'],
  data: ['"0123456789ABCDEF0123456789ABCDEF"'],
  ticket: ['"0123456789ABCDEF0123456789ABCDEF"'],
  contexts: ['[]'],
  ticketKeys: ['"0123456789ABCDEF0123456789ABCDEF"'],
  survive: ['null'],
  keys: ['"0123456789ABCDEF0123456789ABCDEF"'],
  servername: ['"0123456789ABCDEF0123456789ABCDEF"', '"a b"'],
  'question.servername': STRANGE_TEXTS,
  'offer.handle': STRANGE_TEXTS,
  protocols: ['[]'],
  'answer.protocol': STRANGE_TEXTS,
  certificate: ['"0123456789ABCDEF0123456789ABCDEF"'],
  issuer: ['null', '"0123456789ABCDEF0123456789ABCDEF"'],
  response: ['"0123456789ABCDEF0123456789ABCDEF"'],
  remoteAddress: ['null', ...STRANGE_TEXTS],
  remotePort: ['null', '-1', '0.5', '1e+21', String(Number.MAX_SAFE_INTEGER + 1)],
  remoteFamily: ['null', ...STRANGE_TEXTS],
};

for (const { kind, samples, table, parse, unknown, invalid, nameField } of KINDS) {
  test(`every ${kind} has a sample, and the sample fits`, () => {
    assert.deepEqual(Object.keys(samples).sort(), Object.keys(table).sort());
    for (const [name, message] of Object.entries(samples)) {
      assert.deepEqual(parse({ ...message }), message, name);
    }
  });

  test(`a ${kind} with a field too many is refused`, () => {
    for (const [name, message] of Object.entries(samples)) {
      assert.throws(() => parse({ ...message, extra: 1 }), { code: invalid }, name);
    }
  });

  test(`a ${kind} without one of its fields is refused, unless the field may be left out`, () => {
    const mayBeAbsent: Record<string, string[]> = {
      lease: ['process', 'lane', 'pid', 'named'],
      attach: ['process', 'lane', 'pid', 'commit'],
      detach: ['received'],
      setName: ['linger'],
      park: ['handle', 'lane', 'sent', 'received', 'state'],
      set: ['noDelay', 'keepAlive', 'keepAliveInitialDelay', 'maxSendFragment', 'disableRenegotiation'],
      renegotiate: ['rejectUnauthorized', 'requestCert'],
      listen: ['ticketKeys'],
      question: ['servername', 'protocols', 'certificate', 'issuer'],
      answer: ['context', 'protocol', 'response', 'error'],
      drain: kind === 'event' ? [] : ['deadline'],
      'lane-end': ['error'],
    };
    for (const [name, message] of Object.entries(samples)) {
      for (const field of Object.keys(message)) {
        const { [field]: _left, ...rest } = message;
        const allowed = mayBeAbsent[name]?.includes(field) === true;
        if (allowed) assert.deepEqual(parse(rest), rest, `${name}.${field}`);
        else if (field === nameField) assert.throws(() => parse(rest), { code: unknown }, `${name}.${field}`);
        else assert.throws(() => parse(rest), { code: invalid }, `${name}.${field}`);
      }
    }
  });

  test(`a ${kind} with a value of a wrong type is refused`, () => {
    for (const [name, message] of Object.entries(samples)) {
      for (const field of Object.keys(message)) {
        const code = field === nameField ? unknown : invalid;
        const fitting = FITTING[`${name}.${field}`] ?? FITTING[field];
        const fits = (value: unknown) => fitting?.includes(JSON.stringify(value)) === true;
        for (const value of STRANGE_VALUES.filter((candidate) => !fits(candidate))) {
          const shown = `${name}.${field} = ${JSON.stringify(value)?.slice(0, 40)}`;
          assert.throws(() => parse({ ...message, [field]: value }), { code }, shown);
        }
      }
    }
  });

  test(`a ${kind} of an unknown name is refused, and so is a name of Object's`, () => {
    for (const name of [
      '',
      'Hello',
      'toString',
      'constructor',
      '__proto__',
      'hasOwnProperty',
      'x'.repeat(10_000),
    ]) {
      assert.throws(
        () => parse({ [nameField]: name, id: 1 }),
        (error: Error & { code?: string }) => error.code === unknown && error.message.length < 200,
        name.slice(0, 20),
      );
    }
  });
}

test('numbers have their limits', () => {
  const { release, set, export: exportCall, drain } = LINK_CALL_SAMPLES as Record<string, Message>;
  const { lease } = LANE_CALL_SAMPLES as Record<string, Message>;
  const cases: [message: Message | undefined, field: string, fits: number[], doesNot: number[]][] = [
    [release, 'id', [1, Number.MAX_SAFE_INTEGER], [0, -1]],
    [release, 'lane', [1, Number.MAX_SAFE_INTEGER], [0, -1]],
    [release, 'sent', [0, Number.MAX_SAFE_INTEGER], [-1]],
    [set, 'maxSendFragment', [512, 16_384], [511, 16_385]],
    [exportCall, 'length', [1, 16_384], [0, 16_385]],
    [drain, 'deadline', [0, MAX_WAIT_MS], [-1, MAX_WAIT_MS + 1]],
  ];
  for (const [message, field, fits, doesNot] of cases) {
    for (const value of fits) assert.ok(parseLinkCall({ ...message, [field]: value }), `${field} ${value}`);
    for (const value of doesNot) {
      assert.throws(() => parseLinkCall({ ...message, [field]: value }), { code: 'ERR_TLSHUB_INVALID_CALL' });
    }
  }
  assert.ok(parseLaneCall({ ...lease, wait: MAX_WAIT_MS }));
  assert.throws(() => parseLaneCall({ ...lease, wait: MAX_WAIT_MS + 1 }), {
    code: 'ERR_TLSHUB_INVALID_CALL',
  });
});

test('any version of the protocol fits the schema, so that the answer can be ERR_TLSHUB_VERSION', () => {
  for (const protocol of [0, 2, 99]) {
    assert.ok(parseLinkCall({ ...LINK_CALL_SAMPLES.hello, protocol }));
    assert.ok(parseLaneCall({ ...LANE_CALL_SAMPLES.lease, protocol }));
  }
});

test('P13: a refusal names the field and never its contents', () => {
  const secret = 'c2VjcmV0LXByaXZhdGUta2V5';
  const key = LANE_CALL_SAMPLES.lease?.key as Message;
  const attempts: [string, Message][] = [
    ['key.key.0.data', { key: [{ data: `${secret} not base64`, passphrase: null }] }],
    ['key.key.0.passphrase', { key: [{ data: '', passphrase: { secret } }] }],
    ['key.pfx', { pfx: secret }],
    ['key.passphrase', { passphrase: `${secret}!` }],
    ['key.ticketKeys', { ticketKeys: [secret] }],
  ];
  for (const [place, change] of attempts) {
    assert.throws(
      () => parseLaneCall({ ...LANE_CALL_SAMPLES.lease, key: { ...key, ...change } }),
      (error: Error) =>
        error.message.includes(`"${place}"`) &&
        !JSON.stringify(error).includes(secret) &&
        !error.message.includes(secret),
      place,
    );
  }
  const listen = LINK_CALL_SAMPLES.listen as Message;
  const server = { ...(listen.server as Message), key: [{ data: `${secret} not base64`, passphrase: null }] };
  assert.throws(
    () => parseLinkCall({ ...listen, server }),
    (error: Error) => error.message.includes('"server.key.0.data"') && !error.message.includes(secret),
  );
});

test('replies that do not fit are refused', () => {
  const error = { message: 'why', code: 'ECONNRESET', more: [1] };
  assert.deepEqual(parseLaneReply({ rc: -1, error }), { rc: -1, error });
  assert.deepEqual(parseLinkReply({ reply: 1, rc: 1, anything: 2 }), { reply: 1, rc: 1, anything: 2 });
  const wrong: Message[] = [
    {},
    { rc: 1 },
    { rc: 0, error },
    { rc: -1 },
    { rc: -1, error: {} },
    { rc: -1, error: null },
    { rc: -1, error: { message: 1 } },
  ];
  for (const reply of wrong) {
    assert.throws(() => parseLaneReply(reply), { code: 'ERR_TLSHUB_PROTOCOL' }, JSON.stringify(reply));
  }
  for (const reply of [
    {},
    { reply: 1 },
    { rc: 1 },
    { reply: 1, rc: 2 },
    { reply: 0, rc: 1 },
    { reply: 1, rc: -1, error: 'x' },
  ]) {
    assert.throws(() => parseLinkReply(reply), { code: 'ERR_TLSHUB_PROTOCOL' }, JSON.stringify(reply));
  }
});
