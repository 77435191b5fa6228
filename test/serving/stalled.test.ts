// Issue 4: a worker that stops answering is left out, and comes back when it answers again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import { type Client, makeServingPlace, servedBy } from './server-processes.ts';

const place = makeServingPlace();

/** Milliseconds in which a worker must take what it is offered, with the time until that is looked at. */
const PATIENCE_MS = 2_000 + 500 + 1_000;

test('issue 4: a stopped worker is left out, nobody waits for it longer than an offer may take, and it comes back', async () => {
  const [stopped, other] = [place.process(), place.process()];
  const port = await place.serve(stopped);
  const first = await place.dial(port);
  assert.equal(await servedBy(first), stopped.pid);
  await place.serve(other, { port });
  stopped.signal('SIGSTOP');
  const began = performance.now();
  const clients: Client[] = await Promise.all(Array.from({ length: 20 }, () => place.dial(port)));
  const pids = await Promise.all(clients.map(servedBy));
  assert.ok(performance.now() - began < PATIENCE_MS, `it took ${performance.now() - began} ms`);
  assert.deepEqual(new Set(pids), new Set([other.pid]));
  // From now on nobody waits at all.
  for (let n = 0; n < 5; n++) {
    const sinceMs = performance.now();
    assert.equal(await servedBy(await place.dial(port)), other.pid);
    assert.ok(performance.now() - sinceMs < 1_000, 'it was offered to the stopped worker');
  }
  stopped.signal('SIGCONT');
  assert.equal(await servedBy(first), stopped.pid);
  await waitFor(async () => (await servedBy(await place.dial(port))) === stopped.pid, {
    what: 'the worker that goes on',
  });
  // It did not take what it was offered too late.
  assert.deepEqual((await stopped.report()).errors, []);
  for (const client of clients) assert.equal(client.outcome(), 'open');
});

test('issue 4: a worker that was stopped hears nothing of sessions that were taken back meanwhile', async () => {
  const [stopped, other] = [place.process(), place.process()];
  const port = await place.serve(stopped, { adopts: true });
  const first = await place.dial(port);
  assert.equal(await servedBy(first), stopped.pid);
  await place.serve(other, { port, adopts: true });
  stopped.signal('SIGSTOP');
  const clients = await Promise.all(Array.from({ length: 20 }, () => place.dial(port)));
  for (const pid of await Promise.all(clients.map(servedBy))) assert.equal(pid, other.pid);
  stopped.signal('SIGCONT');
  assert.equal(await servedBy(first), stopped.pid);
  const { opened, closed, errors, adopted } = await stopped.report();
  assert.deepEqual({ opened, closed, errors, adopted }, { opened: 1, closed: 0, errors: [], adopted: [] });
});

test('issue 4: the only worker is busy for long: its connections wait, and it serves them all', async () => {
  const worker = place.process();
  const port = await place.serve(worker);
  const blocking = worker.tell({ do: 'block', ms: 4_000 });
  const clients = await Promise.all(Array.from({ length: 10 }, () => place.dial(port)));
  const pids = await Promise.all(clients.map((client) => servedBy(client)));
  await blocking;
  assert.deepEqual(new Set(pids), new Set([worker.pid]));
  const late = await place.dial(port);
  assert.equal(await servedBy(late), worker.pid);
});

test('issue 4: a stopped worker alone keeps at most its backlog waiting; a second one gets those that wait', async () => {
  const stopped = place.process();
  const shared = { backlog: 3 };
  const port = await place.serve(stopped, { shared });
  stopped.signal('SIGSTOP');
  // These were offered when it still seemed alive.
  const offered = await Promise.all([place.dial(port), place.dial(port)]);
  await waitFor(async () => (await states()).filter((state) => state === 'accepted').length >= 2, {
    what: 'two sessions that wait',
  });
  const clients: Client[] = [];
  const isFull = async () => {
    const client = await place.dial(port);
    client.socket.resume();
    clients.push(client);
    return clients.some((one) => one.outcome() !== 'open');
  };
  await waitFor(isFull, { what: 'a connection that is refused' });
  const waiting = clients.filter((client) => client.outcome() === 'open');
  const other = place.process();
  await place.serve(other, { port, shared });
  for (const client of [...offered, ...waiting]) {
    client.socket.pause();
    if (client.outcome() === 'open') assert.equal(await servedBy(client), other.pid);
  }
  stopped.signal('SIGCONT');
});

async function states(): Promise<unknown[]> {
  return (await place.daemon.sessions()).map(({ state }) => state);
}

test('issue 4: what a killed worker was offered and had not taken, another gets', async () => {
  const [dying, other] = [place.process(), place.process()];
  const port = await place.serve(dying);
  dying.signal('SIGSTOP');
  const clients = await Promise.all(Array.from({ length: 8 }, () => place.dial(port)));
  await place.serve(other, { port });
  await dying.kill();
  const pids = await Promise.all(clients.map(servedBy));
  assert.deepEqual(new Set(pids), new Set([other.pid]));
});

test('issue 4: what a worker that closes was offered, another gets', async () => {
  const [closing, other] = [place.process(), place.process()];
  const port = await place.serve(closing);
  await place.serve(other, { port });
  const dialing = Array.from({ length: 30 }, () => place.dial(port));
  await closing.tell({ do: 'beginClose', as: 'main' });
  const clients = await Promise.all(dialing);
  const pids = await Promise.all(clients.map(servedBy));
  assert.ok(pids.includes(other.pid));
  for (const client of clients) assert.equal(client.outcome(), 'open');
});
