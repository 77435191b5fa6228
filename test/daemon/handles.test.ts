// Handles on real sessions: unguessable, for one user, for one use, and only while the session lives.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import { Handles } from '#src/daemon/handles.js';
import { makePool, UID } from './real-sessions.ts';

test('P12: a handle is 128 random bits behind the generation of its daemon', async (t) => {
  const { lease } = await makePool(t);
  const handles = new Handles();
  const { session } = await lease();
  const seen = new Set<string>();
  for (let count = 0; count < 100; count += 1) {
    const handle = handles.issue(session);
    assert.match(handle, /^tlshub1\.[0-9a-f]{16}\.[0-9a-f]{32}$/);
    assert.equal(handle.split('.')[1], handles.generation);
    seen.add(handle);
  }
  assert.equal(seen.size, 100);
  assert.notEqual(new Handles().generation, handles.generation);
});

test('P12: it leads to its session, for its user alone', async (t) => {
  const { lease, table } = await makePool(t);
  const handles = new Handles();
  const { session } = await lease();
  const handle = handles.issue(session);
  table.move(session, 'detached');
  assert.equal(handles.resolve(handle, UID), session);
  assert.throws(() => handles.resolve(handle, UID + 1), { code: 'ERR_TLSHUB_HANDLE_UNKNOWN' });
});

test('P12: a handle of another run, and a text that is none, have codes of their own', async (t) => {
  const { lease } = await makePool(t);
  const handles = new Handles();
  const stale = new Handles().issue((await lease()).session);
  assert.throws(() => handles.resolve(stale, UID), { code: 'ERR_TLSHUB_HANDLE_STALE' });
  const unknown = `tlshub1.${handles.generation}.${'0'.repeat(32)}`;
  assert.throws(() => handles.resolve(unknown, UID), { code: 'ERR_TLSHUB_HANDLE_UNKNOWN' });
  for (const text of ['', 'x', 's1', `${stale} `, stale.toUpperCase(), stale.slice(0, -1), '__proto__']) {
    assert.throws(() => handles.resolve(text, UID), { code: 'ERR_TLSHUB_HANDLE_INVALID' }, text);
  }
});

test('P12: a session has one handle; a new one takes the place of the old', async (t) => {
  const { lease, table } = await makePool(t);
  const handles = new Handles();
  const { session } = await lease();
  table.move(session, 'detached');
  const [first, second] = [handles.issue(session), handles.issue(session)];
  assert.throws(() => handles.resolve(first, UID), { code: 'ERR_TLSHUB_HANDLE_UNKNOWN' });
  assert.equal(handles.resolve(second, UID), session);
  handles.revoke(session);
  assert.throws(() => handles.resolve(second, UID), { code: 'ERR_TLSHUB_HANDLE_UNKNOWN' });
  handles.revoke(session);
});

test('while another process holds the session, its handle says so', async (t) => {
  const { lease } = await makePool(t);
  const handles = new Handles();
  const { session } = await lease();
  const handle = handles.issue(session);
  assert.throws(() => handles.resolve(handle, UID), { code: 'ERR_TLSHUB_SESSION_BUSY' });
  assert.equal(handles.peek(handle), session);
  assert.equal(handles.peek('nonsense'), undefined);
});

test('P12: a session that has begun to close has no handle any more', async (t) => {
  const { lease, table, closed } = await makePool(t, {}, { behaviour: { kind: 'silent' } });
  const handles = new Handles();
  const { session } = await lease();
  const handle = handles.issue(session);
  table.move(session, 'detached');
  session.close('its handle was not used in time', 'orderly');
  assert.equal(closed.length, 0, 'the peer has not answered the close_notify');
  assert.throws(() => handles.resolve(handle, UID), { code: 'ERR_TLSHUB_HANDLE_UNKNOWN' });
  await waitFor(() => closed.length === 1, { what: 'the close' });
});

test('issuing handles leaves no listeners behind', async (t) => {
  const { lease } = await makePool(t);
  const handles = new Handles();
  const { session } = await lease();
  const before = session.tls.listenerCount('close');
  for (let count = 0; count < 20; count += 1) handles.issue(session);
  assert.equal(session.tls.listenerCount('close'), before);
});
