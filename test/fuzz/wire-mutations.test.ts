// P14 by the ten thousand: valid messages with something changed, on links and lanes. Whatever comes of each, it is
// answered or the connection closed, and the daemon goes on. A failure prints the seed that repeats it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EVENT_SAMPLES, LANE_CALL_SAMPLES, LINK_CALL_SAMPLES } from '../protocol/message-samples.ts';
import { makeArena } from './arena.ts';
import { sessionKey, type WireClient, type WireLink } from './wire-client.ts';

const ON_LINKS = 9_000;
const ON_LANES = 1_000;

type Json = unknown;

/** Calls that may be made at random: `drain` would end the daemon, and `close` the calm session if it hit its id. */
const LINK_SAMPLES: readonly object[] = [
  ...Object.values(LINK_CALL_SAMPLES).filter(({ call }) => call !== 'drain' && call !== 'close'),
  { call: 'close', id: 12, session: 's99999' },
  ...Object.values(EVENT_SAMPLES),
];

/** A session key that leads nowhere, so that nothing is looked up or connected to when it is still valid. */
const NOWHERE = sessionKey(443, '', { host: null, port: null, path: '/nowhere/at/all' });
const LANE_SAMPLES: readonly object[] = [
  { ...LANE_CALL_SAMPLES.lease, process: undefined, lane: undefined, key: NOWHERE, wait: 0 },
  { ...LANE_CALL_SAMPLES.attach, process: undefined, lane: undefined, wait: 0 },
];

const anyValue: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(
    null,
    true,
    false,
    0,
    -1,
    1,
    0.5,
    1e308,
    2 ** 53,
    '',
    'x',
    [],
    {},
    '__proto__',
    'toString',
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.jsonValue({ maxDepth: 2 }),
);

/** A way to change bytes. */
const byteChange = fc.record({
  at: fc.nat(),
  remove: fc.nat(3),
  insert: fc.uint8Array({ maxLength: 4 }),
});

/** A way to change a value: at which of all its places, to what, and whether to rename or drop instead. */
const valueChange = fc.record({
  at: fc.nat(),
  how: fc.constantFrom('replace', 'drop', 'add'),
  value: anyValue,
});

/** A line made of a sample by a change of its bytes or values; newlines within are taken out, for it is one line. */
const mutation = (samples: readonly object[]) =>
  fc.oneof(
    fc
      .tuple(fc.constantFrom(...samples), fc.array(byteChange, { minLength: 1, maxLength: 3 }))
      .map(changeBytes),
    fc
      .tuple(fc.constantFrom(...samples), fc.array(valueChange, { minLength: 1, maxLength: 2 }))
      .map(changeValues),
  );

function changeBytes([sample, changes]: [
  object,
  { at: number; remove: number; insert: Uint8Array }[],
]): Buffer {
  let line = Buffer.from(JSON.stringify(sample));
  for (const { at, remove, insert } of changes) {
    const start = at % (line.length + 1);
    line = Buffer.concat([line.subarray(0, start), insert, line.subarray(start + remove)]);
  }
  return Buffer.from(line.filter((byte) => byte !== 0x0a));
}

function changeValues([sample, changes]: [object, { at: number; how: string; value: Json }[]]): Buffer {
  const message = JSON.parse(JSON.stringify(sample)) as Record<string, Json>;
  for (const { at, how, value } of changes) {
    const places = placesIn(message);
    const [holder, name] = places[at % places.length] ?? [message, 'call'];
    if (how === 'replace') holder[name] = value;
    else if (how === 'drop') delete holder[name];
    else holder[`${name}${JSON.stringify(value).slice(0, 5)}`] = value;
  }
  return Buffer.from(JSON.stringify(message));
}

/** Every place of a value: what holds it, and under which name. */
function placesIn(holder: Record<string, Json>): [Record<string, Json>, string][] {
  return Object.entries(holder).flatMap(([name, value]) => [
    [holder, name] as [Record<string, Json>, string],
    ...(typeof value === 'object' && value !== null ? placesIn(value as Record<string, Json>) : []),
  ]);
}

/** True while the client would be answered. */
const lives = ({ ended, closed }: WireClient) => !ended && !closed;

test(`P14: ${ON_LINKS} changed messages on links`, async (t) => {
  const arena = await makeArena(t);
  let link: WireLink = await arena.link();
  let ended = 0;
  await fc.assert(
    fc.asyncProperty(mutation(LINK_SAMPLES), async (line) => {
      if (!lives(link.client)) link = await arena.link();
      link.client.sendRaw(Buffer.concat([line, Buffer.from('\n{"call":"status","id":424242}\n')]));
      for (;;) {
        const answer = await link.client.line();
        if (answer === undefined) {
          ended += 1;
          return;
        }
        assert.ok(
          'reply' in answer || 'event' in answer || 'rc' in answer,
          JSON.stringify(answer).slice(0, 100),
        );
        if (answer.reply === 424242) return;
      }
    }),
    { numRuns: ON_LINKS },
  );
  t.diagnostic(`${ended} links were ended`);
  assert.ok(ended > 100 && ended < ON_LINKS, `${ended} links were ended`);
  await arena.undisturbed();
});

test(`P14: ${ON_LANES} changed messages on lanes`, async (t) => {
  const arena = await makeArena(t);
  const codes = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(mutation(LANE_SAMPLES), async (line) => {
      const lane = await arena.open();
      lane.sendRaw(Buffer.concat([line, Buffer.from('\n')]));
      const answer = await lane.message();
      assert.equal(answer.rc, -1);
      const { error } = answer as { error: { code?: string; message: string } };
      codes.set(String(error.code), (codes.get(String(error.code)) ?? 0) + 1);
      lane.socket.destroy();
    }),
    { numRuns: ON_LANES },
  );
  t.diagnostic(JSON.stringify(Object.fromEntries(codes)));
  assert.ok(codes.size > 3, [...codes.keys()].join());
  await arena.undisturbed();
});

test('P14: changed bytes in a stream of calls, cut anywhere', async (t) => {
  const arena = await makeArena(t);
  const stream = Buffer.from(LINK_SAMPLES.map((sample) => `${JSON.stringify(sample)}\n`).join(''));
  await fc.assert(
    fc.asyncProperty(
      fc.array(byteChange, { minLength: 1, maxLength: 5 }),
      fc.nat(stream.length),
      async (changes, cut) => {
        let bytes: Buffer = stream;
        for (const { at, remove, insert } of changes) {
          const start = at % bytes.length;
          bytes = Buffer.concat([bytes.subarray(0, start), insert, bytes.subarray(start + remove)]);
        }
        const client = await arena.open();
        client.sendRaw(bytes.subarray(0, cut));
        client.sendRaw(bytes.subarray(cut));
        client.socket.end();
        await client.end();
      },
    ),
    { numRuns: 200 },
  );
  await arena.undisturbed();
});
