// The ticket cache: one ticket for a key, for a time, and names that tell nothing.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { TicketCache, ticketName } from '#src/daemon/ticket-cache.js';
import { TICKET_NAME_PREFIX } from '#src/protocol/session-key.js';

const FAR = Number.POSITIVE_INFINITY;
const DAY_MS = 24 * 60 * 60 * 1000;

function stopClock(t: TestContext): (ms: number) => void {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  return (ms) => t.mock.timers.setTime(Date.now() + ms);
}

test('P2: a ticket is given for the key it came under, and for no other', () => {
  const cache = new TicketCache(10);
  cache.put('1 ["a"]', Buffer.from('one'), FAR);
  assert.equal(cache.get('1 ["a"]')?.toString(), 'one');
  assert.equal(cache.get('2 ["a"]'), undefined);
  assert.equal(cache.get('1 ["a"] '), undefined);
});

test('a newer ticket takes the place of the older', () => {
  const cache = new TicketCache(10);
  cache.put('a', Buffer.from('one'), FAR);
  cache.put('a', Buffer.from('two'), FAR);
  assert.deepEqual([cache.size, cache.get('a')?.toString()], [1, 'two']);
  assert.equal(cache.get('a')?.toString(), 'two', 'a ticket may be used more than once');
});

test('P18: a ticket lives for a day, or as long as the certificate', (t) => {
  const pass = stopClock(t);
  const cache = new TicketCache(10);
  cache.put('day', Buffer.from('x'), FAR);
  cache.put('hour', Buffer.from('x'), Date.now() + 3_600_000);
  cache.put('unreadable date', Buffer.from('x'), Number.NaN);
  pass(3_599_999);
  assert.ok(cache.get('hour'));
  pass(1);
  assert.equal(cache.get('hour'), undefined);
  assert.equal(cache.size, 2, 'an expired one takes no room');
  pass(DAY_MS - 3_600_001);
  assert.ok(cache.get('day'), 'using it does not make it older or younger');
  pass(1);
  assert.equal(cache.get('day'), undefined);
  assert.equal(cache.get('unreadable date'), undefined);
});

test('P18: when it is full the one used least recently goes', () => {
  const cache = new TicketCache(2);
  cache.put('a', Buffer.from('a'), FAR);
  cache.put('b', Buffer.from('b'), FAR);
  cache.get('a');
  cache.put('c', Buffer.from('c'), FAR);
  assert.deepEqual(
    [cache.get('a')?.toString(), cache.get('b'), cache.get('c')?.toString()],
    ['a', undefined, 'c'],
  );
});

test('a dropped ticket is gone', () => {
  const cache = new TicketCache(2);
  cache.put('a', Buffer.from('a'), FAR);
  cache.drop('a');
  cache.drop('never there');
  assert.deepEqual([cache.get('a'), cache.size], [undefined, 0]);
});

test('P13: the name of a ticket is not the ticket, and tells equal ones only', () => {
  const ticket = Buffer.from('secret ticket');
  const name = ticketName(ticket).toString();
  assert.ok(name.startsWith(TICKET_NAME_PREFIX));
  assert.equal(name.length, TICKET_NAME_PREFIX.length + 44);
  assert.ok(!name.includes('secret'));
  assert.equal(ticketName(Buffer.from('secret ticket')).toString(), name);
  assert.notEqual(ticketName(Buffer.from('secret ticket.')).toString(), name);
});
