// P6, issue 4 "Adoption": a stream is given back byte for byte while the processes that do it are killed again and again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PatternChecker, pattern } from '#helpers/pattern.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Client, makeServingPlace, type ServerProcess } from './server-processes.ts';

const place = makeServingPlace();

/** How long processes are killed. */
const STORM_MS = 15_000;
const CLIENTS = 6;
const PIECE_BYTES = 9_000;

test('P6, P15: kill -9 at any moment: no byte is lost, doubled or reordered, and no client sees a close', async () => {
  let port = 0;
  const workers: ServerProcess[] = [];
  const start = async () => {
    const worker = place.process();
    port = await place.serve(worker, { adopts: true, port, play: 'echo' });
    workers.push(worker);
  };
  await start();
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => place.dial(port)));
  const streams = clients.map((client) => stream(client));
  await start();
  const until = performance.now() + STORM_MS;
  let kills = 0;
  for (let round = 0; performance.now() < until; round++) {
    const starting = start();
    // Now and then nobody is left, and the sessions wait.
    const victims = round % 4 === 3 ? workers.splice(0) : workers.splice(0, 1);
    await Promise.all(victims.map((victim) => victim.kill()));
    kills += victims.length;
    await starting;
  }
  for (const one of streams) one.stop();
  await waitFor(() => streams.every((one) => one.isDone()), {
    what: () => `the rest of the echoes: ${streams.map((one) => one.missing()).join(', ')}`,
    deadlineMs: 20_000,
  });
  for (const client of clients) assert.equal(client.outcome(), 'open');
  assert.ok(kills >= 10, `only ${kills} processes were killed`);
  for (const one of streams) assert.ok(one.bytes() > 100_000, 'hardly a byte went through');
});

/** Sends the pattern, a few pieces ahead of what comes back, and checks that. */
function stream({ socket }: Client) {
  const checker = new PatternChecker();
  let sent = 0;
  let stopped = false;
  const send = () => {
    while (!stopped && sent - checker.bytes < 4 * PIECE_BYTES) {
      socket.write(pattern(sent, PIECE_BYTES));
      sent += PIECE_BYTES;
    }
  };
  socket.on('data', (chunk: Buffer) => {
    checker.push(chunk);
    setImmediate(send);
  });
  send();
  return {
    stop: () => {
      stopped = true;
    },
    isDone: () => checker.bytes === sent,
    missing: () => sent - checker.bytes,
    bytes: () => checker.bytes,
  };
}
