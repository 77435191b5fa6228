// A parked session and its command, step by step: what counts as an activation, the back-off, the ends.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import { Handles } from '#src/daemon/handles.js';
import { createLogger } from '#src/daemon/log.js';
import type { CommandEnd, CommandOrder } from '#src/daemon/named/command-runner.js';
import { Names } from '#src/daemon/named/names.js';
import { Parking, type ParkOrder } from '#src/daemon/named/parking.js';
import { NameClaims } from '#src/daemon/shards/name-claims.js';
import { ShardPlace } from '#src/daemon/shards/shard-place.js';
import { codeOf, TlshubError } from '#src/errors.js';
import { makePool, UID } from '../real-sessions.ts';

const FAILED: CommandEnd = { failure: undefined, exitCode: 1, ranMs: 5 };

/** A real session without holders, and a runner that only notes what it is asked for. */
async function scene(t: TestContext) {
  const { pool, table, key, origin } = await makePool(t, {}, { behaviour: { kind: 'silent' } });
  const handles = new Handles();
  const place = new ShardPlace(0, 1);
  const log = createLogger('silent');
  const claims = new NameClaims({ directory: '/hub', place, log, sessionOnNameLost: () => {} });
  const names = new Names({ pool, table, handles, claims });
  const never = new AbortController().signal;
  const session = await pool.openAlone({ uid: UID, key, waitMs: 0, onOpenEvent: () => {} });
  const named = names.adopt(session, 'n', { mode: 'exclusive', messages: 'chunk', lingerMs: 60_000 });
  const asked: { order: () => CommandOrder | undefined; onEnd: (end: CommandEnd) => void }[] = [];
  const runner = {
    start: (order: () => CommandOrder | undefined, onEnd: (end: CommandEnd) => void) =>
      void asked.push({ order, onEnd }),
  };
  const services = { runner, handles, log, directory: '/hub' };
  const park = (changes: Partial<ParkOrder> = {}) => {
    const order = { run: ['prog', 'secret'], cwd: '/', stdio: false, timeoutMs: null, ...changes };
    const parking = new Parking(named, order, services);
    named.park(parking);
    return parking;
  };
  /** Starts the command that was asked for last. */
  const start = () => asked.at(-1)?.order();
  const end = (how: CommandEnd) => asked.at(-1)?.onEnd(how);
  const peer = await waitFor(() => [...origin.sockets][0], { what: 'the connection of the peer' });
  return { named, names, handles, park, asked, start, end, peer, never };
}

test('nothing happens until something happens, and only the first thing counts', async (t) => {
  const { named, handles, park, asked, start, peer } = await scene(t);
  const parking = park();
  assert.deepEqual([asked.length, parking.reason, parking.tries], [0, undefined, 0]);
  peer.write('wake');
  await waitFor(() => asked.length === 1, { what: 'the command' });
  peer.destroy();
  await waitFor(() => named.session.peerEnded, { what: 'the end of the connection' });
  parking.activate('timeout');
  assert.deepEqual([asked.length, parking.reason], [1, 'data']);
  const order = start();
  const { TLSHUB_HANDLE = '', ...rest } = order?.env ?? {};
  assert.deepEqual(rest, { TLSHUB_REASON: 'data', TLSHUB_DIR: '/hub' });
  assert.equal(handles.peek(TLSHUB_HANDLE), named.session);
  assert.deepEqual([order?.run, order?.cwd, order?.stdio], [['prog', 'secret'], '/', undefined]);
});

test('with stdio the command gets the session by the same handle', async (t) => {
  const { park, start } = await scene(t);
  park({ stdio: true }).activate('data');
  const { env, stdio } = start() ?? {};
  assert.equal(stdio?.handle, env?.TLSHUB_HANDLE);
  assert.equal(stdio?.isTaken(), false);
});

test('P7: a command that dies at once is tried five times, with pauses that double; then the session is closed', async (t) => {
  const { named, names, park, asked, start, end } = await scene(t);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const parking = park();
  parking.activate('data');
  for (const [index, pauseMs] of [500, 1_000, 2_000, 4_000].entries()) {
    assert.equal(asked.length, index + 1);
    start();
    end(index % 2 === 0 ? FAILED : { failure: new Error('ENOENT'), exitCode: null, ranMs: 1 });
    assert.equal(parking.tries, index + 1);
    t.mock.timers.tick(pauseMs - 1);
    assert.equal(asked.length, index + 1, `try ${index + 2} came too soon`);
    t.mock.timers.tick(1);
  }
  assert.equal(asked.length, 5);
  start();
  end(FAILED);
  assert.match(named.session.closeReason ?? '', /^its command failed 5 times: ended with 1 after 5 ms$/);
  assert.equal(named.session.closeError?.code, 'ERR_TLSHUB_CLOSED');
  assert.equal(named.parking, undefined);
  assert.equal(names.all().size, 0);
  t.mock.timers.tick(60_000);
  assert.equal(asked.length, 5);
});

test('each try has a handle of its own, and the one before is good no more', async (t) => {
  const { named, handles, park, start, end } = await scene(t);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  park().activate('data');
  const first = start()?.env.TLSHUB_HANDLE ?? '';
  end(FAILED);
  t.mock.timers.tick(500);
  const second = start()?.env.TLSHUB_HANDLE ?? '';
  assert.equal(handles.peek(first), undefined);
  assert.equal(handles.peek(second), named.session);
});

test('a command that ends in peace, or fails later, leaves the session to its linger', async (t) => {
  const { named, park, start, end } = await scene(t);
  for (const how of [
    { ...FAILED, exitCode: 0 },
    { ...FAILED, ranMs: 1_000 },
  ]) {
    park().activate('timeout');
    start();
    named.unheldSinceMs = 0;
    end(how);
    assert.equal(named.parking, undefined);
    assert.ok(Date.now() - (named.unheldSinceMs ?? 0) < 10_000, 'its linger begins now');
    assert.equal(named.session.closeReason, undefined);
  }
});

test('the time is over once, and not before', async (t) => {
  const { park, asked } = await scene(t);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const parking = park({ timeoutMs: 1_000 });
  t.mock.timers.tick(999);
  assert.equal(asked.length, 0);
  t.mock.timers.tick(1);
  assert.deepEqual([asked.length, parking.reason], [1, 'timeout']);
  t.mock.timers.tick(100_000);
  assert.equal(asked.length, 1);
});

test('a parked session that is given up starts nothing more: no timer, no queued start, no next try', async (t) => {
  const { named, park, asked, start, end, peer } = await scene(t);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  park({ timeoutMs: 1_000 });
  named.unpark();
  t.mock.timers.tick(1_000);
  assert.equal(asked.length, 0);

  park().activate('data');
  named.unpark();
  assert.equal(start(), undefined);

  park().activate('data');
  start();
  named.unpark();
  end(FAILED);
  t.mock.timers.tick(100_000);
  assert.equal(asked.length, 2);

  park().activate('data');
  start();
  end(FAILED);
  named.unpark();
  t.mock.timers.tick(100_000);
  assert.equal(asked.length, 3);
  t.mock.timers.reset();
  peer.write('nobody is woken');
  await waitFor(() => named.reading.heldBytes > 0, { what: 'the bytes' });
  assert.equal(asked.length, 3);
});

test('park is refused while somebody was let in or waits, and while the session is parked', async (t) => {
  const { named, park, never } = await scene(t);
  await named.admit(0, never);
  assert.throws(park, (error) => codeOf(error) === 'ERR_TLSHUB_SESSION_BUSY');
  const waiting = named.admit(10_000, never);
  assert.throws(park, (error) => codeOf(error) === 'ERR_TLSHUB_SESSION_BUSY');
  named.dismiss();
  await waiting;
  named.dismiss();
  park();
  assert.throws(park, (error) => codeOf(error) === 'ERR_TLSHUB_SESSION_BUSY');
});

test('P7: an operator who closes a parked session wakes its command with the reason error', async (t) => {
  const { named, park, asked } = await scene(t);
  const parking = park();
  const error = new TlshubError('ERR_TLSHUB_CLOSED', 'closed by the operator');
  named.session.close('closed by the operator', 'abrupt', error);
  await waitFor(() => asked.length === 1, { what: 'the command' });
  assert.equal(parking.reason, 'error');
});
