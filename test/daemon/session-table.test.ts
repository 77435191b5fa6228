// The table of sessions: one list for each state, and counts that are true whatever happens to a session.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import { SessionTable } from '#src/daemon/session-table.js';
import { makePool } from './real-sessions.ts';

test('ids are given once', () => {
  const table = new SessionTable();
  assert.deepEqual([table.nextId(), table.nextId(), table.nextId()], ['s1', 's2', 's3']);
});

test('a session is in one list, that of its state', async (t) => {
  const { table, pool, lease } = await makePool(t);
  const [one, two] = [(await lease()).session, (await lease()).session];
  assert.deepEqual(table.counts(), { leased: 2, idle: 0, detached: 0, lingering: 0, accepted: 0 });
  pool.giveBack(one);
  table.move(two, 'detached');
  assert.deepEqual(table.counts(), { leased: 0, idle: 1, detached: 1, lingering: 0, accepted: 0 });
  assert.deepEqual([...table.inState('idle')], [one]);
  assert.deepEqual([...table.inState('detached')], [two]);
  assert.deepEqual([...table.all()], [one, two]);
  assert.equal(table.get(one.id), one);
  assert.equal(table.size, 2);
});

test('a list has the session first that has been in it longest', async (t) => {
  const { table, lease } = await makePool(t);
  const sessions = [(await lease()).session, (await lease()).session, (await lease()).session];
  const [one, two, three] = sessions as [(typeof sessions)[0], (typeof sessions)[0], (typeof sessions)[0]];
  for (const session of [two, one, three]) table.move(session, 'detached');
  assert.deepEqual([...table.inState('detached')], [two, one, three]);
  table.move(two, 'detached');
  assert.deepEqual([...table.inState('detached')], [one, three, two], 'entering again begins anew');
});

test('a move tells since when', async (t) => {
  const { table, lease } = await makePool(t);
  const { session } = await lease();
  session.stateSinceMs = 0;
  table.move(session, 'detached');
  assert.ok(Date.now() - session.stateSinceMs < 5_000);
});

test('a closed session is gone for good', async (t) => {
  const { table, lease } = await makePool(t);
  const { session } = await lease();
  session.close('in a test', 'abrupt');
  await waitFor(() => table.size === 0, { what: 'the close' });
  assert.equal(session.state, 'closed');
  assert.equal(table.get(session.id), undefined);
  assert.deepEqual(table.counts(), { leased: 0, idle: 0, detached: 0, lingering: 0, accepted: 0 });
});
