// A daemon of several processes: each session has one owner whom every process finds, pools stay whole, and the death of
// one of them is the end of its own sessions only.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, test } from 'node:test';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { runCli, runNodeForJson } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import { allAnswer, startShards } from '#helpers/shards.js';
import { closed, exchange, opened } from '#helpers/streams.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import tls, { type TlshubSocket } from '#src/index.js';
import { shardOf, shardOfHandle, shardOfSession } from '#src/protocol/shard.js';

const SHARDS = 3;

let ca: Authority;
let leaf: Certificate;
const scope = fileScope();
// What a daemon is told that is started again must not come from the test run.
delete process.env.TLSHUB_SHARDS;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
});
scope.after(() => {
  delete process.env.TLSHUB_DIR;
});

function useDirectory(directory: string): void {
  process.env.TLSHUB_DIR = directory;
}

/** Another `key` is another session key, to the same origin. */
function connectTo(origin: CountingOrigin, key: number, shared: object = {}): TlshubSocket {
  const options = { host: '127.0.0.1', port: origin.port, ca: ca.cert, minDHSize: 1000 + key };
  return tls.connect({ ...options, shared: { fallback: false, ...shared } }) as TlshubSocket;
}

/** An open session, on each shard one: those keys whose sessions are there. */
async function onEachShard(origin: CountingOrigin): Promise<TlshubSocket[]> {
  const found: TlshubSocket[] = [];
  for (let key = 0; found.filter(Boolean).length < SHARDS; key++) {
    const socket = connectTo(origin, key);
    socket.on('error', () => {});
    await opened(socket);
    const shard = shardOfSession(socket.sharing.sessionId ?? '');
    if (found[shard] === undefined) found[shard] = socket;
    else await socket.release();
  }
  return found;
}

/** A name whose home is a shard. */
function nameAt(shard: number, stem = 'name'): string {
  for (let number = 0; ; number++) {
    const name = `${stem}${number}`;
    if (shardOf(name, SHARDS) === shard) return name;
  }
}

const LEASES = `
  import tls from 'tlshub';
  const { PORT, CA, KEYS, ROUNDS } = process.env;
  let reused = 0;
  for (let round = 0; round < Number(ROUNDS); round++) {
    const options = { host: '127.0.0.1', port: Number(PORT), ca: CA, minDHSize: 1000 + (round % Number(KEYS)) };
    const socket = tls.connect({ ...options, shared: { fallback: false } });
    await new Promise((resolve, reject) => {
      socket.on('error', reject);
      socket.on('secureConnect', () => socket.write('hello\\n'));
      socket.once('data', () => { if (socket.sharing.reused) reused += 1; socket.release().then(resolve, reject); });
    });
  }
  console.log(JSON.stringify(reused));
`;

test('P1: 1,000 leases of six keys in four processes cost six handshakes', async (t) => {
  const keys = 6;
  const origin = await countingOrigin(t, { cert: leaf.chain, key: leaf.key });
  const { directory, status } = await startShards(t, SHARDS);
  const env = { TLSHUB_DIR: directory, PORT: `${origin.port}`, CA: ca.cert, KEYS: `${keys}`, ROUNDS: '250' };
  let reused = 0;
  for (let run = 0; run < 4; run++) reused += Number(await runNodeForJson(LEASES, { env }));
  assert.equal(reused, 1_000 - keys);
  assert.equal(origin.counts.handshakes + origin.counts.resumptions, keys);
  const { sessions, counters, shards } = await status();
  assert.equal(sessions.idle, keys);
  assert.deepEqual([counters.handshakes, counters.leases, counters.reuses], [keys, 1_000, 1_000 - keys]);
  const used = shards.filter(({ sessions: own }) => (own?.idle ?? 0) > 0);
  assert.ok(used.length > 1, 'the keys are on more than one shard');
});

test('names and handles lead every process to the shard that has the session', async (t) => {
  const origin = await countingOrigin(t, { cert: leaf.chain, key: leaf.key });
  const { directory } = await startShards(t, SHARDS);
  useDirectory(directory);
  const handles: string[] = [];
  for (let shard = 0; shard < SHARDS; shard++) {
    const named = connectTo(origin, 0, { name: nameAt(shard) });
    await opened(named);
    assert.equal(shardOfSession(named.sharing.sessionId ?? ''), shard);
    assert.equal(await exchange(named, 'one'), 'ok one');
    await named.release();
  }
  for (const socket of await onEachShard(origin)) handles.push(await socket.detach());
  assert.deepEqual(handles.map(shardOfHandle), [0, 1, 2]);
  const before = origin.counts.handshakes;
  const script = `
    import tls from 'tlshub';
    const { WANTED } = process.env;
    const answers = [];
    for (const wanted of JSON.parse(WANTED)) {
      const socket = tls.attach(wanted, { wait: 1000 });
      await new Promise((resolve, reject) => {
        socket.on('error', reject);
        socket.on('secureConnect', () => socket.write('two\\n'));
        socket.once('data', (chunk) => { answers.push(String(chunk) + socket.sharing.sessionId[0]); socket.release().then(resolve, reject); });
      });
    }
    console.log(JSON.stringify(answers));
  `;
  const wanted = [...Array.from({ length: SHARDS }, (_, shard) => nameAt(shard)), ...handles];
  const env = { TLSHUB_DIR: directory, WANTED: JSON.stringify(wanted) };
  const answers = await runNodeForJson(script, { env });
  assert.deepEqual(
    answers,
    wanted.map(() => 'ok two\ns'),
  );
  assert.equal(origin.counts.handshakes, before);
  // Used up: the shard that issued it says so.
  const again = tls.attach(handles[2] ?? '');
  const [error] = await once(again, 'error');
  assert.equal(error.code, 'ERR_TLSHUB_HANDLE_UNKNOWN');
});

test('a name that a session gets later means one session, whatever shard the session is on', async (t) => {
  const origin = await countingOrigin(t, { cert: leaf.chain, key: leaf.key });
  const { directory, kill, pids } = await startShards(t, SHARDS);
  useDirectory(directory);
  const sockets = await onEachShard(origin);
  const [, socket, other] = sockets;
  assert.ok(socket && other);
  const name = nameAt(2, 'later');
  await socket.setName(name);
  await assert.rejects(other.setName(name), { code: 'ERR_TLSHUB_NAME_IN_USE' });
  assert.equal(await exchange(socket, 'one'), 'ok one');
  await socket.release();
  const before = origin.counts.handshakes;
  const joined = tls.attach(name);
  await opened(joined);
  assert.equal(shardOfSession(joined.sharing.sessionId ?? ''), 1);
  assert.equal(await exchange(joined, 'two'), 'ok two');
  // Its home has died and does not know of it any more; it is told again.
  const gone = await pids();
  await kill(2);
  await allAnswer(directory, SHARDS, gone.slice(2));
  await joined.release();
  await waitFor(
    async () => {
      const third = tls.attach(name);
      third.on('error', () => {});
      const [event] = await once(third, 'secureConnect').then(
        () => ['open'],
        (error) => [error.code],
      );
      third.destroy();
      return event === 'open';
    },
    { what: 'the name to be known at its home' },
  );
  assert.equal(origin.counts.handshakes, before);
  for (const one of sockets) one.destroy();
});

test('a name that comes too late leaves a session the one it has, and that name means no other', async (t) => {
  const origin = await countingOrigin(t, { cert: leaf.chain, key: leaf.key });
  const { directory } = await startShards(t, SHARDS);
  useDirectory(directory);
  const [first, second] = [nameAt(1, 'first'), nameAt(1, 'second')];
  const one = connectTo(origin, 0, { name: first });
  const two = connectTo(origin, 0, { name: second });
  for (const socket of [one, two]) socket.on('error', () => {});
  await Promise.all([opened(one), opened(two)]);
  const before = nameAt(2, 'before');
  await two.setName(before);
  // Both are asked for before the name's home has answered either.
  const wanted = nameAt(2, 'wanted');
  const outcomes = await Promise.allSettled([one.setName(wanted), two.setName(wanted)]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
  const { sessionId } = two.sharing;
  await two.release();
  const { handshakes } = origin.counts;
  const again = connectTo(origin, 0, { name: before });
  again.on('error', () => {});
  await opened(again);
  assert.equal(again.sharing.sessionId, sessionId);
  assert.equal(origin.counts.handshakes, handshakes);
  for (const socket of [one, again]) socket.destroy();
});

test('P16: a shard that is killed ends its own sessions with one error each, and is started again', async (t) => {
  const origin = await countingOrigin(t, { cert: leaf.chain, key: leaf.key });
  const { directory, kill, pids, first } = await startShards(t, SHARDS);
  useDirectory(directory);
  const sockets = await onEachShard(origin);
  const errors: string[][] = sockets.map(() => []);
  for (const [shard, socket] of sockets.entries())
    socket.on('error', (error: NodeJS.ErrnoException) => errors[shard]?.push(error.code ?? ''));
  const before = await pids();
  const victim = sockets[2] as TlshubSocket;
  const end = closed(victim);
  await kill(2);
  await end;
  assert.deepEqual(errors, [[], [], ['ERR_TLSHUB_DAEMON_LOST']]);
  // At once, without waiting for anything: the same key again, and the sessions of the others.
  for (let key = 0; key < 8; key++) {
    const socket = connectTo(origin, 100 + key);
    await opened(socket);
    assert.equal(await exchange(socket, 'again'), 'ok again');
    await socket.release();
  }
  assert.equal(await exchange(sockets[0] as TlshubSocket, 'still'), 'ok still');
  assert.equal(await exchange(sockets[1] as TlshubSocket, 'still'), 'ok still');
  await allAnswer(directory, SHARDS, [before[2] ?? 0]);
  assert.deepEqual((await pids()).slice(0, 2), before.slice(0, 2));
  assert.match(first.log(), /a shard has ended/);
  assert.deepEqual(errors, [[], [], ['ERR_TLSHUB_DAEMON_LOST']]);
  for (const socket of sockets) socket.destroy();
});

test('P16: when the first shard is killed the sessions of the others live on, and the next one takes them over', async (t) => {
  const origin = await countingOrigin(t, { cert: leaf.chain, key: leaf.key });
  const { directory, kill, pids } = await startShards(t, SHARDS);
  useDirectory(directory);
  const sockets = await onEachShard(origin);
  const before = await pids();
  const end = closed(sockets[0] as TlshubSocket);
  await kill(0);
  await end;
  assert.equal(await exchange(sockets[1] as TlshubSocket, 'still'), 'ok still');
  const { code, stdout } = await runCli(['sessions', '--json', '-d', directory]);
  assert.equal(code, 0);
  const ids = (JSON.parse(stdout) as { id: string; state: string }[]).filter(
    ({ state }) => state === 'leased',
  );
  assert.equal(ids.length, 2);
  // Somebody who needs the first one starts it.
  const handles: string[] = [];
  for (let key = 0; !handles.includes('0'); key++) {
    const socket = connectTo(origin, 200 + key);
    await opened(socket);
    handles.push(`${shardOfSession(socket.sharing.sessionId ?? '')}`);
    await socket.release();
  }
  await allAnswer(directory, SHARDS, [before[0] ?? 0]);
  assert.deepEqual((await pids()).slice(1), before.slice(1));
  assert.equal(await exchange(sockets[2] as TlshubSocket, 'still'), 'ok still');
  // The new one looks after those that it found.
  await kill(2);
  await allAnswer(
    directory,
    SHARDS,
    before.filter((_, shard) => shard !== 1),
  );
  for (const socket of sockets) socket.destroy();
});
