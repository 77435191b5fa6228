// The relay with real connections: a session passes from holder to holder, and bytes come at every moment of that.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { PatternChecker, pattern } from '#helpers/pattern.js';
import { waitFor } from '#helpers/wait-for.js';
import { IdleWatch } from '#src/daemon/idle-watch.js';
import { Lane } from '#src/daemon/lane.js';
import { Relay } from '#src/daemon/relay.js';
import { sessionOf } from '#src/daemon/server/accepted-session.js';
import { makePairs, type PairMaker } from './socket-pairs.ts';

/** A session on our side of a connection, and its peer. */
async function openSession(pairs: PairMaker, side: 'client' | 'server' = 'client') {
  const pair = await pairs.tls();
  const session = sessionOf(pair[side], { id: 's1', uid: 1 }, () => {});
  assert.ok(session);
  return { session, peer: pair[side === 'client' ? 'server' : 'client'] };
}

/** A lane of a plain client, with what its holder was given. */
async function openLane(pairs: PairMaker) {
  const { client, server } = await pairs.plain();
  const got: Buffer[] = [];
  client.on('data', (chunk: Buffer) => got.push(chunk));
  const lane = new Lane(server, { uid: 1, pid: null, link: undefined, lane: 0 });
  return { lane, holder: client, text: () => Buffer.concat(got).toString() };
}

/** When the peer sends its late byte, from before the release of one holder to after the lease of the next. */
const MOMENTS = ['before', 'within', 'released', 'idle', 'taken', 'leased'] as const;

for (const moment of MOMENTS) {
  test(`P6, P7: between two holders a byte goes to neither or to the right one: ${moment}`, async (t) => {
    const pairs = await makePairs(t);
    for (let turns = 0; turns < 8; turns += 1) {
      const { session, peer } = await openSession(pairs);
      const [one, two] = [await openLane(pairs), await openLane(pairs)];
      let sent = false;
      const reach = async (now: (typeof MOMENTS)[number]) => {
        if (now !== moment) return;
        peer.write('late');
        sent = true;
        for (let count = 0; count < turns; count += 1) await turn();
      };
      const first = new Relay(session, one.lane, () => {});
      peer.write('one');
      await waitFor(() => one.text() === 'one', { what: 'bytes for the first holder' });
      await reach('before');
      const releasing = first.release(0, 3);
      await reach('within');
      const doubt = await releasing;
      await reach('released');
      let idle = doubt === undefined && !session.hasUnread;
      if (idle) {
        new IdleWatch(session, () => {
          idle = false;
        });
        await reach('idle');
      } else {
        session.close('in doubt', 'abrupt');
      }
      // As the pool: a session that its watch has ended is nobody's.
      if (idle) {
        session.occupy(undefined);
        await reach('taken');
        new Relay(session, two.lane, () => {});
        await reach('leased');
        if (!sent || moment === 'taken' || moment === 'leased') {
          await waitFor(() => two.text() === 'late', { what: 'bytes for the second holder' });
        } else {
          // It was on its way when the session was taken: no time was left in which a watch could see it.
          peer.write('.');
          await waitFor(() => two.text().endsWith('.'), { what: 'the next byte' });
        }
      } else {
        await waitFor(() => session.tls.destroyed, { what: 'the end of the session' });
        assert.equal(two.text(), '');
      }
      assert.ok(one.text() === 'one' || (doubt !== undefined && one.text() === 'onelate'), one.text());
      peer.destroy();
    }
  });
}

for (const side of ['client', 'server'] as const) {
  test(`P6: a session that is detached again and again loses no byte, while its peer sends; ${side} side`, async (t) => {
    const pairs = await makePairs(t);
    const { session, peer } = await openSession(pairs, side);
    const checker = new PatternChecker();
    const bytes = 8 * 1024 * 1024;
    for (let offset = 0; offset < bytes; offset += 65_536) peer.write(pattern(offset, 65_536));
    while (checker.bytes < bytes) {
      const { client, server } = await pairs.plain();
      const relay = new Relay(
        session,
        new Lane(server, { uid: 1, pid: null, link: undefined, lane: 0 }),
        () => {},
      );
      const part = await take(client, Math.floor(Math.random() * 600_000), bytes - checker.bytes);
      const delivered = await relay.stop(0);
      while (part.length < delivered) part.push(await next(client));
      const kept = Math.floor(Math.random() * Math.min(delivered, 100_000));
      checker.push(part.bytes().subarray(0, delivered - kept));
      client.write(part.bytes().subarray(delivered - kept));
      await relay.takeBack(kept);
      assert.equal(relay.over, true);
      client.destroy();
    }
    assert.equal(checker.bytes, bytes);
    peer.destroy();
  });
}

/** What a holder has read. */
class Part {
  readonly #chunks: Buffer[] = [];
  length = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.length += chunk.length;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

/** Reads at least so many bytes, or all that there are. */
async function take(socket: Socket, atLeast: number, atMost: number): Promise<Part> {
  const part = new Part();
  while (part.length < Math.min(atLeast, atMost)) part.push(await next(socket));
  return part;
}

function next(socket: Socket): Promise<Buffer> {
  return waitFor(() => socket.read() as Buffer | null, { what: 'more bytes' });
}
