// The life of a daemon of several processes: it starts and ends as one, changes their number, ends by itself when nobody
// needs it, and tells about all of them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { runCli } from '#helpers/run-node.js';
import { fileScope, type Scope } from '#helpers/scope.js';
import { allAnswer, isAlive, startShards, statusOf } from '#helpers/shards.js';
import { closed, exchange, opened, readLine } from '#helpers/streams.js';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import tls, { type TlshubSocket } from '#src/index.js';
import { socketPath } from '#src/link/socket-path.js';
import { shardOf, shardOfSession } from '#src/protocol/shard.js';

let ca: Authority;
let leaf: Certificate;
const scope = fileScope();
delete process.env.TLSHUB_SHARDS;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
});
scope.after(() => {
  delete process.env.TLSHUB_DIR;
});

/** A session under a name whose home is the shard. */
async function sessionOn(origin: CountingOrigin, shard: number, count: number): Promise<TlshubSocket> {
  let number = 0;
  while (shardOf(`n${number}`, count) !== shard) number += 1;
  const options = { host: '127.0.0.1', port: origin.port, ca: ca.cert };
  const shared = { fallback: false, name: `n${number}` };
  const socket = tls.connect({ ...options, shared }) as TlshubSocket;
  socket.on('error', () => {});
  await opened(socket);
  assert.equal(shardOfSession(socket.sharing.sessionId ?? ''), shard);
  return socket;
}

async function scene(t: Scope, count: number, flags: readonly string[] = []) {
  const origin = await countingOrigin(t, { cert: leaf.chain, key: leaf.key });
  const daemon = await startShards(t, count, flags);
  process.env.TLSHUB_DIR = daemon.directory;
  const cli = async (...args: string[]) => runCli([...args, '-d', daemon.directory]);
  return { origin, daemon, cli, pids: await daemon.pids() };
}

test('stop lets every shard end its lanes, and none is left', async (t) => {
  const { origin, daemon, cli, pids } = await scene(t, 3);
  const sockets = [await sessionOn(origin, 0, 3), await sessionOn(origin, 2, 3)];
  const stopped = cli('stop');
  await waitFor(() => !existsSync(socketPath(daemon.directory, 2)), {
    what: 'the last shard to give up its place',
  });
  for (const socket of sockets) {
    assert.equal(await exchange(socket, 'late'), 'ok late');
    const end = closed(socket);
    socket.end();
    await end;
  }
  assert.deepEqual((await stopped).code, 0);
  await waitFor(() => !pids.some(isAlive), { what: 'all processes to be gone' });
  for (const shard of [0, 1, 2]) assert.equal(existsSync(socketPath(daemon.directory, shard)), false);
  assert.equal((await cli('status')).code, 3);
});

test('stop --now ends the sessions of all shards; without the first one it ends the others', async (t) => {
  const { origin, daemon, cli, pids } = await scene(t, 3);
  const codes: unknown[] = [];
  const sockets = [await sessionOn(origin, 1, 3), await sessionOn(origin, 2, 3)];
  for (const socket of sockets) socket.on('error', (error) => codes.push((error as { code?: string }).code));
  await daemon.kill(0);
  const ends = sockets.map((socket) => closed(socket));
  assert.equal((await cli('stop', '--now')).code, 0);
  await Promise.all(ends);
  assert.deepEqual(codes, ['ERR_TLSHUB_DRAINING', 'ERR_TLSHUB_DRAINING']);
  await waitFor(() => !pids.some(isAlive), { what: 'all processes to be gone' });
});

test('a second signal ends all processes at once', async (t) => {
  const { origin, daemon, pids } = await scene(t, 3);
  const socket = await sessionOn(origin, 2, 3);
  daemon.first.child.kill('SIGTERM');
  await waitFor(() => daemon.first.log().includes('draining'), { what: 'the drain to begin' });
  assert.equal(isAlive(pids[2] ?? 0), true);
  daemon.first.child.kill('SIGTERM');
  await waitFor(() => !pids.some(isAlive), { what: 'all processes to be gone' });
  socket.destroy();
});

test('another number of shards: the old ones end by themselves, and processes that know them find the new ones', async (t) => {
  const { origin, daemon, cli, pids } = await scene(t, 3);
  const old = await sessionOn(origin, 2, 3);
  const other = await sessionOn(origin, 1, 3);
  const handle = await other.detach();
  const ends = cli('drain');
  assert.equal((await ends).code, 0);
  await waitFor(() => !existsSync(socketPath(daemon.directory)), { what: 'the place to be free' });
  await startShards(t, 2, [], daemon.directory);
  assert.equal(await exchange(old, 'old'), 'ok old');
  for (const shard of [0, 1]) {
    const socket = await sessionOn(origin, shard, 2);
    assert.equal(await exchange(socket, 'new'), 'ok new');
    socket.destroy();
  }
  const attached = tls.attach(handle);
  const [error] = await once(attached, 'error');
  assert.equal(error.code, 'ERR_TLSHUB_HANDLE_STALE');
  const end = closed(old);
  old.end();
  await end;
  await waitFor(() => !pids.some(isAlive), { what: 'the old processes to be gone' });
  assert.equal((await statusOf(daemon.directory)).shards.length, 2);
});

test('shards that a killed daemon has left are ended by one of another number', async (t) => {
  const { origin, daemon, pids } = await scene(t, 3);
  const old = await sessionOn(origin, 2, 3);
  await daemon.kill(0);
  const { first } = await startShards(t, 1, [], daemon.directory);
  assert.match(first.log(), /a shard of another daemon is ended/);
  assert.equal(await exchange(old, 'old'), 'ok old');
  const socket = await sessionOn(origin, 0, 1);
  assert.equal(await exchange(socket, 'new'), 'ok new');
  const end = closed(old);
  old.end();
  await end;
  await waitFor(() => !pids.some(isAlive), { what: 'the old processes to be gone' });
  socket.destroy();
});

test('it ends by itself when no shard is needed, and not before', async (t) => {
  const origin = await countingOrigin(t, { cert: leaf.chain, key: leaf.key });
  const daemon = await startShards(t, 2, ['--idle-exit', '1s', '--linger', '1s']);
  process.env.TLSHUB_DIR = daemon.directory;
  const socket = await sessionOn(origin, 1, 2);
  const pids = await daemon.pids();
  const sinceMs = performance.now();
  await waitFor(() => performance.now() - sinceMs > 2_500, { what: 'more than the idle time' });
  assert.deepEqual(pids.map(isAlive), [true, true]);
  assert.equal(await exchange(socket, 'here'), 'ok here');
  const end = closed(socket);
  socket.end();
  await end;
  // The link of this process counts, as with one process.
  const { DaemonLink } = await import('#src/wrapper/daemon-link.js');
  DaemonLink.for(daemon.directory, false, 1).forget();
  await waitFor(() => !pids.some(isAlive), { what: 'the daemon to end' });
});

test('status adds up and shows each; sessions, inspect, close and doctor reach all', async (t) => {
  const { origin, daemon, cli, pids } = await scene(t, 3);
  const sockets = [
    await sessionOn(origin, 0, 3),
    await sessionOn(origin, 1, 3),
    await sessionOn(origin, 2, 3),
  ];
  const status = await daemon.status();
  assert.deepEqual([status.links, status.lanes, status.sessions.leased, status.sessions.named], [6, 3, 3, 3]);
  assert.equal(status.pid, pids[0]);
  assert.ok((status.memory.rss ?? 0) > 3 * 20 * 1024 * 1024);
  assert.deepEqual(
    status.shards.map(({ shard, pid, sessions }) => [shard, pid, sessions?.leased]),
    pids.map((pid, shard) => [shard, pid, 1]),
  );
  const { stdout } = await cli('status');
  assert.match(stdout, /^SHARD +PROCESS +LINKS +LANES +SESSIONS/m);
  for (const [shard, pid] of pids.entries())
    assert.match(stdout, new RegExp(`^${shard} +${pid} +2 +1 +1 `, 'm'));
  const ids = sockets.map(({ sharing }) => sharing.sessionId ?? '');
  assert.deepEqual(
    (await tls.sessions()).map(({ id }) => id),
    ids,
  );
  for (const [shard, id] of ids.entries()) {
    const { id: shown } = JSON.parse((await cli('inspect', id, '--json')).stdout) as { id: string };
    assert.equal(shown, id);
    const end = closed(sockets[shard] as TlshubSocket);
    const { code, stderr } = await cli('close', id);
    assert.deepEqual([code, stderr], [0, '']);
    await end;
  }
  assert.match((await cli('close', 's9-1')).stderr, /ERR_TLSHUB_SESSION_UNKNOWN/);
  assert.match((await cli('doctor')).stdout, new RegExp(`processes ${pids.join(', ')} answer`));
});

test('reload reaches all shards, by the verb and by SIGHUP, and says which one did not take it', async (t) => {
  const { daemon, cli } = await scene(t, 2);
  const file = join(daemon.directory, 'tlshub.toml');
  const logged = (text: string) =>
    waitFor(() => daemon.first.log().split(text).length === 3, { what: `"${text}" of both` });
  writeFileSync(file, 'shards = 2\n', { mode: 0o600 });
  assert.match((await cli('reload')).stdout, /tlshub.toml: nothing has changed/);
  await logged('the configuration was reloaded');
  writeFileSync(file, 'shards = "many"\n', { mode: 0o600 });
  daemon.first.child.kill('SIGHUP');
  await logged('was not reloaded');
  const { code, stderr } = await cli('reload');
  assert.equal(code, 1);
  assert.match(stderr, /"shards" must be a whole number from 1 to 64/);
});

test('the number comes from the flag, the environment, or the configuration file', async (t) => {
  const directory = tempDir(t);
  const countOf = async (args: readonly string[], env: Record<string, string> = {}) => {
    const { code, stderr } = await runCli(['start', '-d', directory, ...args], { env });
    if (code !== 0) return stderr;
    const { shards } = await statusOf(directory);
    await runCli(['stop', '-d', directory]);
    return shards.length;
  };
  writeFileSync(join(directory, 'tlshub.toml'), 'shards = 2\n', { mode: 0o600 });
  assert.equal(await countOf([]), 2);
  assert.equal(await countOf([], { TLSHUB_SHARDS: '3' }), 3);
  assert.equal(await countOf(['--shards', '1'], { TLSHUB_SHARDS: '3' }), 1);
  assert.match(String(await countOf([], { TLSHUB_SHARDS: '65' })), /TLSHUB_SHARDS: At most 64 are allowed/);
  assert.match(String(await countOf(['--shards', '0'])), /A whole number from 1 is needed/);
});

test('a client that knows nothing of shards is told where to go', async (t) => {
  const { origin, daemon } = await scene(t, 3);
  const socket = await sessionOn(origin, 2, 3);
  const name = socket.sharing.name ?? '';
  await socket.release();
  const ask = async (shard: number) => {
    const lane = connect(socketPath(daemon.directory, shard));
    t.after(() => lane.destroy());
    lane.write(`${JSON.stringify({ call: 'attach', protocol: 1, handle: name, wait: 0, socket: {} })}\n`);
    return JSON.parse(await readLine(lane)) as {
      rc: number;
      session?: string;
      error?: { code: string; shard: number };
    };
  };
  const { rc, error } = await ask(0);
  assert.deepEqual([rc, error?.code, error?.shard], [-1, 'ERR_TLSHUB_OTHER_SHARD', 2]);
  const { rc: done, session } = await ask(2);
  assert.deepEqual([done, session], [1, socket.sharing.sessionId]);
  await allAnswer(daemon.directory, 3);
});
