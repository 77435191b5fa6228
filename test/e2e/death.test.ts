// Sudden deaths: processes that hold sessions are killed at any point, and so is the daemon. Nobody else loses anything,
// what is in doubt is gone, and whoever comes next is served at once.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { before, test } from 'node:test';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { PatternChecker } from '#helpers/pattern.js';
import { runNodeForJson, spawnNode } from '#helpers/run-node.js';
import type { Scope } from '#helpers/scope.js';
import { closed, exchange, opened, readLine } from '#helpers/streams.js';
import { makeTempDir, removeTempDir } from '#helpers/temp-dir.js';
import { askDaemon, startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import tls, { type TlshubSocket } from '#src/index.js';
import { makeArena } from '../fuzz/arena.ts';

let ca: Authority;
let leaf: Certificate;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
});

function connectTo(origin: CountingOrigin, changes: object = {}): TlshubSocket {
  const options = { host: '127.0.0.1', port: origin.port, ca: ca.cert, shared: { fallback: false } };
  return tls.connect({ ...options, ...changes }) as TlshubSocket;
}

/** Uses sessions in every way without end, and prints a dot for each thing done. */
const RESTLESS = `
  import { once } from 'node:events';
  import tls from 'tlshub';
  const { PORT, CA } = process.env;
  process.on('uncaughtException', (error) => { console.log('failed: ' + error.message); process.exit(1); });
  const dot = () => process.stdout.write('.');
  async function take(socket, bytes) {
    for (let missing = bytes; missing > 0; ) {
      const piece = socket.read(Math.min(missing, Math.max(1, socket.readableLength)));
      if (piece === null) await once(socket, 'readable');
      else missing -= piece.length;
    }
    dot();
  }
  for (let round = 0; ; round += 1) {
    let socket = tls.connect({ host: '127.0.0.1', port: Number(PORT), ca: CA, shared: { fallback: false } });
    await once(socket, 'secureConnect');
    dot();
    socket.write('hello\\n');
    await take(socket, 9);
    socket.write('send 200000\\n');
    await take(socket, 100_000);
    if (round % 3 === 0) {
      const handle = await socket.detach();
      dot();
      socket = tls.attach(handle);
      await once(socket, 'secureConnect');
    }
    await take(socket, 100_000);
    socket.write('take 300000\\n');
    for (let part = 0; part < 30; part += 1) socket.write(Buffer.alloc(10_000));
    await take(socket, 72);
    if (round % 4 === 3) socket.destroy();
    else await socket.release();
    dot();
  }
`;

/** Does three exchanges in order, gives its session back, and prints what it was answered. */
const ORDERLY = `
  import { once } from 'node:events';
  import tls from 'tlshub';
  const { PORT, CA } = process.env;
  const socket = tls.connect({ host: '127.0.0.1', port: Number(PORT), ca: CA, shared: { fallback: false } });
  await once(socket, 'secureConnect');
  const answers = [];
  for (const line of ['one', 'two', 'three']) {
    socket.write(line + '\\n');
    let answer = '';
    while (!answer.endsWith('\\n')) answer += socket.read() ?? (await once(socket, 'readable'), '');
    answers.push(answer.trim());
  }
  await socket.release();
  console.log(JSON.stringify(answers));
`;

test('P7/P15: holders that are killed at any point take their sessions along, and nothing else', async (t) => {
  const arena = await makeArena(t, { arguments: ['--pool-idle', '30s'] });
  const origin = await countingOrigin(t, { cert: leaf.cert, key: leaf.key });
  process.env.TLSHUB_DIR = arena.daemon.directory;
  const env = { TLSHUB_DIR: arena.daemon.directory, CA: ca.cert, PORT: String(origin.port) };
  let killed = 0;
  for (let round = 0; round < 8; round += 1) {
    const holders = [1, 2, 3].map(() => spawnNode(RESTLESS, { env }));
    await Promise.all(
      holders.map(async (holder) => {
        const dots = randomInt(1, 25);
        await holder.printed('.'.repeat(dots));
        holder.child.kill('SIGKILL');
        const { signal, stdout } = await holder.result;
        assert.equal(signal, 'SIGKILL', stdout);
        killed += 1;
      }),
    );
    // Whoever comes next gets what it asks for, and no byte that was meant for a dead one.
    assert.deepEqual(await runNodeForJson(ORDERLY, { env }), ['ok one', 'ok two', 'ok three']);
  }
  t.diagnostic(`${killed} holders were killed; ${origin.counts.connections} connections were made`);
  // No session has a holder that is dead; one that was being handed over waits for its handle.
  const held = async () => (await arena.daemon.sessions()).filter(({ state }) => state === 'leased');
  await waitFor(async () => (await held()).length === 1, { what: 'only the calm session to be held' });
  const link = await arena.link();
  for (const { id, state } of await arena.daemon.sessions()) {
    if (state !== 'leased') assert.equal((await link.call('close', { session: id })).rc, 1);
  }
  await arena.undisturbed();
});

/** Makes sockets in every state and prints, when the daemon has died, what each of them was told. */
const WATCHER = `
  import { once } from 'node:events';
  import { setTimeout as delay } from 'node:timers/promises';
  import tls from 'tlshub';
  const { PORT, CA } = process.env;
  const sockets = [];
  const make = async (what, prepare) => {
    const socket = tls.connect({ host: '127.0.0.1', port: Number(PORT), ca: CA, shared: { fallback: false } });
    const told = { what, events: [] };
    sockets.push({ socket, told });
    await once(socket, 'secureConnect');
    socket.on('error', (error) => told.events.push('error ' + error.code));
    socket.on('end', () => told.events.push('end'));
    socket.on('close', (hadError) => told.events.push('close ' + hadError));
    await prepare?.(socket);
    return socket;
  };
  await make('idle');
  await make('paused', (socket) => socket.pause());
  await make('reading', async (socket) => { socket.write('send 100000000\\n'); socket.resume(); await once(socket, 'data'); });
  await make('not reading', async (socket) => { socket.write('send 100000000\\n'); await once(socket, 'readable'); });
  await make('writing', async (socket) => {
    socket.write('take 100000000\\n');
    socket.on('error', () => {});
    while (socket.write(Buffer.alloc(65536)));
  });
  await make('with a write callback', (socket) => { socket.write('hello\\n'); });
  await make('in flowing mode', (socket) => socket.resume());
  console.log('ready');
  const others = sockets.filter(({ told }) => told.what !== 'not reading');
  while (others.some(({ socket }) => !socket.closed)) await delay(1);
  // What has come is read first, as with any socket; then comes the error.
  sockets[3].socket.resume();
  while (sockets.some(({ socket }) => !socket.closed)) await delay(1);
  // Whatever else would come has come by then.
  await delay(50);
  const next = await make('next');
  next.write('hello\\n');
  const [answer] = await once(next, 'data');
  const { shared, reused } = next.sharing;
  console.log(JSON.stringify({ told: sockets.slice(0, -1).map(({ told }) => told), answer: String(answer), shared, reused }));
  next.destroy();
`;

interface Watched {
  told: { what: string; events: string[] }[];
  answer: string;
  shared: boolean;
  reused: boolean;
}

/** A daemon, and the end of the one that processes will have started in its place. */
async function mortalDaemon(t: Scope, args: readonly string[] = []): Promise<TestDaemon> {
  const directory = makeTempDir();
  t.after(async () => {
    const { status } = (await askDaemon(directory, 'status').catch(() => ({}))) as {
      status?: { pid: number };
    };
    if (status !== undefined) process.kill(status.pid, 'SIGKILL');
    removeTempDir(directory);
  });
  return startTestDaemon(t, { directory, arguments: args });
}

test('P16: the death of the daemon is one error for each socket, and the next connect works at once', async (t) => {
  const daemon = await mortalDaemon(t);
  const origin = await countingOrigin(t, { cert: leaf.cert, key: leaf.key });
  const env = { TLSHUB_DIR: daemon.directory, CA: ca.cert, PORT: String(origin.port) };
  const watchers = [1, 2, 3].map(() => spawnNode(WATCHER, { env }));
  await Promise.all(watchers.map((watcher) => watcher.printed('ready')));
  await daemon.kill('SIGKILL');
  for (const watcher of watchers) {
    const { code, stdout, stderr } = await watcher.result;
    assert.equal(code, 0, stderr);
    const { told, answer, shared, reused } = JSON.parse(stdout.replace('ready\n', '')) as Watched;
    for (const { what, events } of told) {
      assert.deepEqual(events, ['error ERR_TLSHUB_DAEMON_LOST', 'close true'], what);
    }
    assert.deepEqual([answer, shared, reused], ['ok hello\n', true, false]);
  }
});

test('P16: what waits for a session when the daemon dies gets one from the next daemon', async (t) => {
  const daemon = await mortalDaemon(t, ['--max-sessions-per-key', '1']);
  const origin = await countingOrigin(t, { cert: leaf.cert, key: leaf.key });
  process.env.TLSHUB_DIR = daemon.directory;
  const holder = (await opened(connectTo(origin))) as TlshubSocket;
  const errors: unknown[] = [];
  holder.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code));
  const waiting = connectTo(origin, { shared: { wait: 20_000, fallback: false } });
  await waitFor(
    async () => ((await daemon.status()).status as { sessions: { waiting: number } }).sessions.waiting === 1,
    {
      what: 'the second one to wait',
    },
  );
  await daemon.kill('SIGKILL');
  await opened(waiting);
  assert.equal(await exchange(waiting, 'hello'), 'ok hello');
  await closed(holder);
  assert.deepEqual(errors, ['ERR_TLSHUB_DAEMON_LOST']);
  await waiting.release();
});

test('P6/P16: what came before the death of the daemon is read to its last byte, in order', async (t) => {
  const daemon = await startTestDaemon(t);
  const origin = await countingOrigin(t, { cert: leaf.cert, key: leaf.key });
  process.env.TLSHUB_DIR = daemon.directory;
  const socket = (await opened(connectTo(origin))) as TlshubSocket;
  const checker = new PatternChecker();
  let failure: unknown;
  socket.on('data', (chunk: Buffer) => checker.push(chunk));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    failure = error.code;
  });
  socket.write('send 300000000\n');
  await waitFor(() => checker.bytes > 5_000_000, { what: 'the stream to flow' });
  await daemon.kill('SIGKILL');
  await closed(socket);
  assert.equal(failure, 'ERR_TLSHUB_DAEMON_LOST');
  t.diagnostic(`${checker.bytes} bytes came, all in order`);
});

test('P16/P17: a daemon that is killed again and again is there again each time, for all', async (t) => {
  const daemon = await mortalDaemon(t);
  const origin = await countingOrigin(t, { cert: leaf.cert, key: leaf.key });
  const env = { TLSHUB_DIR: daemon.directory, CA: ca.cert, PORT: String(origin.port) };
  let pid = daemon.pid;
  const pids = new Set<number>();
  for (let round = 0; round < 4; round += 1) {
    process.kill(pid, 'SIGKILL');
    const answers = await Promise.all([1, 2, 3, 4].map(() => runNodeForJson(ORDERLY, { env })));
    for (const answer of answers) assert.deepEqual(answer, ['ok one', 'ok two', 'ok three']);
    pid = ((await askDaemon(daemon.directory, 'status')).status as { pid: number }).pid;
    pids.add(pid);
  }
  assert.equal(pids.size, 4);
});

test('P15: a stream that another process reads goes on while holders beside it die', async (t) => {
  const daemon = await startTestDaemon(t);
  const origin = await countingOrigin(t, { cert: leaf.cert, key: leaf.key });
  process.env.TLSHUB_DIR = daemon.directory;
  const env = { TLSHUB_DIR: daemon.directory, CA: ca.cert, PORT: String(origin.port) };
  const socket = (await opened(connectTo(origin))) as TlshubSocket;
  const bytes = 60_000_000;
  socket.write(`send ${bytes}\n`);
  const checker = new PatternChecker();
  const reading = (async () => {
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      checker.push(chunk as Buffer);
      if (checker.bytes === bytes) break;
    }
  })();
  for (let round = 0; round < 4; round += 1) {
    const holder = spawnNode(RESTLESS, { env });
    await holder.printed('.'.repeat(randomInt(1, 6)));
    holder.child.kill('SIGKILL');
    await holder.result;
  }
  await reading;
  socket.write('and on\n');
  assert.equal(await readLine(socket), 'ok and on');
  await socket.release();
});
