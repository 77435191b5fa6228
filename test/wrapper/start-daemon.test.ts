// Starting a daemon: one for all who ask, a process of its own, and an error that tells why when there is none.
import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CAN_BECOME_OTHERS } from '#helpers/other-user.js';
import { runNode, runNodeForJson, spawnNode } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { askDaemon } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { lockHolder } from '#src/daemon/daemon-lock.js';
import { probeSocket } from '#src/link/probe-socket.js';
import { tryLock } from '#src/native/libc.js';
import { spawnDaemon } from '#src/wrapper/spawn-daemon.js';
import { startDaemon } from '#src/wrapper/start-daemon.js';
import { StartLock } from '#src/wrapper/start-lock.js';

/** A directory yet to be made, whose daemon, if one is started there, ends with the test. */
function daemonDirectory(t: TestContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'th-'));
  const directory = join(parent, 'd');
  t.after(async () => {
    const pid = lockHolder(directory);
    if (pid !== undefined && isAlive(pid)) await killDaemon(directory, pid);
    rmSync(parent, { recursive: true, force: true });
  });
  return directory;
}

async function killDaemon(directory: string, pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL');
  // The last thread of a process closes its sockets, a little after the first has gone.
  const path = join(directory, 'tlshub.sock');
  await waitFor(async () => !isAlive(pid) && (await probeSocket(path)) !== 'listening', {
    what: `the end of daemon ${pid}`,
  });
}

function isAlive(pid: number): boolean {
  try {
    // The state follows the name, which is in parentheses; a zombie has ended.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function statusOf(directory: string): Promise<Record<string, unknown>> {
  return (await askDaemon(directory, 'status')).status as Record<string, unknown>;
}

/** Calls startDaemon so often at the same time, and prints the distinct outcomes. */
const STARTER = `
  const { startDaemon } = await import('#src/wrapper/start-daemon.js');
  const [, directory, calls, ...flags] = process.argv;
  const outcome = () => startDaemon(directory, flags).then(() => 'started', (error) => error.code + ': ' + error.message);
  const outcomes = await Promise.all(Array.from({ length: Number(calls) }, outcome));
  console.log(JSON.stringify([...new Set(outcomes)]));
`;

/** The log's events with that message. */
function logged(directory: string, message: string): number {
  const lines = readFileSync(join(directory, 'daemon.log'), 'utf8').split('\n');
  return lines.filter((line) => line.includes(`"msg":"${message}"`)).length;
}

test('P17: 200 starters at once, in 40 processes, end on one daemon', async (t) => {
  const directory = daemonDirectory(t);
  const starters = Array.from({ length: 40 }, () =>
    runNodeForJson(STARTER, { arguments: [directory, '5'], deadlineMs: 60_000 }),
  );
  const outcomes = await Promise.all(starters);
  assert.deepEqual(outcomes, Array(40).fill(['started']));
  assert.equal(logged(directory, 'listening'), 1, 'one daemon was started');
  assert.equal((await statusOf(directory)).pid, lockHolder(directory));
});

test('a daemon that listens is left alone', async (t) => {
  const directory = daemonDirectory(t);
  await startDaemon(directory);
  const before = await statusOf(directory);
  await startDaemon(directory);
  assert.equal((await statusOf(directory)).pid, before.pid);
  assert.equal(logged(directory, 'listening'), 1);
});

test('P16: after kill -9 of the daemon the next start succeeds at once', async (t) => {
  const directory = daemonDirectory(t);
  await startDaemon(directory);
  const first = lockHolder(directory) ?? -1;
  await killDaemon(directory, first);
  await startDaemon(directory);
  const { pid } = await statusOf(directory);
  assert.notEqual(pid, first);
});

test('the daemon is a process of its own: it outlives its starter, in its own session, without its pipes', async (t) => {
  const directory = daemonDirectory(t);
  const starter = await runNode(STARTER, { arguments: [directory, '1'] });
  // The run is over only when every pipe of the starter is closed, also by those who inherited it.
  assert.deepEqual(starter, { code: 0, signal: null, stdout: '["started"]\n', stderr: '' });
  const { pid } = (await statusOf(directory)) as { pid: number };
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ');
  const [, , group, session] = fields ?? [];
  assert.deepEqual([Number(group), Number(session)], [pid, pid]);
  // The daemon forbids others of its user to look into it; root may.
  if (CAN_BECOME_OTHERS) assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
  else assert.throws(() => readlinkSync(`/proc/${pid}/cwd`), { code: 'EACCES' });
});

test("the application's NODE_OPTIONS do not reach the daemon", async (t) => {
  const directory = daemonDirectory(t);
  const outcome = await runNodeForJson(
    `process.env.NODE_OPTIONS = '--require /nonexistent/module.js';\n${STARTER}`,
    { arguments: [directory, '1'] },
  );
  assert.deepEqual(outcome, ['started']);
});

test("what the starter's process is told: the flags are the daemon's", async (t) => {
  const directory = daemonDirectory(t);
  await startDaemon(directory, ['--log-level', 'silent']);
  assert.equal(readFileSync(join(directory, 'daemon.log'), 'utf8'), '');
});

test('a daemon that ends before it is ready: its last words are in the error', async (t) => {
  const directory = daemonDirectory(t);
  await assert.rejects(startDaemon(directory, ['--no-such-flag']), {
    name: 'TlshubError',
    code: 'ERR_TLSHUB_START_FAILED',
    message: /it ended with exit code 2; its last words: unknown option '--no-such-flag' \(see daemon\.log\)/,
  });
});

test("a daemon that says why it cannot start: its own code is the starter's", async (t) => {
  const directory = daemonDirectory(t);
  mkdirSync(directory, { mode: 0o700 });
  mkdirSync(join(directory, 'tlshub.sock'));
  await assert.rejects(startDaemon(directory), {
    code: 'ERR_TLSHUB_DIRECTORY',
    message: /tlshub\.sock is in the way and is no socket: remove it/,
  });
});

test('P11: a directory that is not private is refused before anything is started', async (t) => {
  const directory = daemonDirectory(t);
  mkdirSync(directory);
  chmodSync(directory, 0o755);
  await assert.rejects(startDaemon(directory), { code: 'ERR_TLSHUB_DIRECTORY', message: /chmod 700/ });
  await assert.rejects(startDaemon(join(directory, 'x'.repeat(100))), { code: 'ERR_TLSHUB_SOCKET_PATH' });
  assert.equal(existsSync(join(directory, 'daemon.log')), false);
});

test('starters that waited for one that failed get its error, without trying one after another', async (t) => {
  const directory = daemonDirectory(t);
  mkdirSync(directory, { mode: 0o700 });
  const path = join(directory, 'start.lock');
  const lock = await StartLock.takeOrWait(path, new AbortController().signal);
  assert.ok(lock);
  const starters = Array.from({ length: 6 }, () =>
    spawnNode(STARTER, { arguments: [directory, '1', '--max-sessions', 'none'] }),
  );
  for (const starter of starters) {
    await waitFor(() => hasOpen(starter.pid, path), { what: `process ${starter.pid} to wait` });
  }
  lock.release();
  const results = await Promise.all(starters.map((starter) => starter.result));
  for (const { stdout } of results) assert.match(stdout, /ERR_TLSHUB_START_FAILED: .*a whole number from 1/i);
  const attempts = readFileSync(join(directory, 'daemon.log'), 'utf8').match(/code: USAGE/g);
  assert.equal(attempts?.length, 1);
});

function hasOpen(pid: number, path: string): boolean {
  return readdirSync(`/proc/${pid}/fd`).some((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`) === path;
    } catch {
      return false;
    }
  });
}

test('P17: a starter that is killed while others wait: one of them starts the daemon', async (t) => {
  const directory = daemonDirectory(t);
  mkdirSync(directory, { mode: 0o700 });
  const path = join(directory, 'start.lock');
  const holder = spawnNode(
    `
    import { StartLock } from '#src/wrapper/start-lock.js';
    await StartLock.takeOrWait(process.argv[1], new AbortController().signal);
    console.log('holds it');
    process.stdin.resume();
    `,
    { arguments: [path] },
  );
  await holder.printed('holds it');
  const starters = Array.from({ length: 4 }, () => spawnNode(STARTER, { arguments: [directory, '1'] }));
  for (const starter of starters) {
    await waitFor(() => hasOpen(starter.pid, path), { what: `process ${starter.pid} to wait` });
  }
  holder.child.kill('SIGKILL');
  const results = await Promise.all(starters.map((starter) => starter.result));
  assert.deepEqual(
    results.map(({ stdout }) => stdout),
    Array(4).fill('["started"]\n'),
  );
  assert.equal(logged(directory, 'listening'), 1);
});

test('P17: a daemon that was started by hand and does not listen yet is waited for', async (t) => {
  const directory = daemonDirectory(t);
  mkdirSync(directory, { mode: 0o700 });
  const other = openSync(join(directory, 'daemon.lock'), 'w');
  assert.equal(tryLock(other), true);
  writeSync(other, '1\n');
  await assert.rejects(startDaemon(directory), {
    code: 'ERR_TLSHUB_ALREADY_RUNNING',
    message: /another daemon \(process 1\) already serves/,
  });
  const refusedBefore = logged(directory, 'the daemon cannot start');
  const start = startDaemon(directory);
  await waitFor(() => logged(directory, 'the daemon cannot start') > refusedBefore, { what: 'one attempt' });
  closeSync(other);
  await within(start, { what: 'a later attempt' });
  assert.equal(logged(directory, 'listening'), 1);
});

test('no process can be made: ERR_TLSHUB_DAEMON_UNREACHABLE with the cause', async (t) => {
  const directory = daemonDirectory(t);
  const error = await runNodeForJson(
    `
    import { startDaemon } from '#src/wrapper/start-daemon.js';
    process.execPath = '/nonexistent/node';
    const error = await startDaemon(process.argv[1]).catch((caught) => caught);
    console.log(JSON.stringify({ code: error.code, message: error.message, cause: error.cause.code }));
    `,
    { arguments: [directory] },
  );
  assert.deepEqual(error, {
    code: 'ERR_TLSHUB_DAEMON_UNREACHABLE',
    message: 'no daemon answers and none can be started: spawn /nonexistent/node ENOENT',
    cause: 'ENOENT',
  });
});

test('a daemon that is not ready in time is killed', async (t) => {
  const directory = tempDir(t);
  const node = join(directory, 'node');
  // In place of node: a program that says nothing and stays.
  writeFileSync(node, `#!/bin/sh\necho $$ > ${directory}/pid\nexec sleep 600\n`, { mode: 0o700 });
  const { execPath } = process;
  t.after(() => {
    process.execPath = execPath;
  });
  process.execPath = node;
  await assert.rejects(within(spawnDaemon(directory, [], 500), { what: 'the deadline' }), {
    code: 'ERR_TLSHUB_START_FAILED',
    message: /it was not ready within 0.5 s; its log is empty/,
  });
  const pid = Number(readFileSync(join(directory, 'pid'), 'utf8'));
  await waitFor(() => !isAlive(pid), { what: 'its end' });
});

test('the log is private, kept over restarts, and put aside when it has grown', async (t) => {
  const directory = daemonDirectory(t);
  mkdirSync(directory, { mode: 0o700 });
  const path = join(directory, 'daemon.log');
  writeFileSync(path, 'small\n', { mode: 0o600 });
  await startDaemon(directory);
  assert.match(readFileSync(path, 'utf8'), /^small\n\{.*"msg":"listening"/);
  process.kill(lockHolder(directory) ?? -1, 'SIGTERM');
  await waitFor(() => logged(directory, 'ended') > 0, { what: 'its end' });
  writeFileSync(path, 'x'.repeat(5 * 1024 * 1024 + 1));
  await startDaemon(directory);
  assert.match(readFileSync(path, 'utf8'), /^\{.*"msg":"listening"/);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(`${path}.1`).size, 5 * 1024 * 1024 + 1);
});
