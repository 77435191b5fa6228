// P14, P15 of trunks: a lane that breaks the rules ends alone, a trunk that does ends its link, and the sessions of both
// are another worker's, with every byte that was not consumed.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import type { Scope } from '#helpers/scope.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { type Arena, codeIn, makeArena } from './arena.ts';
import { identityOf, listenFields, type Message, type WireClient, type WireLink } from './wire-client.ts';

const DATA = 1;
const ACK = 2;
const OFFER = 5;
const TAKE = 6;
const END = 7;
const CLOSE = 8;
const STATE = 9;
const HEADER_BYTES = 16;
const FIRST_LANE = 2 ** 31;

interface TrunkFrame {
  lane: number;
  type: number;
  flags: number;
  offset: number;
  payload: string;
}

/** A frame, written by the table of PROTOCOL.md alone. */
function frame(lane: number, type: number, flags = 0, offset = 0, payload = ''): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(lane, 0);
  header.writeUInt8(type, 4);
  header.writeUInt8(flags, 5);
  header.writeUInt32BE(Buffer.byteLength(payload, 'latin1'), 6);
  header.writeUIntBE(offset, 10, 6);
  return Buffer.concat([header, Buffer.from(payload, 'latin1')]);
}

/** Frames that came before the one that was waited for. */
const passedOver = new WeakMap<WireClient, TrunkFrame[]>();

/** The next frame that fits; others wait. */
async function nextFrame(trunk: WireClient, fits = (_frame: TrunkFrame) => true): Promise<TrunkFrame> {
  const waiting = passedOver.get(trunk) ?? [];
  passedOver.set(trunk, waiting);
  const place = waiting.findIndex(fits);
  const [found] = place === -1 ? [] : waiting.splice(place, 1);
  if (found !== undefined) return found;
  for (;;) {
    const frame = await readFrame(trunk);
    if (fits(frame)) return frame;
    waiting.push(frame);
  }
}

async function readFrame(trunk: WireClient): Promise<TrunkFrame> {
  const header = await trunk.bytes(HEADER_BYTES);
  const payload = await trunk.bytes(header.readUInt32BE(6));
  return {
    lane: header.readUInt32BE(0),
    type: header.readUInt8(4),
    flags: header.readUInt8(5),
    offset: header.readUIntBE(10, 6),
    payload: payload.toString('latin1'),
  };
}

interface Worker {
  link: WireLink;
  trunk: WireClient;
  port: number;
}

async function openTrunk(arena: Arena, process: string): Promise<{ trunk: WireClient; reply: Message }> {
  const trunk = await arena.open();
  trunk.send({ call: 'trunk', protocol: 1, process });
  return { trunk, reply: await trunk.message() };
}

/** A worker with a trunk whose sessions survive it. */
async function worker(arena: Arena, port = 0, adopts = true): Promise<Worker> {
  const link = await arena.link();
  const { trunk, reply } = await openTrunk(arena, link.processId);
  assert.deepEqual(reply, { rc: 1 });
  const group = { linger: 5_000 };
  const changes = { address: { port }, server: identityOf(arena.identity), group, survive: true, adopts };
  const listening = (await link.call('listen', listenFields(changes))) as { address?: { port: number } };
  return { link, trunk, port: listening.address?.port ?? -1 };
}

function clientOf(t: Scope, port: number): TLSSocket {
  const client = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  client.on('error', () => {});
  t.after(() => void client.destroy());
  return client;
}

/** Takes the next session; answers its lane and what it was told of it. */
async function take(trunk: WireClient): Promise<{ lane: number; opening: Message }> {
  const { lane, flags, offset, payload } = await nextFrame(trunk, ({ type }) => type === OFFER);
  assert.deepEqual([flags, offset], [1, 0]);
  assert.ok(lane >= FIRST_LANE);
  trunk.sendRaw(frame(lane, TAKE));
  return { lane, opening: JSON.parse(payload) as Message };
}

async function answer(client: TLSSocket): Promise<string> {
  const [chunk] = await within(once(client, 'data'), { what: 'an answer' });
  return String(chunk);
}

async function leave({ link }: Worker): Promise<void> {
  await link.call('unlisten', { listener: 1, linger: false });
}

test('the dialogue of PROTOCOL.md, byte by byte, cut at every place', async (t) => {
  const arena = await makeArena(t);
  const one = await worker(arena);
  const client = clientOf(t, one.port);
  const { lane, opening } = await take(one.trunk);
  assert.equal(lane, FIRST_LANE);
  assert.deepEqual(
    [opening.listener, opening.adopted, opening.reused, opening.framed],
    [1, false, false, { name: null, mode: 'exclusive', resumedAt: 0, writtenAt: 0, state: null }],
  );
  client.write('hi');
  assert.deepEqual(await nextFrame(one.trunk), { lane, type: DATA, flags: 0, offset: 0, payload: 'hi' });
  const said = Buffer.concat([frame(lane, DATA, 1, 0, 'ok'), frame(lane, ACK, 0, 2)]);
  assert.equal(
    said.toString('hex'),
    '80000000010100000002000000000000' + '6f6b' + '80000000020000000000000000000002',
  );
  for (const byte of said) {
    one.trunk.sendRaw(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(await answer(client), 'ok');
  client.end();
  assert.deepEqual(await nextFrame(one.trunk), { lane, type: END, flags: 0, offset: 2, payload: '' });
  one.trunk.sendRaw(Buffer.concat([frame(lane, END, 0, 2), frame(lane, CLOSE)]));
  await waitFor(() => client.closed, { what: 'the end of the client' });
  await leave(one);
  await arena.undisturbed();
});

test('P14: a lane that breaks the rules ends alone, and its session is another worker’s', async (t) => {
  const arena = await makeArena(t);
  const one = await worker(arena);
  const calm = clientOf(t, one.port);
  const held = await take(one.trunk);
  const faults: ((lane: number) => Buffer)[] = [
    (lane) => frame(lane, ACK, 0, 5),
    (lane) => frame(lane, 3, 0, 5),
    (lane) => frame(lane, 4),
    (lane) => frame(lane, DATA, 1, 7, 'x'),
    (lane) => frame(lane, DATA, 1, 0, ''),
    (lane) => frame(lane, TAKE),
    (lane) => frame(lane, OFFER, 1, 0, '{}'),
  ];
  const clients: TLSSocket[] = [];
  for (const fault of faults) {
    clients.push(clientOf(t, one.port));
    const { lane } = await take(one.trunk);
    one.trunk.sendRaw(fault(lane));
    const end = await nextFrame(one.trunk);
    assert.deepEqual([end.lane, end.type, end.flags], [lane, END, 2]);
    assert.equal((JSON.parse(end.payload) as { code: string }).code, 'ERR_TLSHUB_PROTOCOL');
  }
  calm.write('still here');
  assert.equal((await nextFrame(one.trunk)).payload, 'still here');
  one.trunk.sendRaw(frame(held.lane, DATA, 1, 0, 'yes'));
  assert.equal(await answer(calm), 'yes');
  const other = await worker(arena, one.port);
  for (const client of clients) {
    const { lane, opening } = await take(other.trunk);
    assert.equal(opening.adopted, true);
    assert.equal(client.destroyed, false);
    other.trunk.sendRaw(frame(lane, END, 2, 0));
  }
  for (const client of [calm, ...clients]) client.destroy();
  await leave(one);
  await leave(other);
  await arena.undisturbed();
});

test('P14: frames that are none end the trunk and its link, wherever they are cut; nobody else notices', async (t) => {
  const arena = await makeArena(t);
  const other = await worker(arena);
  const broken: Buffer[] = [
    frame(FIRST_LANE, 0),
    frame(FIRST_LANE, 10),
    frame(FIRST_LANE, DATA, 2),
    frame(FIRST_LANE, TAKE, 0, 1),
    frame(FIRST_LANE, CLOSE, 1),
    frame(FIRST_LANE, STATE, 0, 1),
    frame(FIRST_LANE, ACK, 0, 0, 'x'),
    Buffer.concat([frame(FIRST_LANE, DATA).subarray(0, 6), Buffer.from('00010001000000000000', 'hex')]),
    Buffer.from('{"call":"status","id":2}\n'),
  ];
  for (const [index, bytes] of broken.entries()) {
    const link = await arena.link();
    const { trunk, reply } = await openTrunk(arena, link.processId);
    assert.deepEqual(reply, { rc: 1 });
    const cut = (index * 5) % bytes.length;
    trunk.sendRaw(bytes.subarray(0, cut));
    await link.call('status');
    trunk.sendRaw(bytes.subarray(cut));
    assert.equal(codeIn(await link.client.message()), 'ERR_TLSHUB_PROTOCOL', bytes.toString('hex'));
    assert.equal((await trunk.end()).length, 0);
  }
  const client = clientOf(t, other.port);
  const { lane } = await take(other.trunk);
  other.trunk.sendRaw(frame(lane, DATA, 1, 0, 'served'));
  assert.equal(await answer(client), 'served');
  client.destroy();
  await leave(other);
  await arena.undisturbed();
});

test('P14: a process has one trunk, of its own', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  assert.deepEqual((await openTrunk(arena, link.processId)).reply, { rc: 1 });
  assert.equal(codeIn((await openTrunk(arena, link.processId)).reply), 'ERR_TLSHUB_PROTOCOL');
  assert.equal(codeIn((await openTrunk(arena, '0'.repeat(32))).reply), 'ERR_TLSHUB_PROTOCOL');
  assert.equal(codeIn((await openTrunk(arena, 'nobody')).reply), 'ERR_TLSHUB_INVALID_CALL');
  assert.equal((await link.call('status')).rc, 1);
  await arena.undisturbed();
});

for (const [what, kill] of [
  ['the trunk', ({ trunk }: Worker) => trunk.socket.destroy()],
  ['the link', ({ link }: Worker) => link.client.socket.destroy()],
  [
    'the trunk, then the link',
    ({ trunk, link }: Worker) => {
      trunk.socket.destroy();
      link.client.socket.destroy();
    },
  ],
  [
    'the link, then the trunk',
    ({ trunk, link }: Worker) => {
      link.client.socket.destroy();
      trunk.socket.destroy();
    },
  ],
] as const) {
  test(`P6, P15: ${what} ends within anything: another worker gets what was not consumed, and the state`, async (t) => {
    const arena = await makeArena(t);
    const one = await worker(arena);
    const client = clientOf(t, one.port);
    const { lane } = await take(one.trunk);
    client.write('abcdef');
    assert.equal((await nextFrame(one.trunk)).payload, 'abcdef');
    // Its last words: an answer, three bytes consumed, a state, and half a frame.
    const half = frame(lane, DATA, 1, 2, 'never').subarray(0, 18);
    const whole = [frame(lane, DATA, 1, 0, 'ok'), frame(lane, ACK, 0, 3), frame(lane, STATE, 0, 0, 'kept')];
    one.trunk.sendRaw(Buffer.concat([...whole, half]));
    assert.equal(await answer(client), 'ok');
    const offered = clientOf(t, one.port);
    assert.equal((await nextFrame(one.trunk)).type, OFFER);
    const other = await worker(arena, one.port);
    kill(one);
    const states: unknown[] = [];
    for (let count = 0; count < 2; count += 1) {
      const { lane: next, opening } = await take(other.trunk);
      states.push([opening.adopted, opening.framed]);
      if (opening.adopted !== true) continue;
      const rest = await nextFrame(other.trunk, ({ type }) => type === DATA);
      assert.deepEqual(rest, { lane: next, type: DATA, flags: 0, offset: 3, payload: 'def' });
    }
    const kept = Buffer.from('kept').toString('base64');
    const mode = { name: null, mode: 'exclusive' };
    assert.deepEqual(states.sort(), [
      [false, { ...mode, resumedAt: 0, writtenAt: 0, state: null }],
      [true, { ...mode, resumedAt: 3, writtenAt: 2, state: kept }],
    ]);
    for (const one of [client, offered]) one.destroy();
    await leave(other);
    await arena.undisturbed();
  });
}

test('a session that is given back untouched is a new one for the next worker, also where nobody adopts', async (t) => {
  const arena = await makeArena(t);
  const one = await worker(arena, 0, false);
  const client = clientOf(t, one.port);
  const { lane } = await take(one.trunk);
  await one.link.call('unlisten', { listener: 1, linger: true });
  one.trunk.sendRaw(frame(lane, CLOSE));
  const other = await worker(arena, one.port, false);
  const { opening } = await take(other.trunk);
  assert.deepEqual([opening.adopted, opening.reused], [false, false]);
  assert.equal(client.destroyed, false);
  client.destroy();
  await leave(other);
  await arena.undisturbed();
});

test('P6: who takes too late gets nothing, and the one who was in time gets every byte', async (t) => {
  const arena = await makeArena(t);
  const late = await worker(arena);
  const client = clientOf(t, late.port);
  client.write('once');
  const { lane, type } = await nextFrame(late.trunk);
  assert.equal(type, OFFER);
  const able = await worker(arena, late.port);
  // Revoked after two seconds without a sign.
  const { lane: own, opening } = await take(able.trunk);
  assert.equal(opening.adopted, false);
  assert.equal((await nextFrame(able.trunk)).payload, 'once');
  assert.deepEqual(await nextFrame(late.trunk), { lane, type: END, flags: 2, offset: 0, payload: '' });
  late.trunk.sendRaw(Buffer.concat([frame(lane, TAKE), frame(lane, DATA, 1, 0, 'late')]));
  await late.link.call('status');
  assert.equal(late.trunk.pending.length, 0);
  able.trunk.sendRaw(frame(own, DATA, 1, 0, 'in time'));
  assert.equal(await answer(client), 'in time');
  client.destroy();
  await leave(late);
  await leave(able);
  await arena.undisturbed();
});

test('P6: who declines a session with CLOSE is offered nothing more, and another worker gets it', async (t) => {
  const arena = await makeArena(t);
  const closing = await worker(arena);
  const client = clientOf(t, closing.port);
  client.write('whole');
  const { lane } = await nextFrame(closing.trunk);
  closing.trunk.sendRaw(frame(lane, CLOSE));
  const other = await worker(arena, closing.port);
  const { lane: own, opening } = await take(other.trunk);
  assert.equal(opening.adopted, false);
  assert.equal((await nextFrame(other.trunk)).payload, 'whole');
  other.trunk.sendRaw(frame(own, DATA, 1, 0, 'served'));
  assert.equal(await answer(client), 'served');
  for (let count = 0; count < 3; count += 1) {
    const next = clientOf(t, closing.port);
    await take(other.trunk);
    next.destroy();
  }
  assert.equal(closing.trunk.pending.length, 0);
  client.destroy();
  await leave(closing);
  await leave(other);
  await arena.undisturbed();
});

test('a call about an offered lane takes it; TAKE may come behind it, once', async (t) => {
  const arena = await makeArena(t);
  const one = await worker(arena);
  const client = clientOf(t, one.port);
  const { lane } = await nextFrame(one.trunk, ({ type }) => type === OFFER);
  const state = Buffer.from('early').toString('base64');
  assert.equal((await one.link.call('setState', { lane, state })).rc, 1);
  client.write('hi');
  assert.equal((await nextFrame(one.trunk)).payload, 'hi');
  one.trunk.sendRaw(Buffer.concat([frame(lane, TAKE), frame(lane, DATA, 1, 0, 'ok')]));
  assert.equal(await answer(client), 'ok');
  one.trunk.sendRaw(frame(lane, TAKE));
  const end = await nextFrame(one.trunk);
  assert.deepEqual(
    [end.type, end.flags, codeIn({ error: JSON.parse(end.payload) })],
    [END, 2, 'ERR_TLSHUB_PROTOCOL'],
  );
  client.destroy();
  await leave(one);
  await arena.undisturbed();
});

test('P6: a worker that has taken a session before its unlisten keeps it, whichever the daemon hears first', async (t) => {
  const arena = await makeArena(t);
  const one = await worker(arena, 0, false);
  const [kept, declined] = [clientOf(t, one.port), clientOf(t, one.port)];
  const lanes = [(await nextFrame(one.trunk)).lane, (await nextFrame(one.trunk)).lane];
  await one.link.call('unlisten', { listener: 1, linger: false });
  for (const lane of lanes) one.trunk.sendRaw(frame(lane, lane === lanes[0] ? TAKE : CLOSE));
  one.trunk.sendRaw(frame(lanes[0] ?? -1, DATA, 1, 0, 'still served'));
  const answers = await Promise.race([kept, declined].map(answer));
  assert.equal(answers, 'still served');
  // The other one was for nobody: the last worker has closed the port.
  await waitFor(() => kept.closed !== declined.closed, { what: 'the end of the declined one' });
  for (const client of [kept, declined]) client.destroy();
  await arena.undisturbed();
});

test('ten thousand lanes, taken and given back, leave nothing behind', async (t) => {
  const arena = await makeArena(t);
  const one = await worker(arena);
  const client = clientOf(t, one.port);
  let lane = 0;
  for (let count = 0; count < 10_000; count += 1) {
    ({ lane } = await take(one.trunk));
    one.trunk.sendRaw(frame(lane, CLOSE));
  }
  assert.equal(lane, FIRST_LANE + 9_999);
  ({ lane } = await take(one.trunk));
  one.trunk.sendRaw(frame(lane, DATA, 1, 0, 'still there'));
  assert.equal(await answer(client), 'still there');
  const { status } = (await one.link.call('status')) as { status: { lanes: number } };
  assert.equal(status.lanes, 2);
  client.destroy();
  await leave(one);
  await arena.undisturbed();
});
