// P14 on lanes: numbers used twice, lanes before or without their link, clients that never read, that say too much too
// early, that end without a word, and bytes that must reach nobody else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import { codeIn, makeArena } from './arena.ts';
import { hello, leaseCall, newProcessId } from './wire-client.ts';

const PROTOCOL = 'ERR_TLSHUB_PROTOCOL';

test('P14: a lane may come before its link, as long as a hello may take', async (t) => {
  const arena = await makeArena(t, { arguments: ['--hello-timeout', '3s'] });
  const processId = newProcessId();
  const lane = await arena.open();
  lane.send({ ...leaseCall(arena.key), process: processId, lane: 1 });
  // The lane is there before the question, and the question before the link.
  assert.equal((await arena.daemon.status()).rc, 1);
  const link = await arena.link(processId);
  assert.equal((await lane.message()).rc, 1);
  lane.sendRaw('hello\n');
  assert.equal((await lane.bytes(9)).toString(), 'ok hello\n');
  assert.equal((await link.call('release', { lane: 1, sent: 6, received: 9 })).pooled, true);
  await arena.undisturbed();
});

test('P14: a lane number that is in use, or on its way, is refused; the lane that has it stays', async (t) => {
  const arena = await makeArena(t, { origin: { handshakeDelayMs: 200 } });
  const link = await arena.link();
  const [one, two] = [await arena.open(), await arena.open()];
  one.send(leaseCall(arena.key, link, 5));
  two.send(leaseCall(arena.key, link, 5));
  const replies = [await one.message(), await two.message()];
  assert.deepEqual(replies.map(({ rc }) => rc).sort(), [-1, 1]);
  assert.equal(codeIn(replies.find(({ rc }) => rc === -1)), PROTOCOL);
  const three = await arena.open();
  three.send(leaseCall(arena.key, link, 5));
  assert.equal(codeIn(await three.message()), PROTOCOL);
  const open = replies[0]?.rc === 1 ? one : two;
  open.sendRaw('hello\n');
  assert.equal((await open.bytes(9)).toString(), 'ok hello\n');
  assert.equal((await link.call('release', { lane: 5, sent: 6, received: 9 })).pooled, true);
  await open.end();
  const again = await arena.open();
  again.send(leaseCall(arena.key, link, 5));
  assert.equal((await again.message()).rc, 1, 'after its end the daemon does not remember the number');
  await arena.undisturbed();
});

test('P14: numbers of lanes may be as large as can be counted, and no larger', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  assert.equal((await arena.lane(link, Number.MAX_SAFE_INTEGER)).reply.rc, 1);
  for (const lane of [0, -1, 0.5, 2 ** 53, 1e300]) {
    const client = await arena.open();
    client.send(leaseCall(arena.key, link, lane));
    assert.equal(codeIn(await client.message()), 'ERR_TLSHUB_INVALID_CALL', String(lane));
  }
  await arena.undisturbed();
});

test('P14: a lane may name the process of another connection; that one is told, and nobody else', async (t) => {
  const arena = await makeArena(t);
  const victim = await arena.link();
  const { lane } = await arena.lane(victim, 1);
  const stranger = await arena.open();
  stranger.send(leaseCall(arena.key, victim, 2));
  assert.equal((await stranger.message()).rc, 1);
  stranger.sendRaw('stranger\n');
  assert.equal((await stranger.bytes(12)).toString(), 'ok stranger\n');
  stranger.socket.destroy();
  lane.sendRaw('victim\n');
  assert.equal((await lane.bytes(10)).toString(), 'ok victim\n');
  assert.equal((await victim.call('status')).rc, 1);
  await arena.undisturbed();
});

test('P6: bytes behind the request line belong to the session, from the first on', async (t) => {
  const arena = await makeArena(t);
  const client = await arena.open();
  const request = JSON.stringify(leaseCall(arena.key));
  client.sendRaw(`${request}\nearly\n{"call":"lease"}\n`);
  assert.equal((await client.message()).rc, 1);
  assert.equal((await client.bytes(29)).toString(), 'ok early\nok {"call":"lease"}\n');
  await arena.undisturbed();
});

test('P8: a plain client may end its side at any time, and still gets the answer and then the end', async (t) => {
  const arena = await makeArena(t);
  for (const text of ['', 'hello\n']) {
    const client = await arena.open();
    client.send(leaseCall(arena.key));
    client.socket.end(text);
    assert.equal((await client.message()).rc, 1);
    assert.equal((await client.end()).toString(), text === '' ? '' : 'ok hello\n');
  }
  const late = await arena.open();
  late.send(leaseCall(arena.key));
  assert.equal((await late.message()).rc, 1);
  late.socket.end('hello\n');
  assert.equal((await late.end()).toString(), 'ok hello\n');
  await waitFor(() => arena.origin.counts.open === 0, { what: 'the end of the sessions' });
  await arena.undisturbed();
});

test('P14: who ends its lane without a word keeps the session until its link ends', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const { lane } = await arena.lane(link);
  lane.socket.end();
  assert.equal((await link.call('status')).rc, 1);
  assert.equal(arena.origin.counts.open, 1);
  link.client.socket.destroy();
  await lane.end();
  await waitFor(() => arena.origin.counts.open === 0, { what: 'the end of the session' });
  await arena.undisturbed();
});

test('P9: a client that never reads its lane stops its peer, not the daemon', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const { lane } = await arena.lane(link);
  lane.socket.pause();
  lane.sendRaw('send 50000000\n');
  let held = -1;
  // Until nothing moves any more.
  await waitFor(
    async () => {
      const sessions = await arena.daemon.sessions();
      const { bytesFromPeer } = sessions.at(-1) as { bytesFromPeer: number };
      const stopped = bytesFromPeer > 0 && bytesFromPeer === held;
      held = bytesFromPeer;
      return stopped;
    },
    { what: 'the peer to be stopped' },
  );
  const [session] = (await arena.daemon.sessions()).slice(-1) as { bufferedBytes: number }[];
  assert.ok(held < 1_500_000, `${held} bytes were taken from the peer, most of them by the kernel`);
  assert.ok((session?.bufferedBytes ?? 0) <= 256 * 1024, `${session?.bufferedBytes} bytes are held`);
  await arena.undisturbed();
});

test('P9: a peer that never reads stops its client, not the daemon', async (t) => {
  const arena = await makeArena(t, { origin: { behaviour: { kind: 'silent' } } });
  const { lane } = await arena.lane(await arena.link());
  const chunk = Buffer.alloc(1_000_000, 'x');
  for (let count = 0; count < 50; count += 1) lane.sendRaw(chunk);
  let before = -1;
  await waitFor(
    () => {
      const { bytesWritten, writableLength } = lane.socket;
      const gone = bytesWritten - writableLength;
      const stopped = writableLength > 0 && gone === before;
      before = gone;
      return stopped;
    },
    { what: 'the client to be stopped' },
  );
  assert.ok(lane.socket.writableLength > 30_000_000, `${lane.socket.writableLength} bytes are left here`);
  const [session] = (await arena.daemon.sessions()).slice(-1) as { bufferedBytes: number }[];
  assert.ok((session?.bufferedBytes ?? 0) <= 256 * 1024, `${session?.bufferedBytes} bytes are held`);
  await arena.undisturbed();
});

test('P15: whoever goes away while it waits takes nothing with it', async (t) => {
  const arena = await makeArena(t, { arguments: ['--max-sessions-per-key', '1'] });
  const waiting = () =>
    arena.daemon
      .status()
      .then(({ status }) => (status as { sessions: { waiting: number } }).sessions.waiting);
  const holder = await arena.link();
  await arena.lane(holder);
  const quitter = await arena.link();
  const byLane = await arena.open();
  byLane.send(leaseCall(arena.key, quitter, 1, 60_000));
  const dying = await arena.link();
  const byLink = await arena.open();
  byLink.send(leaseCall(arena.key, dying, 1, 60_000));
  await waitFor(async () => (await waiting()) === 2, { what: 'both to wait' });
  byLane.socket.destroy();
  dying.client.socket.destroy();
  await waitFor(async () => (await waiting()) === 0, { what: 'both to be forgotten' });
  assert.equal((await holder.call('release', { lane: 1, sent: 0, received: 0 })).pooled, true);
  assert.equal((await arena.lane(holder, 2)).reply.reused, true);
  assert.equal(arena.origin.counts.connections, 1);
  await arena.undisturbed();
});

test('P14: links and lanes that come and go in every order leave nothing behind', async (t) => {
  const arena = await makeArena(t);
  for (const order of permutations(['hello', 'lease', 'link gone', 'lane gone'] as const)) {
    const processId = newProcessId();
    const [link, lane] = [await arena.open(), await arena.open()];
    const steps = {
      hello: () => link.send(hello(processId)),
      lease: () => lane.send({ ...leaseCall(arena.key), process: processId, lane: 1 }),
      'link gone': () => void link.socket.end(),
      'lane gone': () => void lane.socket.end(),
    };
    for (const step of order) {
      const socket = step === 'hello' ? link.socket : lane.socket;
      if (!step.endsWith('gone') && socket.writableEnded) continue;
      steps[step]();
    }
  }
  await arena.undisturbed();
});

function permutations<Item>(items: readonly Item[]): Item[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  );
}
