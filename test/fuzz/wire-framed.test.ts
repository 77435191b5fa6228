// P14 and issue 3 "Bad input" on framed lanes: frames that break the rules, and names, handles, states and commits that
// cannot be. Each has its code; the lane that misbehaved ends, the session and everybody else go on.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { CAN_BECOME_OTHERS, OTHER_UID, runAsOther } from '#helpers/other-user.js';
import { waitFor } from '#helpers/wait-for.js';
import { PROTOCOL_VERSION } from '#src/protocol/limits.js';
import { type Arena, codeIn, makeArena } from './arena.ts';
import { leaseCall, type Message, type WireClient, type WireLink } from './wire-client.ts';

const PROTOCOL = 'ERR_TLSHUB_PROTOCOL';
const WINDOW = 262_144;

/** A frame, written down as PROTOCOL.md does. */
function frame(
  type: number,
  offset: number,
  payload: Buffer | string = '',
  flags = 0,
  length?: number,
): Buffer {
  const bytes = Buffer.from(payload);
  const header = Buffer.alloc(12);
  header.writeUInt8(type, 0);
  header.writeUInt8(flags, 1);
  header.writeUInt32BE(length ?? bytes.length, 2);
  header.writeUIntBE(offset, 6, 6);
  return Buffer.concat([header, bytes]);
}

const [DATA, ACK, CREDIT, WANT] = [1, 2, 3, 4];

interface Named {
  name?: string;
  mode?: string;
  commit?: string;
  messages?: unknown;
  linger?: number;
}

function namedCall(arena: Arena, link: WireLink, lane: number, named: Named = {}, wait = 0): Message {
  const settings = { name: 'fuzz', mode: 'exclusive', commit: 'manual', messages: 'chunk', linger: 0 };
  return { ...leaseCall(arena.key, link, lane, wait), named: { ...settings, ...named } };
}

function attachCall(link: WireLink, lane: number, handle: string): Message {
  return {
    call: 'attach',
    protocol: PROTOCOL_VERSION,
    process: link.processId,
    lane,
    handle,
    wait: 0,
    socket: {},
  };
}

async function openNamed(arena: Arena, link: WireLink, lane = 1, named: Named = {}) {
  const client = await arena.open();
  client.send(namedCall(arena, link, lane, named));
  const reply = await client.message();
  assert.equal(reply.rc, 1, JSON.stringify(reply));
  return client;
}

/** The code that the daemon ends the lane with. */
async function endCode(link: WireLink, lane: number, client: WireClient): Promise<string | undefined> {
  for (;;) {
    const event = await link.client.messageWith('event', 'lane-end');
    if (event.lane !== lane) continue;
    await client.end();
    return codeIn(event);
  }
}

/** Opens a lane on which five bytes have been delivered, sends what breaks the rules, and looks at what comes of it. */
async function breaks(t: TestContext, bytes: readonly Buffer[], named: Named = {}): Promise<void> {
  const arena = await makeArena(t);
  const link = await arena.link();
  const client = await openNamed(arena, link, 1, named);
  client.sendRaw(frame(DATA, 0, 'a\n', 1));
  // The acknowledgement of the write and the answer, `ok a\n`, in either order.
  if (named.mode !== 'turn') assert.ok((await client.bytes(12 + 12 + 5)).includes('ok a\n'));
  for (const part of bytes) client.sendRaw(part);
  assert.equal(await endCode(link, 1, client), PROTOCOL);
  assert.equal((await link.call('status')).rc, 1, 'the link lives');
  await arena.undisturbed();
}

const BAD_FRAMES: Readonly<Record<string, { bytes: Buffer[]; named?: Named }>> = {
  'an unknown type': { bytes: [frame(9, 0)] },
  'type 0': { bytes: [Buffer.alloc(12)] },
  'a reserved flag': { bytes: [frame(DATA, 2, 'x', 0x80)] },
  'a flag on an acknowledgement': { bytes: [frame(ACK, 5, '', 1)] },
  'a payload over the limit': { bytes: [frame(DATA, 2, '', 0, 65_537)] },
  'a payload of 4 GiB': { bytes: [frame(DATA, 2, '', 0, 0xffff_ffff)] },
  'an acknowledgement with a payload': { bytes: [frame(ACK, 5, 'x')] },
  'an empty frame of data': { bytes: [frame(DATA, 2)] },
  'a gap': { bytes: [frame(DATA, 3, 'x', 1)] },
  'bytes a second time': { bytes: [frame(DATA, 0, 'a\n', 1)] },
  'an acknowledgement that goes backwards': { bytes: [frame(ACK, 5), frame(ACK, 4)] },
  'an acknowledgement beyond': { bytes: [frame(ACK, 6)] },
  'a credit that goes backwards': { bytes: [frame(CREDIT, 5), frame(CREDIT, 4)] },
  'a credit beyond': { bytes: [frame(CREDIT, 6)] },
  'an offset over 48 bits': { bytes: [frame(DATA, 2 ** 48 - 1, 'xx')] },
  'WANT in exclusive mode': { bytes: [frame(WANT, 0)] },
  'WANT in broadcast mode': { bytes: [frame(WANT, 0)], named: { mode: 'broadcast' } },
  'WANT twice': { bytes: [frame(WANT, 0), frame(WANT, 0), frame(WANT, 0)], named: { mode: 'turn' } },
  'WANT with an offset': { bytes: [frame(WANT, 1)], named: { mode: 'turn' } },
  garbage: { bytes: [Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')] },
};
for (const [what, { bytes, named }] of Object.entries(BAD_FRAMES)) {
  test(`P14: ${what} ends its lane with ERR_TLSHUB_PROTOCOL and nothing else`, (t) =>
    breaks(t, bytes, named));
}

test('P14: a bad frame is found at every point where the bytes may be split', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const bad = frame(DATA, 7, 'xyz', 1);
  for (let split = 1; split < bad.length; split++) {
    const client = await openNamed(arena, link, split, { name: `split ${split}` });
    client.sendRaw(bad.subarray(0, split));
    // Both parts must come apart.
    assert.equal((await link.call('status')).rc, 1);
    client.sendRaw(bad.subarray(split));
    assert.equal(await endCode(link, split, client), PROTOCOL);
  }
  await arena.undisturbed();
});

test('P9: who ignores the window ends its lane', async (t) => {
  const arena = await makeArena(t, { origin: { behaviour: { kind: 'silent' } } });
  const link = await arena.link();
  const client = await openNamed(arena, link);
  client.socket.on('error', () => undefined);
  // The peer reads nothing: what it does not take stays in the window.
  const sent = Buffer.alloc(65_536);
  for (let offset = 0; offset < 64 * 1024 * 1024 && !client.ended; offset += sent.length) {
    client.sendRaw(frame(DATA, offset, sent));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(await endCode(link, 1, client), PROTOCOL);
  await arena.undisturbed();
});

test('P9: what is held for a holder that acknowledges nothing is no more than its window', async (t) => {
  const arena = await makeArena(t, {
    origin: { behaviour: { kind: 'script', steps: [{ send: 3_000_000 }] } },
  });
  const link = await arena.link();
  const client = await openNamed(arena, link);
  await waitFor(() => client.pending.length >= WINDOW, { what: 'a window full of bytes' });
  const [session] = (await arena.daemon.sessions()).filter(({ name }) => name === 'fuzz');
  assert.ok(Number(session?.unreadBytes) <= WINDOW + 128 * 1024, String(session?.unreadBytes));
  let payload = 0;
  for (let bytes = client.pending; bytes.length >= 12; ) {
    const length = bytes.readUInt32BE(2);
    payload += length;
    bytes = bytes.subarray(12 + length);
  }
  assert.equal(payload, WINDOW);
  await arena.undisturbed();
});

test('issue 3: a lane that ends within a frame leaves the session whole; the half write is dropped', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  for (const cut of [1, 11, 12, 13]) {
    const client = await openNamed(arena, link, cut, { linger: 60_000 });
    client.sendRaw(frame(DATA, 0, 'never '));
    client.sendRaw(frame(DATA, 6, 'sent\n', 1).subarray(0, cut));
    client.socket.end();
    link.tell('lane-end', { lane: cut, rc: -1, bytes: 0 });
    await client.end();
  }
  const client = await openNamed(arena, link, 99);
  client.sendRaw(frame(DATA, 0, 'whole\n', 1));
  assert.ok((await client.bytes(12 + 12 + 9)).includes('ok whole\n'));
  assert.equal((await link.call('release', { lane: 99, sent: 6, received: 9 })).rc, 1);
  await closeNamed(arena, link, 'fuzz');
  await arena.undisturbed();
});

async function closeNamed(arena: Arena, link: WireLink, name: string): Promise<void> {
  const session = (await arena.daemon.sessions()).find((listed) => listed.name === name);
  assert.equal((await link.call('close', { session: session?.id })).rc, 1);
  // The reason is kept for a reader: read it.
  const client = await arena.open();
  client.send(attachCall(link, 1_000, name));
  assert.equal((await client.message()).rc, 1);
  assert.equal(codeIn(await link.client.messageWith('lane', 1_000)), 'ERR_TLSHUB_CLOSED');
  link.tell('lane-end', { lane: 1_000, rc: -1, bytes: 0 });
  client.socket.end();
  await client.end();
}

test('issue 3: data after the end of one holder reaches nobody, and harms nobody', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const client = await openNamed(arena, link);
  link.tell('lane-end', { lane: 1, rc: 0, bytes: 0 });
  assert.equal((await link.call('status')).rc, 1);
  client.sendRaw(frame(DATA, 0, 'late\n', 1));
  assert.equal(await endCode(link, 1, client), undefined);
  assert.equal(arena.origin.counts.requests, 0);
  link.client.socket.destroy();
  await arena.undisturbed();
});

test('issue 3: names, modes and handles that cannot be are refused, each with its code', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const holder = await openNamed(arena, link, 1, { name: 'taken' });
  const refusals: [object, string][] = [
    [namedCall(arena, link, 2, { name: '' }), 'ERR_TLSHUB_INVALID_CALL'],
    [namedCall(arena, link, 2, { name: 'n'.repeat(129) }), 'ERR_TLSHUB_INVALID_CALL'],
    [namedCall(arena, link, 2, { name: 'é'.repeat(65) }), 'ERR_TLSHUB_INVALID_CALL'],
    [namedCall(arena, link, 2, { name: 'a\u0000b' }), 'ERR_TLSHUB_INVALID_CALL'],
    [namedCall(arena, link, 2, { name: 'a\u007f' }), 'ERR_TLSHUB_INVALID_CALL'],
    [namedCall(arena, link, 2, { name: 'tlshub1.a' }), 'ERR_TLSHUB_INVALID_CALL'],
    [namedCall(arena, link, 2, { mode: 'shared' }), 'ERR_TLSHUB_INVALID_CALL'],
    [namedCall(arena, link, 2, { messages: { lengthPrefix: 3 } }), 'ERR_TLSHUB_INVALID_CALL'],
    [namedCall(arena, link, 2, { messages: { delimiter: '' } }), 'ERR_TLSHUB_INVALID_CALL'],
    [namedCall(arena, link, 2, { name: 'taken' }), 'ERR_TLSHUB_SESSION_BUSY'],
    [namedCall(arena, link, 2, { name: 'taken', mode: 'turn' }), 'ERR_TLSHUB_NAME_IN_USE'],
    [attachCall(link, 2, 'taken'), 'ERR_TLSHUB_SESSION_BUSY'],
    [attachCall(link, 2, 'unknown'), 'ERR_TLSHUB_NAME_UNKNOWN'],
    [attachCall(link, 2, 'n'.repeat(129)), 'ERR_TLSHUB_NAME_INVALID'],
    [attachCall(link, 2, 'a\nb'), 'ERR_TLSHUB_NAME_INVALID'],
    [attachCall(link, 2, 'n'.repeat(300)), 'ERR_TLSHUB_INVALID_CALL'],
    [attachCall(link, 2, 'tlshub1.x'), 'ERR_TLSHUB_HANDLE_INVALID'],
    [attachCall(link, 2, `tlshub1.${'0'.repeat(16)}.${'0'.repeat(32)}`), 'ERR_TLSHUB_HANDLE_STALE'],
  ];
  for (const [call, code] of refusals) {
    const client = await arena.open();
    client.send(call);
    assert.equal(codeIn(await client.message()), code, JSON.stringify(call));
  }
  holder.sendRaw(frame(DATA, 0, 'calm\n', 1));
  assert.ok((await holder.bytes(12 + 12 + 8)).includes('ok calm\n'), 'the holder has noticed nothing');
  await arena.undisturbed();
});

test('issue 3: calls about a framed lane that cannot be are refused, each with its code; the lane goes on', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const client = await openNamed(arena, link);
  client.sendRaw(frame(DATA, 0, 'a\n', 1));
  await client.bytes(12 + 12 + 5);
  const state = Buffer.alloc(65_538).toString('base64');
  const refusals: [string, object, string][] = [
    ['setState', { lane: 1, state }, 'ERR_TLSHUB_INVALID_CALL'],
    ['setState', { lane: 1, state: '???' }, 'ERR_TLSHUB_INVALID_CALL'],
    ['setState', { lane: 7, state: '' }, 'ERR_TLSHUB_NOT_LEASED'],
    ['commit', { lane: 1, offset: 6 }, PROTOCOL],
    ['commit', { lane: 1, offset: 2 ** 53 }, 'ERR_TLSHUB_INVALID_CALL'],
    ['commit', { lane: 1, offset: -1 }, 'ERR_TLSHUB_INVALID_CALL'],
    ['commit', { lane: 7, offset: 0 }, 'ERR_TLSHUB_NOT_LEASED'],
    ['release', { lane: 1, sent: 1, received: 5 }, PROTOCOL],
    ['release', { lane: 1, sent: 2, received: 6 }, PROTOCOL],
    ['detached', { lane: 1, unread: 0 }, PROTOCOL],
    ['setName', { lane: 1, name: 'n'.repeat(129) }, 'ERR_TLSHUB_INVALID_CALL'],
  ];
  for (const [name, fields, code] of refusals) {
    assert.equal(
      codeIn(await link.call(name, fields)),
      code,
      `${name} ${JSON.stringify(fields).slice(0, 50)}`,
    );
  }
  client.sendRaw(frame(DATA, 2, 'b\n', 1));
  assert.ok((await client.bytes(12 + 12 + 5)).includes('ok b\n'));
  assert.equal((await link.call('commit', { lane: 1, offset: 10 })).rc, 1);
  await arena.undisturbed();
});

test('issue 3: a raw lane has no frames: its calls are refused there', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  await arena.lane(link, 1);
  for (const [name, fields] of [
    ['commit', { offset: 0 }],
    ['setState', { state: '' }],
  ] as const) {
    assert.equal(codeIn(await link.call(name, { lane: 1, ...fields })), PROTOCOL, name);
  }
  await arena.undisturbed();
});

test('P10: the name of another user is unknown, as is the daemon', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const client = await openNamed(arena, link, 1, { name: 'mine' });
  if (CAN_BECOME_OTHERS) {
    const answer = await runAsOther(
      `import { connect } from 'node:net';
      becomeOther();
      const socket = connect(process.argv[1]);
      socket.on('error', ({ code }) => console.log(JSON.stringify(code)));
      socket.on('connect', () => console.log('"connected"'));`,
      [`${arena.daemon.directory}/tlshub.sock`],
    );
    assert.equal(answer, 'EACCES', `uid ${OTHER_UID}`);
  } else {
    assert.throws(() => process.setuid?.(OTHER_UID), { code: 'EPERM' });
  }
  client.sendRaw(frame(DATA, 0, 'a\n', 1));
  assert.ok((await client.bytes(12 + 12 + 5)).includes('ok a\n'));
  await arena.undisturbed();
});

test('P14: random bytes on many framed lanes end those lanes only', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  let seed = 20_261_122;
  const next = () => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff;
    return seed >> 8;
  };
  for (let lane = 1; lane <= 40; lane++) {
    const client = await openNamed(arena, link, lane, { name: `random ${lane}` });
    client.socket.on('error', () => undefined);
    const bytes = Buffer.alloc(12 + (next() % 400));
    for (let index = 0; index < bytes.length; index++) bytes[index] = next();
    // A first byte that no frame begins with, so that the end must come.
    bytes[0] = 5 + (next() % 250);
    client.sendRaw(bytes);
    assert.equal(await endCode(link, lane, client), PROTOCOL, `lane ${lane}`);
  }
  await arena.undisturbed();
});
