// `tlshub daemon` as a process: ready, signals, exit codes, and what it tells when it cannot start.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { NODE, runCli, spawnProcess } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { codeOf } from '#src/errors.js';
import { holdSession } from './held-session.ts';

test('SIGTERM ends it with exit code 0, without its socket', async (t) => {
  const daemon = await startTestDaemon(t);
  assert.equal(existsSync(join(daemon.directory, 'tlshub.sock')), true);
  assert.equal(await daemon.stop(), 0);
  assert.equal(existsSync(join(daemon.directory, 'tlshub.sock')), false);
  assert.match(daemon.log(), /"reason":"SIGTERM".*"msg":"draining"/);
});

test('SIGINT, as Ctrl-C sends it, does the same', async (t) => {
  const daemon = await startTestDaemon(t);
  daemon.child.kill('SIGINT');
  await waitFor(() => daemon.child.exitCode !== null, { what: 'its end' });
  assert.equal(daemon.child.exitCode, 0);
});

test('a drain lets lanes finish, a second signal ends it at once with exit code 1', async (t) => {
  const daemon = await startTestDaemon(t, { arguments: ['--drain-deadline', '1h'] });
  const { socket } = await holdSession(t, daemon.directory);
  daemon.child.kill('SIGTERM');
  await waitFor(() => daemon.log().includes('"draining"'), { what: 'the drain' });
  socket.write('during the drain\n');
  await waitFor(() => String(socket.read() ?? '') === 'ok during the drain\n', { what: 'the answer' });
  assert.equal(daemon.child.exitCode, null);
  daemon.child.kill('SIGTERM');
  await waitFor(() => daemon.child.exitCode !== null, { what: 'its end' });
  assert.equal(daemon.child.exitCode, 1);
  assert.match(daemon.log(), /"msg":"the daemon ends at once: a second signal"/);
});

test('P18: the drain deadline ends what has not finished', async (t) => {
  const daemon = await startTestDaemon(t, { arguments: ['--drain-deadline', '100ms'] });
  const { socket } = await holdSession(t, daemon.directory);
  const failure = new Promise<Error>((resolve) => socket.once('error', resolve));
  assert.equal(await daemon.stop(), 0);
  assert.equal(codeOf(await within(failure, { what: 'the error' })), 'ERR_TLSHUB_DRAINING');
});

test('P18: without sessions and links it ends by itself', async (t) => {
  const daemon = await startTestDaemon(t, { arguments: ['--idle-exit', '50ms'] });
  await waitFor(() => daemon.child.exitCode !== null, { what: 'its end' });
  assert.equal(daemon.child.exitCode, 0);
  assert.equal(existsSync(join(daemon.directory, 'tlshub.sock')), false);
});

test('P13: no core file can be made of it', async (t) => {
  const daemon = await startTestDaemon(t);
  const limits = readFileSync(`/proc/${daemon.pid}/limits`, 'utf8');
  assert.match(limits, /^Max core file size +0 +0 /m);
});

test('in a terminal that cannot start: message, code and what to do on standard error, exit code 1', async (t) => {
  const directory = tempDir(t);
  writeFileSync(join(directory, 'tlshub.sock'), '');
  const { code, stdout, stderr } = await runCli(['daemon', '--directory', directory]);
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(
    stderr,
    /^tlshub: .*is in the way and is no socket: remove it\n {2}code: ERR_TLSHUB_DIRECTORY\n {2}help: /,
  );
});

test('P17: a second daemon for the same directory ends with the name of the first', async (t) => {
  const daemon = await startTestDaemon(t);
  const { code, stderr } = await runCli(['daemon', '--directory', daemon.directory]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`another daemon \\(process ${daemon.pid}\\) already serves`));
  assert.match(stderr, /code: ERR_TLSHUB_ALREADY_RUNNING/);
});

test('a starter is told in one line of JSON why it cannot start, and the log as well', async (t) => {
  const directory = tempDir(t);
  mkdirSync(join(directory, 'tlshub.sock'));
  const script = 'exec "$0" dist/cli/main.js daemon --directory "$1" --ready-fd 3 3>&1';
  const { code, stdout, stderr } = await spawnProcess('sh', ['-c', script, NODE, directory], {}).result;
  assert.equal(code, 1);
  const { error } = JSON.parse(stdout);
  assert.equal(error.code, 'ERR_TLSHUB_DIRECTORY');
  assert.match(error.message, /in the way/);
  const lines = stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['the daemon cannot start'],
  );
});

test('a starter that has died does not disturb it', async (t) => {
  const directory = tempDir(t);
  // Descriptor 3 is a pipe whose reader is gone.
  const script = '{ "$0" dist/cli/main.js daemon --directory "$1" --ready-fd 3 3>&1 >&2; } | true';
  const shell = spawnProcess('sh', ['-c', script, NODE, directory], {});
  await waitFor(() => shell.stderr.includes('"listening"'), { what: 'the daemon' });
  const { code, stderr } = await runCli(['stop', '-d', directory]);
  assert.equal(code, 0, stderr);
  await shell.result;
});

test('--log-level and TLSHUB_LOG say what is logged, the flag first', async (t) => {
  const quiet = await startTestDaemon(t, { env: { TLSHUB_LOG: 'error' } });
  await quiet.stop();
  assert.equal(quiet.log(), '');
  const loud = await startTestDaemon(t, { env: { TLSHUB_LOG: 'error' }, arguments: ['--log-level', 'info'] });
  assert.match(loud.log(), /"msg":"listening"/);
});
