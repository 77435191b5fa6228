// The command line of the suite, and the output of wrk that it reads.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseWrk } from '../../bench/clients/requests.ts';
import { type Order, parseFlags, type RunOrder } from '../../bench/flags.ts';
import { FULL, QUICK } from '../../bench/plan.ts';
import { GROUP_NAMES } from '../../bench/rows/groups.ts';

function runOrder(...args: string[]): RunOrder {
  const order: Order = parseFlags(args);
  assert.equal(order.do, 'run');
  return order as RunOrder;
}

test('without flags everything is run', () => {
  const order = runOrder();
  assert.deepEqual([order.plan, order.only, order.install], [FULL, GROUP_NAMES, true]);
});

test('flags choose the rounds, the rows and the Nodes', () => {
  const order = runOrder('--quick', '--rounds', '5', '--only', 'memory,lease', '--nodes', '20,26');
  assert.deepEqual(order.plan, { ...QUICK, rounds: 5 });
  assert.deepEqual(order.only, ['lease', 'memory']);
  assert.deepEqual(order.nodes, ['20', '26']);
});

test('--compare takes two files', () => {
  assert.deepEqual(parseFlags(['--compare', 'a', 'b']), { do: 'compare', before: 'a', after: 'b' });
  assert.throws(() => parseFlags(['--compare', 'a']), /two files/);
  assert.throws(() => parseFlags(['--compare', 'a', 'b', 'c']), /two files/);
});

for (const [args, message] of [
  [['--rounds', '0'], /no number of rounds/],
  [['--rounds', 'x'], /no number of rounds/],
  [['--only', 'leases'], /"leases" is none of lease, /],
  [['--node', 'a', '--nodes', '20'], /exclude each other/],
  [['old.json'], /"old.json" is too much/],
  [['--unknown'], /unknown/i],
] as const) {
  test(`${args.join(' ')} is refused`, () => assert.throws(() => parseFlags(args), message));
}

test('the output of wrk is read', () => {
  const text =
    'Running 1s test @ http://127.0.0.1:1/\n  41231 requests in 1.10s, 6.1MB read\nRequests/sec: 1\n';
  assert.deepEqual(parseWrk(text), { requests: 41_231, seconds: 1.1 });
  assert.equal(parseWrk('  3 requests in 500.00ms, 1KB read').seconds, 0.5);
});

test('errors that wrk tells of are errors', () => {
  const done = '  41231 requests in 1.10s, 6.1MB read\n';
  assert.throws(() => parseWrk(`${done}  Socket errors: connect 0, read 3, write 0, timeout 0\n`), /read 3/);
  assert.throws(() => parseWrk(`${done}  Non-2xx or 3xx responses: 12\n`), /12/);
  assert.throws(() => parseWrk('unable to connect'), /said nothing of requests/);
});
