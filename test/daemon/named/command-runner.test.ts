// Commands of parked sessions as real processes: the limits, the environment, the ends.
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor } from '#helpers/wait-for.js';
import { commandEnvironment } from '#src/daemon/named/command-environment.js';
import { type CommandEnd, type CommandOrder, CommandRunner } from '#src/daemon/named/command-runner.js';

const PLENTY = { maxRunning: 100, maxStartsPerSecond: 1_000 };

function order(run: string[], changes: Partial<CommandOrder> = {}): CommandOrder {
  return { run, cwd: '/', env: {}, stdio: undefined, ...changes };
}

/** Runs one command to its end. */
function runToEnd(runner: CommandRunner, command: CommandOrder): Promise<CommandEnd> {
  return new Promise((resolve) => runner.start(() => command, resolve));
}

/** A command that says in a directory that it runs, and ends when the file `go` is there. */
function gated(t: TestContext) {
  const directory = tempDir(t);
  const script = 'touch "run-$$"; until [ -e go ]; do sleep 0.02; done; rm "run-$$"; touch "done-$$"';
  const count = (prefix: string) => readdirSync(directory).filter((name) => name.startsWith(prefix)).length;
  return { command: order(['sh', '-c', script], { cwd: directory }), directory, count };
}

test('an end is told with its exit code, and how long the command ran', async () => {
  const runner = new CommandRunner(PLENTY);
  const { failure, exitCode, ranMs } = await runToEnd(runner, order(['sh', '-c', 'exit 7']));
  assert.deepEqual([failure, exitCode], [undefined, 7]);
  assert.ok(ranMs > 0 && ranMs < 10_000, `${ranMs}`);
  const killed = await runToEnd(runner, order(['sh', '-c', 'kill -9 $$']));
  assert.deepEqual([killed.failure, killed.exitCode], [undefined, null]);
  assert.deepEqual([runner.running, runner.queued], [0, 0]);
});

test('a command that cannot start tells why, once: no such program, no directory, not executable, a zero byte', async (t) => {
  const runner = new CommandRunner(PLENTY);
  const plainFile = join(tempDir(t), 'plain');
  writeFileSync(plainFile, '');
  chmodSync(plainFile, 0o600);
  for (const [command, code] of [
    [order(['/no/such/program']), 'ENOENT'],
    [order(['sh', '-c', 'true'], { cwd: '/no/such/directory' }), 'ENOENT'],
    [order([plainFile]), 'EACCES'],
    [order(['sh', 'a\0b']), 'ERR_INVALID_ARG_VALUE'],
    [order(['/no/such/program'], { stdio: { handle: 'x', isTaken: () => false } }), 'ENOENT'],
  ] as const) {
    const { failure, exitCode } = await runToEnd(runner, command);
    assert.deepEqual([(failure as { code?: string } | undefined)?.code, exitCode], [code, null]);
  }
  assert.equal(runner.running, 0);
});

test('no more than so many run at once; the others follow in order', async (t) => {
  const { command, directory, count } = gated(t);
  const runner = new CommandRunner({ ...PLENTY, maxRunning: 3 });
  const ends: number[] = [];
  for (let index = 0; index < 7; index += 1)
    runner.start(
      () => command,
      () => void ends.push(index),
    );
  await waitFor(() => count('run-') === 3, { what: 'three that run' });
  assert.deepEqual([runner.running, runner.queued], [3, 4]);
  writeFileSync(join(directory, 'go'), '');
  await waitFor(() => ends.length === 7, { what: 'all ends' });
  assert.equal(count('done-'), 7);
  assert.deepEqual([runner.running, runner.queued], [0, 0]);
});

test('no more than so many are started in a second', async () => {
  const runner = new CommandRunner({ maxRunning: 100, maxStartsPerSecond: 4 });
  const startedAtMs = performance.now();
  const asked: number[] = [];
  const ask = () => {
    asked.push(performance.now() - startedAtMs);
    return order(['true']);
  };
  await Promise.all(Array.from({ length: 9 }, () => new Promise((resolve) => runner.start(ask, resolve))));
  assert.equal(asked.filter((atMs) => atMs < 900).length, 4);
  assert.ok((asked[8] ?? 0) > 1_900, `${asked}`);
});

test('a command that is not wanted any more when its turn comes is skipped, and costs no start', async () => {
  const runner = new CommandRunner({ maxRunning: 1, maxStartsPerSecond: 2 });
  let told = 0;
  for (let index = 0; index < 100; index += 1) {
    runner.start(
      () => undefined,
      () => {
        told += 1;
      },
    );
  }
  assert.equal((await runToEnd(runner, order(['true']))).exitCode, 0);
  assert.deepEqual([told, runner.queued, runner.running], [0, 0, 0]);
});

test('a command has the environment of the host and its own variables, nothing else of the daemon', async (t) => {
  const odd = { NODE_OPTIONS: '--no-warnings', NOTIFY_SOCKET: '/x', AWS_SECRET: 'x', TLSHUB_SHARE: 'x' };
  const own = { TLSHUB_HANDLE: 'h', TLSHUB_REASON: 'data', TLSHUB_DIR: '/d' };
  const host = { PATH: '/bin', HOME: '/h', LC_ALL: 'C', TZ: 'UTC' };
  assert.deepEqual(commandEnvironment(own, { ...odd, ...host, TLSHUB_DIR: '/other' }), { ...host, ...own });

  process.env.TLSHUB_ODD_VARIABLE = 'odd';
  t.after(() => void delete process.env.TLSHUB_ODD_VARIABLE);
  const directory = tempDir(t);
  const command = order(['sh', '-c', 'env >out; pwd >where'], { cwd: directory, env: own });
  await runToEnd(new CommandRunner(PLENTY), command);
  const seen = readFileSync(join(directory, 'out'), 'utf8');
  assert.match(seen, /^TLSHUB_HANDLE=h$/m);
  assert.match(seen, /^PATH=./m);
  assert.doesNotMatch(seen, /TLSHUB_ODD_VARIABLE/);
  assert.equal(readFileSync(join(directory, 'where'), 'utf8'), `${directory}\n`);
});

test('a command has no input, and a process group of its own', async (t) => {
  const directory = tempDir(t);
  const script = 'cat >input; ps -o pgid= -p $$ >group; echo $$ >pid';
  await runToEnd(new CommandRunner(PLENTY), order(['sh', '-c', script], { cwd: directory }));
  const text = (name: string) => readFileSync(join(directory, name), 'utf8').trim();
  assert.equal(text('input'), '');
  assert.equal(text('group'), text('pid'));
});
