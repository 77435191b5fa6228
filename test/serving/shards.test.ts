// Servers whose daemon is several processes: all workers of a port meet on one of them, and its death is the end of its own
// ports only, which are open again at once.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { listen } from '#helpers/listen.js';
import { runCli } from '#helpers/run-node.js';
import { allAnswer, killAll, statusOf } from '#helpers/shards.js';
import { readLine } from '#helpers/streams.js';
import { waitFor } from '#helpers/wait-for.js';
import type { SessionReport } from '#src/protocol/session-report.js';
import { makeServingPlace, servedBy } from './server-processes.ts';

const SHARDS = 3;
delete process.env.TLSHUB_SHARDS;
const place = makeServingPlace({ arguments: ['--shards', `${SHARDS}`] });
place.scope.after(() => killAll(place.daemon.directory));

/** The shard that has a port, and its process. */
async function ownerOf(port: number): Promise<{ shard: number; pid: number; servers: number }> {
  const { servers, shards } = await statusOf(place.daemon.directory);
  const own = servers.filter(({ address }) => address?.endsWith(`:${port}`));
  for (const { shard, pid } of shards) {
    const { servers: there } = await statusOfShard(shard);
    if (there.some(({ address }) => address?.endsWith(`:${port}`)))
      return { shard, pid: pid ?? -1, servers: own.length };
  }
  throw new Error(`nobody has port ${port}`);
}

async function statusOfShard(shard: number): Promise<{ servers: { address: string | null }[] }> {
  const { DaemonLink } = await import('#src/wrapper/daemon-link.js');
  const { status } = await DaemonLink.for(place.daemon.directory, false, shard).call('status', {});
  return status as { servers: { address: string | null }[] };
}

/** A port that is free now, so that all workers ask for it by its number. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('workers of one port meet, whether they name the port, the group, or take what the system chose', async () => {
  const byNumber = await freePort();
  for (const [first, second] of [
    [{ port: byNumber }, { port: byNumber }],
    [{}, undefined],
    [{ shared: { name: 'web' } }, { shared: { name: 'web' } }],
  ] as const) {
    const workers = [place.process(), place.process()] as const;
    const port = await place.serve(workers[0], first);
    // Without a number of its own the second one is told the first one's.
    assert.equal(await place.serve(workers[1], second ?? { port }), port);
    assert.equal((await ownerOf(port)).servers, 1);
    const clients = [];
    for (let n = 0; n < 4; n++) clients.push(await place.dial(port));
    const pids = await Promise.all(clients.map(servedBy));
    assert.deepEqual([...new Set(pids)].sort(), workers.map(({ pid }) => pid).sort());
    for (const { socket } of clients) socket.destroy();
  }
  await place.endProcesses();
});

test('ports are spread over the shards', async () => {
  const worker = place.process();
  const owners = new Set<number>();
  for (let n = 0; owners.size < SHARDS; n++) {
    const port = await place.serve(worker, { as: `s${n}`, port: await freePort() });
    owners.add((await ownerOf(port)).shard);
  }
  await place.endProcesses();
});

test('a port that another program has is refused as by node', async () => {
  const other = createServer();
  const port = await listen(other);
  const worker = place.process();
  await assert.rejects(place.serve(worker, { port }), { code: 'EADDRINUSE' });
  other.close();
  await place.endProcesses();
});

test('P15: a session outlives its worker on the shard of its port', async () => {
  const workers = [place.process(), place.process()] as const;
  const port = await place.serve(workers[0], { adopts: true, port: await freePort() });
  const client = await place.dial(port);
  assert.equal(await servedBy(client), workers[0].pid);
  await place.serve(workers[1], { adopts: true, port });
  // What it has not committed, the next one is given again.
  const committed = async () => {
    const { stdout } = await runCli(['sessions', '--json', '-d', place.daemon.directory]);
    const own = (JSON.parse(stdout) as SessionReport[]).find(({ peer }) => peer === client.peer);
    return own !== undefined && own.receivedOffset === own.committedOffset;
  };
  await waitFor(committed, { what: 'the commit of its line' });
  await workers[0].kill();
  assert.match(await readLine(client.socket), new RegExp(`^adopted by ${workers[1].pid} `));
  assert.equal(await servedBy(client), workers[1].pid);
  client.socket.destroy();
  await place.endProcesses();
});

test('a killed shard takes its clients with it and nobody else; its ports are open again', async () => {
  const worker = place.process();
  const ports: number[] = [];
  const owners: number[] = [];
  for (let n = 0; new Set(owners).size < SHARDS; n++) {
    const port = await place.serve(worker, { as: `k${n}`, port: await freePort() });
    const { shard } = await ownerOf(port);
    if (owners.includes(shard)) continue;
    ports.push(port);
    owners.push(shard);
  }
  const clients = await Promise.all(ports.map((port) => place.dial(port)));
  await Promise.all(clients.map(servedBy));
  const index = owners.indexOf(2);
  const { pid } = await ownerOf(ports[index] ?? 0);
  process.kill(pid, 'SIGKILL');
  assert.notEqual(await clients[index]?.ended(), 'open');
  await allAnswer(place.daemon.directory, SHARDS, [pid]);
  const again = await waitFor(() => place.dial(ports[index] ?? 0).catch(() => undefined), {
    what: 'the port to be open',
  });
  assert.equal(await servedBy(again), worker.pid);
  for (const [at, client] of clients.entries())
    if (at !== index) assert.equal(await servedBy(client), worker.pid);
  await place.endProcesses();
});
