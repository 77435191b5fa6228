// `tlshub doctor`: what is right, what is wrong and what to do about it; it changes nothing.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { NODE, runCli, runNode, spawnProcess } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import type { CheckResult } from '#src/cli/doctor-checks.js';

interface Report {
  ok: boolean;
  checks: CheckResult[];
}

async function doctor(directory: string) {
  const { code, stdout, stderr } = await runCli(['doctor', '--json', '--directory', directory]);
  assert.equal(stderr, '');
  const { ok, checks } = JSON.parse(stdout) as Report;
  assert.equal(code, ok ? 0 : 1);
  for (const { state, check, advice } of checks) assert.ok(state === 'ok' || advice, `advice for ${check}`);
  return { ok, of: Object.fromEntries(checks.map((result) => [result.check, result])) };
}

test('with a daemon all is well', async (t) => {
  const daemon = await startTestDaemon(t);
  const { ok, of } = await doctor(daemon.directory);
  assert.equal(ok, true);
  for (const check of ['node version', 'native calls', 'socket path', 'directory', 'socket', 'daemon']) {
    assert.equal(of[check]?.state, 'ok', check);
  }
  assert.match(of.daemon?.found ?? '', new RegExp(`process ${daemon.pid} answers`));
});

test('without a daemon there are notes, no failures, and nothing is made', async (t) => {
  const parent = tempDir(t);
  const { ok, of } = await doctor(join(parent, 'd'));
  assert.equal(ok, true);
  assert.equal(of.directory?.state, 'note');
  assert.match(of.daemon?.advice ?? '', /started at first use/);
  assert.deepEqual(readdirSync(parent), []);
});

test('a directory that is not private fails, with the command that mends it', async (t) => {
  const directory = join(tempDir(t), 'd');
  mkdirSync(directory);
  chmodSync(directory, 0o755);
  const { ok, of } = await doctor(directory);
  assert.equal(ok, false);
  assert.match(of.directory?.found ?? '', /run: chmod 700/);
  const text = await runCli(['doctor', '-d', directory]);
  assert.equal(text.code, 1);
  assert.match(text.stdout, /^failed {2}directory /m);
});

test('a symbolic link in place of the directory fails', async (t) => {
  const parent = tempDir(t);
  symlinkSync(parent, join(parent, 'link'));
  assert.equal((await doctor(join(parent, 'link'))).of.directory?.state, 'failed');
});

test('a path that is too long fails', async (t) => {
  const { of } = await doctor(join(tempDir(t), 'x'.repeat(120)));
  assert.equal(of['socket path']?.state, 'failed');
  assert.match(of['socket path']?.advice ?? '', /TLSHUB_DIR/);
});

test('a socket that other users may open fails', async (t) => {
  const daemon = await startTestDaemon(t);
  chmodSync(join(daemon.directory, 'tlshub.sock'), 0o666);
  const { of } = await doctor(daemon.directory);
  assert.equal(of.socket?.state, 'failed');
  assert.match(of.socket?.advice ?? '', /chmod 600/);
});

test('something that listens and is no daemon fails', async (t) => {
  const directory = tempDir(t);
  const path = join(directory, 'tlshub.sock');
  const impostor = createServer((socket) => socket.on('error', () => {}).end('hello, I am something else\n'));
  t.after(() => impostor.close());
  await new Promise<void>((resolve) => impostor.listen(path, resolve));
  chmodSync(path, 0o600);
  const { ok, of } = await doctor(directory);
  assert.equal(ok, false);
  assert.equal(of.daemon?.state, 'failed');
});

test('few descriptors are noted', async (t) => {
  const script = 'ulimit -n 256 && exec "$0" dist/cli/main.js doctor --json -d "$1"';
  const { code, stdout } = await spawnProcess('sh', ['-c', script, NODE, tempDir(t)], {}).result;
  assert.equal(code, 0);
  const { checks } = JSON.parse(stdout) as Report;
  const limit = checks.find(({ check }) => check === 'descriptor limit');
  assert.equal(limit?.state, 'note');
  assert.match(limit?.found ?? '', /^256 /);
});

test('without native calls the check fails and says how to get them', async (t) => {
  const { stdout, code } = await runNode(
    `
    import Module from 'node:module';
    const load = Module._load;
    Module._load = (name, ...rest) => {
      if (name === 'koffi') throw new Error('no prebuilt binary');
      return load(name, ...rest);
    };
    process.argv.splice(1, process.argv.length, 'tlshub', 'doctor', '--json', '-d', process.env.DIRECTORY);
    await import('./dist/cli/main.js');
    `,
    { env: { DIRECTORY: tempDir(t) } },
  );
  assert.equal(code, 1);
  const { checks } = JSON.parse(stdout) as Report;
  const native = checks.find(({ check }) => check === 'native calls');
  assert.equal(native?.state, 'failed');
  assert.match(native?.advice ?? '', /npm ci --include=optional/);
});
