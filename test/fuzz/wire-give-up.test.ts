// Release and detach with counts that are wrong, twice, out of order, or never finished: the doubt closes the session,
// and what others hold stays theirs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import { MAX_UNREAD_BYTES } from '#src/protocol/limits.js';
import { type Arena, codeIn, makeArena } from './arena.ts';
import { leaseCall, type Message, type WireClient, type WireLink } from './wire-client.ts';

interface Lease {
  link: WireLink;
  lane: WireClient;
}

/** A lease on which 6 bytes were sent and 9 came back. */
async function lease(arena: Arena): Promise<Lease> {
  const link = await arena.link();
  const { lane } = await arena.lane(link);
  lane.sendRaw('hello\n');
  assert.equal((await lane.bytes(9)).toString(), 'ok hello\n');
  return { link, lane };
}

function attach(
  arena: Arena,
  handle: unknown,
  link?: WireLink,
  lane = 1,
): Promise<{ client: WireClient; reply: Message }> {
  const holder = link === undefined ? {} : { process: link.processId, lane };
  return arena.open().then(async (client) => {
    client.send({ call: 'attach', protocol: 1, ...holder, handle, wait: 0, socket: {} });
    return { client, reply: await client.message() };
  });
}

const openSessions = (arena: Arena) => () => arena.origin.counts.open === 0;

test('P7: a release with matching counts goes to the pool, one with others closes the session', async (t) => {
  const arena = await makeArena(t);
  const right = await lease(arena);
  const reply = await right.link.call('release', { lane: 1, sent: 6, received: 9 });
  assert.deepEqual([reply.rc, reply.pooled], [1, true]);
  assert.equal((await right.lane.end()).length, 0);
  await waitFor(openSessions(arena), { what: 'the pool to be swept' });

  const wrong: [sent: number, received: number, reason: string][] = [
    [5, 9, '5 bytes were sent and 6 came'],
    [7, 9, '7 bytes were sent and 6 came'],
    [Number.MAX_SAFE_INTEGER, 9, '9007199254740991 bytes were sent and 6 came'],
    [6, 8, '9 bytes were delivered and 8 read'],
    [6, 10, '9 bytes were delivered and 10 read'],
    [0, 0, '0 bytes were sent and 6 came'],
  ];
  await Promise.all(
    wrong.map(async ([sent, received, reason]) => {
      const { link, lane } = await lease(arena);
      const refused = await link.call('release', { lane: 1, sent, received });
      assert.deepEqual([refused.rc, refused.pooled, refused.reason], [1, false, reason]);
      await lane.end();
    }),
  );
  await waitFor(openSessions(arena), { what: 'the end of the sessions in doubt' });
  await arena.undisturbed();
});

test('P7: a release while bytes are unread, or after the peer has ended, closes the session', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const { lane } = await arena.lane(link, 1);
  lane.sendRaw('send 100000\n');
  await lane.bytes(1);
  const unread = await link.call('release', { lane: 1, sent: 12, received: 0 });
  assert.equal(unread.pooled, false);

  const second = await arena.lane(link, 2);
  second.lane.sendRaw('x\n');
  await second.lane.bytes(5);
  for (const socket of arena.origin.sockets) socket.end();
  for (;;) {
    const { lane: number, rc } = await link.client.messageWith('event', 'lane-end');
    if (number === 2) {
      assert.equal(rc, 0);
      break;
    }
  }
  const ended = await link.call('release', { lane: 2, sent: 2, received: 5 });
  assert.deepEqual([ended.pooled, ended.reason], [false, 'the peer has ended the session']);
  await second.lane.end();
  await arena.undisturbed();
});

test('P6: giving up twice, in any order and without waiting, never touches the next holder', async (t) => {
  const arena = await makeArena(t, { arguments: ['--max-sessions-per-key', '1', '--pool-idle', '5s'] });
  const release = { call: 'release', lane: 1, sent: 6, received: 9 };
  const detach = { call: 'detach', lane: 1, sent: 6 };
  const detached = { call: 'detached', lane: 1, unread: 0 };
  const abrupt = { event: 'lane-end', lane: 1, rc: -1, bytes: 6 };
  for (const second of [release, detach, detached, abrupt]) {
    const { link, lane } = await lease(arena);
    const next = await arena.link();
    const waiting = await arena.open();
    waiting.send(leaseCall(arena.key, next, 1, 5_000));
    await waitFor(
      async () =>
        ((await arena.daemon.status()).status as { sessions: { waiting: number } }).sessions.waiting === 1,
      { what: 'the next one to wait' },
    );
    const lines = [
      { ...release, id: 90 },
      { ...second, ...('call' in second && { id: 91 }) },
    ];
    link.client.sendRaw(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const replies = new Map<unknown, Message>();
    while (replies.size < ('call' in second ? 2 : 1)) {
      const message = await link.client.message();
      if ('reply' in message) replies.set(message.reply, message);
    }
    assert.equal(replies.get(90)?.pooled, true);
    if ('call' in second) {
      const code = codeIn(replies.get(91)) ?? '';
      assert.ok(['ERR_TLSHUB_PROTOCOL', 'ERR_TLSHUB_NOT_LEASED'].includes(code), `${second.call}: ${code}`);
    }
    lane.sendRaw('bytes of the former holder\n');
    lane.socket.end();
    assert.equal((await waiting.message()).reused, true);
    waiting.sendRaw('next\n');
    assert.equal((await waiting.bytes(8)).toString(), 'ok next\n');
    assert.equal((await next.call('release', { lane: 1, sent: 5, received: 8 })).pooled, true);
  }
  assert.equal(arena.origin.counts.connections, 1);
  await arena.undisturbed();
});

test('P6: what comes back at a detach is what the next holder gets first', async (t) => {
  const arena = await makeArena(t);
  const { link, lane } = await lease(arena);
  const stopped = await link.call('detach', { lane: 1, sent: 6 });
  assert.deepEqual([stopped.rc, stopped.delivered], [1, 9]);
  lane.sendRaw('he');
  lane.sendRaw('llo\n');
  const left = await link.call('detached', { lane: 1, unread: 6 });
  assert.equal(left.rc, 1);
  assert.equal((await lane.end()).length, 0);
  const { client, reply } = await attach(arena, left.handle, link, 2);
  assert.deepEqual([reply.rc, reply.reused, reply.events], [1, true, []]);
  assert.equal((await client.bytes(6)).toString(), 'hello\n');
  client.sendRaw('on\n');
  assert.equal((await client.bytes(6)).toString(), 'ok on\n');
  assert.equal((await link.call('release', { lane: 2, sent: 3, received: 12 })).pooled, true);
  await arena.undisturbed();
});

test('P7: a detach with a wrong count closes the session', async (t) => {
  const arena = await makeArena(t);
  await Promise.all(
    [5, 7].map(async (sent) => {
      const { link, lane } = await lease(arena);
      const reply = await link.call('detach', { lane: 1, sent });
      assert.deepEqual([reply.rc, codeIn(reply)], [-1, 'ERR_TLSHUB_NOT_DETACHABLE']);
      await lane.end();
    }),
  );
  await waitFor(openSessions(arena), { what: 'the end of the sessions in doubt' });
  await arena.undisturbed();
});

test('P14: detached without detach, twice, or beyond what was delivered is refused', async (t) => {
  const arena = await makeArena(t);
  const { link, lane } = await lease(arena);
  assert.equal(codeIn(await link.call('detached', { lane: 1, unread: 0 })), 'ERR_TLSHUB_PROTOCOL');
  lane.sendRaw('x\n');
  assert.equal((await lane.bytes(5)).toString(), 'ok x\n', 'and the lease goes on');
  assert.equal((await link.call('detach', { lane: 1, sent: 8 })).delivered, 14);
  assert.equal(codeIn(await link.call('detach', { lane: 1, sent: 8 })), 'ERR_TLSHUB_PROTOCOL');
  assert.equal(codeIn(await link.call('release', { lane: 1, sent: 8, received: 14 })), 'ERR_TLSHUB_PROTOCOL');
  for (const unread of [15, MAX_UNREAD_BYTES + 1, Number.MAX_SAFE_INTEGER]) {
    assert.equal(
      codeIn(await link.call('detached', { lane: 1, unread })),
      'ERR_TLSHUB_PROTOCOL',
      String(unread),
    );
  }
  link.client.sendRaw(
    '{"call":"detached","id":70,"lane":1,"unread":5}\n{"call":"detached","id":71,"lane":1,"unread":5}\n',
  );
  assert.equal(codeIn(await link.client.messageWith('reply', 71)), 'ERR_TLSHUB_PROTOCOL');
  lane.sendRaw('ok x\n');
  const { handle } = await link.client.messageWith('reply', 70);
  const { client } = await attach(arena, handle);
  assert.equal((await client.bytes(5)).toString(), 'ok x\n');
  await arena.undisturbed();
});

test('P7: fewer or more bytes than `detached` said, or the end instead, close the session', async (t) => {
  const arena = await makeArena(t);
  const comeBack: readonly ((lane: WireClient) => void)[] = [
    (lane) => lane.sendRaw('1234'),
    (lane) => lane.sendRaw('123456'),
    (lane) => void lane.socket.end('1234'),
    (lane) => void lane.socket.destroy(),
    (lane) => lane.sendRaw(Buffer.alloc(MAX_UNREAD_BYTES + 1)),
  ];
  await Promise.all(
    comeBack.map(async (give, index) => {
      const { link, lane } = await lease(arena);
      await link.call('detach', { lane: 1, sent: 6 });
      give(lane);
      const reply = await link.call('detached', { lane: 1, unread: 5 });
      assert.deepEqual([reply.rc, codeIn(reply)], [-1, 'ERR_TLSHUB_NOT_DETACHABLE'], `case ${index}`);
    }),
  );
  await waitFor(openSessions(arena), { what: 'the end of the sessions in doubt' });
  await arena.undisturbed();
});

test('P15: who dies between the two halves of a detach takes the session along', async (t) => {
  const arena = await makeArena(t);
  const { link, lane } = await lease(arena);
  await link.call('detach', { lane: 1, sent: 6 });
  lane.sendRaw('half of wh');
  link.client.socket.destroy();
  lane.socket.destroy();
  await waitFor(openSessions(arena), { what: 'the end of the session' });
  await arena.undisturbed();
});

test('P8: an end of the peer during a detach is what the next holder sees', async (t) => {
  const arena = await makeArena(t);
  const { link, lane } = await lease(arena);
  await link.call('detach', { lane: 1, sent: 6 });
  for (const socket of arena.origin.sockets) socket.end('last words');
  await waitFor(async () => (await arena.daemon.sessions()).some((session) => session.bufferedBytes === 10), {
    what: 'the last words to wait in the daemon',
  });
  lane.sendRaw('llo\n');
  const { handle } = await link.call('detached', { lane: 1, unread: 4 });
  const { client, reply } = await attach(arena, handle, link, 2);
  assert.equal(reply.rc, 1);
  assert.equal((await client.end()).toString(), 'llo\nlast words');
  assert.deepEqual(
    await link.client
      .messageWith('event', 'lane-end')
      .then(({ lane: number, rc, bytes }) => [number, rc, bytes]),
    [2, 0, 14],
  );
  await arena.undisturbed();
});

test('P12: a handle works once; then it is busy, then unknown', async (t) => {
  const arena = await makeArena(t);
  const { link } = await lease(arena);
  await link.call('detach', { lane: 1, sent: 6 });
  const { handle } = await link.call('detached', { lane: 1, unread: 0 });
  const first = await attach(arena, handle, link, 2);
  assert.equal(first.reply.rc, 1);
  assert.equal(codeIn((await attach(arena, handle)).reply), 'ERR_TLSHUB_SESSION_BUSY');
  assert.equal((await link.call('release', { lane: 2, sent: 0, received: 0 })).pooled, true);
  assert.equal(codeIn((await attach(arena, handle)).reply), 'ERR_TLSHUB_HANDLE_UNKNOWN');
  await arena.undisturbed();
});
