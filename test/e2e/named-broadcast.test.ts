// Issue 3, `broadcast` mode: every holder gets every byte from the moment it joined; one that is too slow is cut off
// with ERR_TLSHUB_SLOW_READER and never slows the others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PatternChecker, patternPieces } from '#helpers/pattern.js';
import { waitFor } from '#helpers/wait-for.js';
import type { Holder } from './named-holders.ts';
import { collect, makePlace, type Peer } from './named-joins.ts';

const place = makePlace({ behaviour: { kind: 'silent' } });
const broadcast = { mode: 'broadcast' };

async function send(peer: Peer, bytes: number): Promise<void> {
  for (const piece of patternPieces(bytes)) {
    await new Promise<void>((resolve, reject) => {
      peer.socket.write(piece, (error) => (error ? reject(error) : resolve()));
    });
  }
}

/** Checks what a flowing holder gets until it has so many bytes. */
async function checkAll(holder: Holder, as: string, bytes: number): Promise<void> {
  const checker = new PatternChecker();
  await waitFor(
    async () => {
      const { chunks, error } = await holder.report(as);
      assert.equal(error, undefined);
      for (const chunk of chunks) checker.push(Buffer.from(chunk, 'latin1'));
      return checker.bytes === bytes;
    },
    { what: () => `${bytes} bytes, not ${checker.bytes}`, deadlineMs: 20_000 },
  );
}

test('issue 3: every holder gets every byte from the moment it joined', async () => {
  const holders = [place.holder(), place.holder(), place.holder()] as const;
  const peer = await place.open(holders[0], 'all', broadcast);
  await holders[0].tell({ do: 'flow', as: 'all' });
  peer.socket.write('before ');
  await collect(holders[0], 'all', 7);
  for (const holder of holders.slice(1)) {
    assert.equal((await place.join(holder, 'all', broadcast)).resumedAt, 7);
    await holder.tell({ do: 'flow', as: 'all' });
  }
  peer.socket.write('after');
  for (const holder of holders) assert.equal((await collect(holder, 'all', 5)).join(''), 'after');
});

test('P9, issue 3: a slow holder is cut off with ERR_TLSHUB_SLOW_READER; the other gets every byte', async () => {
  const [fast, slow] = [place.holder(), place.holder()];
  const peer = await place.open(fast, 'slow', broadcast);
  await place.join(slow, 'slow', broadcast);
  await fast.tell({ do: 'flow', as: 'slow' });
  const bytes = 8_000_000;
  const sent = send(peer, bytes);
  await checkAll(fast, 'slow', bytes);
  await sent;
  // What it has not read does not matter any more: it is told at once.
  await waitFor(async () => (await slow.report('slow')).error === 'ERR_TLSHUB_SLOW_READER', {
    what: 'ERR_TLSHUB_SLOW_READER',
  });
  const [session] = (await place.daemon.sessions()).filter(({ name }) => name === 'slow');
  assert.ok(Number(session?.bufferedBytes) <= 262_144);
});

test('P9: a lone holder of a broadcast is waited for, not cut off', async () => {
  const holder = place.holder();
  const peer = await place.open(holder, 'alone', broadcast);
  const bytes = 4_000_000;
  const sent = send(peer, bytes);
  await waitFor(
    async () => {
      const session = (await place.daemon.sessions()).find(({ name }) => name === 'alone');
      return Number(session?.unreadBytes) > 131_072;
    },
    { what: 'a session that is full' },
  );
  await holder.tell({ do: 'flow', as: 'alone' });
  await checkAll(holder, 'alone', bytes);
  await sent;
});

test('issue 3: all holders that pause together stop the peer, and nobody is cut off', async () => {
  const [one, two] = [place.holder(), place.holder()];
  const peer = await place.open(one, 'paused', broadcast);
  await place.join(two, 'paused', broadcast);
  const bytes = 200_000;
  await send(peer, bytes);
  for (const holder of [one, two]) await holder.tell({ do: 'flow', as: 'paused' });
  await Promise.all([one, two].map((holder) => checkAll(holder, 'paused', bytes)));
});

test('issue 3: any holder may write; the others see no byte of it, the peer all', async () => {
  const [one, two] = [place.holder(), place.holder()];
  const peer = await place.open(one, 'write', broadcast);
  await place.join(two, 'write', broadcast);
  await one.tell({ do: 'write', as: 'write', text: 'from one, ' });
  await two.tell({ do: 'write', as: 'write', text: 'from two' });
  await waitFor(() => peer.received() === 'from one, from two', { what: 'both writes' });
});

test('issue 3: end() by one holder ends the session for all', async () => {
  const holders = [place.holder(), place.holder()] as const;
  const peer = await place.open(holders[0], 'end', broadcast);
  await place.join(holders[1], 'end', broadcast);
  for (const holder of holders) await holder.tell({ do: 'flow', as: 'end' });
  await holders[0].tell({ do: 'end', as: 'end' });
  await waitFor(() => peer.socket.readableEnded, { what: 'the end at the peer' });
  peer.socket.end('bye');
  for (const holder of holders) {
    assert.equal((await collect(holder, 'end', 3)).join(''), 'bye');
    await waitFor(async () => (await holder.report('end')).ended, { what: 'the end' });
  }
  assert.equal((await place.join(holders[1], 'end', broadcast)).reused, false);
});
