// P15, issue 3 "Crash safety": what is left when a holder is killed, at the points that the random test meets seldom.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { pattern } from '#helpers/pattern.js';
import { waitFor } from '#helpers/wait-for.js';
import { type JoinedSession, OrderFailure } from './named-holders.ts';
import { collect, makePlace } from './named-joins.ts';

const place = makePlace({ behaviour: { kind: 'silent' } });

test('P15: unread bytes, state and name of a killed holder stay, for the process that waits', async () => {
  const [one, two] = [place.holder(), place.holder()];
  const peer = await place.open(one, 'killed', { commit: 'manual' });
  await one.tell({ do: 'setState', as: 'killed', text: 'half way' });
  peer.socket.write(Buffer.from(pattern(0, 100_000)));
  await one.tell({ do: 'read', as: 'killed', bytes: 60_000 });
  await one.tell({ do: 'commit', as: 'killed' });
  await one.tell({ do: 'read', as: 'killed', bytes: 20_000 });
  const waiting = place.join(two, 'killed');
  await one.kill();
  const joined = await waiting;
  assert.deepEqual([joined.resumedAt, joined.state, joined.reused], [60_000, 'half way', true]);
  const text = await two.tell<string>({ do: 'read', as: 'killed', bytes: 40_000 });
  assert.equal(text, pattern(60_000, 40_000).toString('latin1'));
});

test('P6: half a write of a killed process is never sent; the writes of others are whole', async () => {
  const [one, two] = [place.holder(), place.holder()];
  const peer = await place.open(one, 'half write', { mode: 'turn' });
  await place.join(two, 'half write', { mode: 'turn' });
  for (let round = 0; round < 10; round++) {
    const dying = place.holder();
    await place.join(dying, 'half write', { mode: 'turn' });
    const writing = dying.tell({ do: 'write', as: 'half write', text: `<${'d'.repeat(200_000)}>` });
    writing.catch(() => undefined);
    if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
    await dying.kill();
    await two.tell({ do: 'write', as: 'half write', text: `<${round}>` });
  }
  await waitFor(() => peer.received().endsWith('<9>'), { what: 'the last write' });
  const others = peer.received().replace(/<d{200000}>/g, '');
  assert.equal(others, '<0><1><2><3><4><5><6><7><8><9>');
});

test('P6: a process that dies within a write of many windows ends the session, with a reason, for all', async () => {
  const [one, two] = [place.holder(), place.holder()];
  const peer = await place.open(one, 'long write', { mode: 'turn' });
  await place.join(two, 'long write', { mode: 'turn' });
  peer.socket.pause();
  peer.socket.on('error', () => undefined);
  const writing = one.tell({ do: 'write', as: 'long write', text: 'l'.repeat(50_000_000) });
  writing.catch(() => undefined);
  await waitFor(
    async () =>
      Number((await place.daemon.sessions()).find(({ name }) => name === 'long write')?.bytesToPeer) >
      300_000,
    { what: 'a part of the write' },
  );
  await one.kill();
  await two.tell({ do: 'flow', as: 'long write' });
  await waitFor(async () => (await two.report('long write')).error === 'ERR_TLSHUB_CLOSED', {
    what: 'ERR_TLSHUB_CLOSED',
  });
});

test('issue 3: the end of the peer while nobody holds the session is kept for the next holder', async () => {
  const [one, two] = [place.holder(), place.holder()];
  const peer = await place.open(one, 'ended');
  await one.tell({ do: 'release', as: 'ended' });
  peer.socket.end('last words');
  await waitFor(
    async () =>
      Number((await place.daemon.sessions()).find(({ name }) => name === 'ended')?.unreadBytes) === 10,
    { what: 'the last words' },
  );
  await two.tell({ do: 'attach', as: 'ended', handle: 'ended', options: {} });
  await two.tell({ do: 'flow', as: 'ended' });
  assert.deepEqual(await collect(two, 'ended', 10), ['last words']);
  await waitFor(async () => (await two.report('ended')).ended, { what: 'the end' });
  await two.tell({ do: 'end', as: 'ended' });
  await waitFor(
    async () =>
      two.tell({ do: 'attach', as: 'again', handle: 'ended', options: {} }).then(
        () => false,
        (error: OrderFailure) => error.code === 'ERR_TLSHUB_NAME_UNKNOWN',
      ),
    { what: 'a name that is free' },
  );
});

test('issue 3: the failure of the connection while nobody holds it is kept for the next holder', async () => {
  const [one, two] = [place.holder(), place.holder()];
  const peer = await place.open(one, 'reset');
  await one.tell({ do: 'release', as: 'reset' });
  peer.socket.write('bytes');
  await waitFor(
    async () =>
      Number((await place.daemon.sessions()).find(({ name }) => name === 'reset')?.unreadBytes) === 5,
    { what: 'the bytes' },
  );
  (peer.socket as unknown as { _parent: Socket })._parent.resetAndDestroy();
  await waitFor(
    async () => (await place.daemon.sessions()).find(({ name }) => name === 'reset')?.state === 'ended',
    { what: 'the reset' },
  );
  await two.tell({ do: 'attach', as: 'reset', handle: 'reset', options: {} });
  assert.equal(await two.tell({ do: 'read', as: 'reset', bytes: 5 }), 'bytes');
  await waitFor(async () => (await two.report('reset')).error === 'ECONNRESET', { what: 'ECONNRESET' });
});

test('P15: the death of one holder of a broadcast is nothing to the others', async () => {
  const [one, two] = [place.holder(), place.holder()];
  const peer = await place.open(one, 'others', { mode: 'broadcast' });
  await place.join(two, 'others', { mode: 'broadcast' });
  await two.tell({ do: 'flow', as: 'others' });
  peer.socket.write('a');
  await one.kill();
  peer.socket.write('b');
  assert.equal((await collect(two, 'others', 2)).join(''), 'ab');
  await two.tell({ do: 'write', as: 'others', text: 'c' });
  await waitFor(() => peer.received() === 'c', { what: 'the write' });
});

test('P16: when the daemon dies each holder gets ERR_TLSHUB_DAEMON_LOST, and the name can be opened again', async () => {
  const one = place.holder();
  await place.open(one, 'daemon');
  await place.daemon.kill('SIGKILL');
  await waitFor(async () => (await one.report('daemon')).error === 'ERR_TLSHUB_DAEMON_LOST', {
    what: 'ERR_TLSHUB_DAEMON_LOST',
  });
  const joined = await one.tell<JoinedSession>({
    do: 'connect',
    as: 'daemon',
    options: {
      port: place.origin.port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: place.pki.ca.cert,
      shared: { name: 'daemon', fallback: false },
    },
  });
  assert.equal(joined.reused, false);
  await assert.rejects(
    one.tell({ do: 'attach', as: 'unknown', handle: 'long write', options: {} }),
    new OrderFailure('ERR_TLSHUB_NAME_UNKNOWN'),
  );
});
