// The pool with real connections: who gets which session, who waits, and what never goes back.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { OriginOptions } from '#helpers/counting-origin.js';
import type { Scope } from '#helpers/scope.js';
import { waitFor, within } from '#helpers/wait-for.js';
import type { DaemonConfig } from '#src/daemon/config.js';
import { makePool, UID } from './real-sessions.ts';

const code = (wanted: string) => (error: { code?: string; wire?: { code?: string } }) => {
  assert.equal(error.code ?? error.wire?.code, wanted);
  return true;
};

function setUp(t: TestContext, limits: Partial<DaemonConfig> = {}, origin: Partial<OriginOptions> = {}) {
  return makePool(t as Scope, limits, origin);
}

test('P1: a session that was given back serves the next, without a handshake', async (t) => {
  const { pool, lease, origin } = await setUp(t);
  const first = await lease();
  assert.equal(first.reused, false);
  pool.giveBack(first.session);
  const second = await lease();
  assert.deepEqual([second.reused, second.session], [true, first.session]);
  assert.equal(origin.counts.connections, 1);
  assert.deepEqual(
    [pool.counters.handshakes, pool.counters.leases, pool.counters.reuses, second.session.leases],
    [1, 2, 1, 2],
  );
});

test('the session that was used last is leased first', async (t) => {
  const { pool, lease } = await setUp(t);
  const [one, two] = [await lease(), await lease()];
  pool.giveBack(one.session);
  pool.giveBack(two.session);
  assert.equal((await lease()).session, two.session);
  assert.equal((await lease()).session, one.session);
});

test('P2: another key or another user never gets the session', async (t) => {
  const { pool, lease, origin } = await setUp(t);
  pool.giveBack((await lease()).session);
  assert.equal((await lease({ minVersion: 'TLSv1.2' })).reused, false);
  assert.equal((await lease({}, 0, undefined, UID + 1)).reused, false);
  assert.equal(origin.counts.connections, 3);
  assert.equal((await lease()).reused, true);
});

test('P2: an idle session is leased at once to its own key and user only, and never past a request that waits', async (t) => {
  const { pool, lease, key, closed } = await setUp(t, { maxSessionsPerKey: 1 });
  const atOnce = (uid = UID, changes = {}) => pool.leaseIdle(uid, { ...key, ...changes }, undefined);
  assert.equal(atOnce(), undefined);
  const { session } = await lease();
  assert.equal(atOnce(), undefined, 'it is held');
  pool.giveBack(session);
  assert.equal(atOnce(UID + 1), undefined);
  assert.equal(atOnce(UID, { minVersion: 'TLSv1.2' }), undefined);
  assert.equal(atOnce(), session);
  assert.deepEqual([session.state, session.leases, pool.counters.reuses], ['leased', 2, 1]);
  const waiting = lease({}, 5_000);
  pool.giveBack(session);
  assert.equal(atOnce(), undefined);
  assert.equal((await within(waiting, { what: 'the lease' })).session, session);
  pool.giveBack(session);
  pool.drain();
  assert.equal(atOnce(), undefined);
  await waitFor(() => closed.length === 1, { what: 'the end of the session' });
});

test('a new session of a known key resumes; of another key or user it does not', async (t) => {
  const { lease, tickets, origin } = await setUp(t);
  await lease();
  await waitFor(() => tickets.size === 1, { what: 'a ticket' });
  assert.equal((await lease()).session.info.resumed, true);
  assert.equal((await lease({}, 0, undefined, UID + 1)).session.info.resumed, false);
  assert.equal((await lease({ minVersion: 'TLSv1.2' })).session.info.resumed, false);
  await waitFor(() => origin.counts.resumptions === 1, { what: 'one resumption' });
});

test('P7: a byte that comes while the session is idle closes it', async (t) => {
  const { pool, lease, origin, closed } = await setUp(t);
  const { session } = await lease();
  pool.giveBack(session);
  await waitFor(() => origin.sockets.size === 1, { what: 'the connection' });
  for (const socket of origin.sockets) socket.write('!');
  await waitFor(() => closed.length === 1, { what: 'the close' });
  assert.equal(session.closeReason, 'the peer sent bytes while the session was idle');
  assert.equal((await lease()).reused, false);
});

test('P7: a session whose peer ends while it is idle is gone', async (t) => {
  const { pool, lease, origin, closed, table } = await setUp(t);
  const { session } = await lease();
  pool.giveBack(session);
  await waitFor(() => origin.sockets.size === 1, { what: 'the connection' });
  for (const socket of origin.sockets) socket.end();
  await waitFor(() => closed.length === 1, { what: 'the close' });
  assert.equal(session.closeReason, 'the peer ended the session while it was idle');
  assert.equal(table.size, 0);
});

test('P7: unread bytes and a tainted session never go back', async (t) => {
  const { pool, lease, origin, closed } = await setUp(t);
  const { session } = await lease();
  await waitFor(() => origin.sockets.size === 1, { what: 'the connection' });
  for (const socket of origin.sockets) socket.write('!');
  await waitFor(() => session.hasUnread, { what: 'the byte' });
  pool.giveBack(session);
  assert.equal(session.closeReason, 'the peer sent bytes that nobody read');
  const { session: tainted } = await lease();
  tainted.tainted = 'its holder renegotiated';
  pool.giveBack(tainted);
  assert.equal(tainted.closeReason, 'its holder renegotiated');
  await waitFor(() => closed.length === 2, { what: 'both closes' });
});

test('P18: a session that is too old is not leased again, whether it was idle or held', async (t) => {
  const { pool, lease, closed } = await setUp(t, { sessionAgeMs: 60_000, poolIdleMs: 120_000 });
  const { session: idle } = await lease();
  const { session: held } = await lease();
  pool.giveBack(idle);
  for (const session of [idle, held]) (session as { createdAtMs: number }).createdAtMs -= 60_001;
  pool.giveBack(held);
  assert.equal((await lease()).reused, false);
  await waitFor(() => closed.length === 2, { what: 'both closes' });
  assert.deepEqual(
    [idle.closeReason, held.closeReason],
    ['reached its greatest age', 'reached its greatest age'],
  );
});

test('P18: the sweep closes what was idle for too long, and only that', async (t) => {
  const { pool, lease, closed } = await setUp(t, { poolIdleMs: 60_000 });
  const [one, two] = [(await lease()).session, (await lease()).session];
  pool.giveBack(one);
  pool.giveBack(two);
  one.stateSinceMs -= 1_000;
  assert.equal(pool.sweepIdle(one.stateSinceMs + 59_999), 0);
  assert.equal(pool.sweepIdle(one.stateSinceMs + 60_000), 1);
  assert.equal((await lease()).session, two);
  await waitFor(() => closed.length === 1, { what: 'the close' });
  assert.equal(closed[0], one);
});

test('P18: beyond the limit of a key a request waits its time, or not at all', async (t) => {
  const { lease, pool, origin } = await setUp(t, { maxSessionsPerKey: 1 });
  await lease();
  await assert.rejects(lease(), code('ERR_TLSHUB_POOL_TIMEOUT'));
  const startMs = performance.now();
  await assert.rejects(lease({}, 100), code('ERR_TLSHUB_POOL_TIMEOUT'));
  assert.ok(performance.now() - startMs >= 95);
  assert.equal(pool.waiting, 0);
  assert.equal((await lease({ minVersion: 'TLSv1.2' })).reused, false, 'another key has its own limit');
  assert.equal(origin.counts.connections, 2);
});

test('waiting requests are served first come, first served', async (t) => {
  const { lease, pool } = await setUp(t, { maxSessionsPerKey: 1 });
  const { session } = await lease();
  const order: number[] = [];
  const waiting = [1, 2, 3].map(async (number) => {
    const leased = await lease({}, 5_000);
    order.push(number);
    return leased;
  });
  assert.equal(pool.waiting, 3);
  for (const request of waiting) {
    pool.giveBack(session);
    assert.equal((await within(request, { what: 'the lease' })).session, session);
  }
  assert.deepEqual(order, [1, 2, 3]);
});

test('a waiting request opens a session of its own when the one it waits for is closed', async (t) => {
  const { lease, origin } = await setUp(t, { maxSessionsPerKey: 1 });
  const { session } = await lease();
  const waiting = lease({}, 5_000);
  session.close('in doubt', 'abrupt');
  assert.equal((await within(waiting, { what: 'the lease' })).reused, false);
  assert.equal(origin.counts.connections, 2);
});

test('a request that is abandoned gives up its place, and a session opened for it is kept for others', async (t) => {
  const { lease, pool, origin } = await setUp(t, { maxSessionsPerKey: 1 }, { handshakeDelayMs: 100 });
  const opener = new AbortController();
  const opening = lease({}, 0, opener.signal);
  opener.abort();
  await assert.rejects(opening, code('ERR_TLSHUB_NOT_LEASED'));
  const { session, reused } = await lease();
  assert.equal(reused, true);

  const waiter = new AbortController();
  const waiting = lease({}, 5_000, waiter.signal);
  waiter.abort();
  await assert.rejects(waiting, code('ERR_TLSHUB_NOT_LEASED'));
  assert.equal(pool.waiting, 0);
  pool.giveBack(session);
  assert.equal((await lease()).session, session);
  assert.equal(origin.counts.connections, 1);
});

test("P18: at the user's limit the session that was idle longest makes room, a held one does not", async (t) => {
  const { lease, pool, closed } = await setUp(t, { maxSessions: 2 });
  const { session: idle } = await lease();
  await lease({ minVersion: 'TLSv1.2' });
  await assert.rejects(lease({ maxVersion: 'TLSv1.3' }), code('ERR_TLSHUB_POOL_TIMEOUT'));
  assert.equal((await lease({}, 0, undefined, UID + 1)).reused, false, "another user's limit is his own");
  pool.giveBack(idle);
  assert.equal((await lease({ maxVersion: 'TLSv1.3' })).reused, false);
  await waitFor(() => closed.length === 1, { what: 'the close' });
  assert.deepEqual([closed[0], idle.closeReason], [idle, 'made room for another session']);
});

test('a failed opening frees its slot', async (t) => {
  const { lease, origin } = await setUp(t, { maxSessionsPerKey: 1 });
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await assert.rejects(lease({ servername: 'other.test' }), code('ERR_TLS_CERT_ALTNAME_INVALID'));
  }
  assert.equal(origin.counts.connections, 3);
});

test('a refused peer leaves neither an idle sister session nor a ticket', async (t) => {
  const { lease, pool, tickets, closed } = await setUp(t);
  const [one, two] = [(await lease()).session, (await lease()).session];
  await waitFor(() => tickets.size === 1, { what: 'a ticket' });
  pool.giveBack(one);
  pool.refuse(two);
  await waitFor(() => closed.length === 2, { what: 'both closes' });
  const { session, reused } = await lease();
  assert.deepEqual([reused, session.info.resumed], [false, false]);
});

test('a drain refuses who waits and who comes, closes what is idle, and takes nothing back', async (t) => {
  const { lease, pool, closed } = await setUp(t, { maxSessionsPerKey: 2 });
  const [held, idle] = [(await lease()).session, (await lease()).session];
  const { session: otherKey } = await lease({ minVersion: 'TLSv1.2' });
  const waiting = lease({}, 5_000);
  pool.giveBack(otherKey);
  pool.drain();
  await assert.rejects(waiting, code('ERR_TLSHUB_DRAINING'));
  await assert.rejects(lease(), code('ERR_TLSHUB_DRAINING'));
  pool.giveBack(held);
  await waitFor(() => closed.length === 2, { what: 'both closes' });
  assert.equal(held.closeReason, 'the daemon is shutting down');
  assert.equal(idle.state, 'leased');
});
