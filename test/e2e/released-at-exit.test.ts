// A process that ends gives its sessions back with its last words, on the wire: its lane may be seen to end before the
// release is read, and the daemon may be writing to the process when it is gone already. The session is saved.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { countingOrigin } from '#helpers/counting-origin.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import { leaseCall, openLane, putCa, sessionKey, type WireClient, WireLink } from '../fuzz/wire-client.ts';

const REQUEST = 'hello\n';
const ANSWER = 'ok hello\n';
const COUNTS = { sent: REQUEST.length, received: ANSWER.length };

/** A daemon, an origin, and a link with lanes on which one exchange has been made each. */
async function makeExchanges(t: TestContext, count: number) {
  const daemon = await startTestDaemon(t);
  const ca = await createCa({ name: 'Test root' });
  const origin = await countingOrigin(t, await ca.issue({ names: ['localhost'] }));
  const link = await WireLink.open(t, daemon.directory);
  await putCa(link, ca.cert);
  const lanes: WireClient[] = [];
  for (let number = 1; number <= count; number += 1) {
    const call = leaseCall(sessionKey(origin.port, ca.cert), link, number);
    const { lane } = await openLane(t, daemon.directory, call);
    lane.sendRaw(REQUEST);
    assert.equal((await lane.bytes(ANSWER.length)).toString(), ANSWER);
    lanes.push(lane);
  }
  return { daemon, origin, link, lanes };
}

test('P7: a lane that ends before its release is read leaves no doubt', async (t) => {
  const { link, lanes } = await makeExchanges(t, 1);
  lanes[0]?.socket.end();
  // Two answers later the daemon has seen the end of the lane.
  for (let round = 0; round < 2; round += 1) await link.call('status');
  assert.equal((await link.call('release', { lane: 1, ...COUNTS })).pooled, true);
});

test('P7: a lane that ends with bytes missing is a doubt', async (t) => {
  const { link, lanes } = await makeExchanges(t, 1);
  lanes[0]?.socket.end();
  for (let round = 0; round < 2; round += 1) await link.call('status');
  const reply = await link.call('release', { lane: 1, sent: COUNTS.sent + 1, received: COUNTS.received });
  assert.deepEqual([reply.pooled, reply.reason], [false, '7 bytes were sent and 6 came']);
});

test('P7: a lane whose holder has ended its stream is a doubt', async (t) => {
  const { link, lanes } = await makeExchanges(t, 1);
  link.tell('lane-end', { lane: 1, rc: 0, bytes: COUNTS.sent });
  lanes[0]?.socket.end();
  for (let round = 0; round < 2; round += 1) await link.call('status');
  const reply = await link.call('release', { lane: 1, ...COUNTS });
  assert.notEqual(reply.pooled, true);
});

test('P1: the last words of a process are heard, although the daemon was about to tell it something', async (t) => {
  const { daemon, origin, link, lanes } = await makeExchanges(t, 2);
  const [, second] = [...origin.sockets];
  await daemon.kill('SIGSTOP');
  // First in the daemon's queue: the end of a session, of which it tells the link. Then what the link said.
  second?.destroy();
  await waitFor(() => origin.counts.open === 1, { what: 'the end of the second session' });
  link.client.send({ call: 'release', id: 100, lane: 1, ...COUNTS });
  await new Promise<void>((resolve) => link.client.socket.end(resolve));
  for (const client of [link.client, ...lanes]) client.socket.destroy();
  await daemon.kill('SIGCONT');
  await waitFor(async () => (await daemon.sessions()).map(({ state }) => state).join() === 'idle', {
    what: 'the session in the pool',
  });
  assert.equal(origin.counts.open, 1);
});
