// The verbs against a running daemon: what they print for people, and that their JSON is JSON.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runCli } from '#helpers/run-node.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { codeOf } from '#src/errors.js';
import { holdSession } from './held-session.ts';

/** Standard output of a verb that must succeed without a word on standard error. */
async function output(directory: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCli([...args, '--directory', directory]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  return stdout;
}

async function json(directory: string, ...args: string[]) {
  const text = await output(directory, ...args, '--json');
  assert.equal(text.indexOf('\n'), text.length - 1, 'one line');
  return JSON.parse(text);
}

/** A directory with a daemon that `tlshub start` has started, stopped with the test. */
async function started(t: TestContext, ...flags: string[]) {
  const parent = mkdtempSync(join(tmpdir(), 'th-'));
  const directory = join(parent, 'd');
  t.after(async () => {
    await runCli(['stop', '--now', '--directory', directory]);
    rmSync(parent, { recursive: true, force: true });
  });
  const report = await json(directory, 'start', ...flags);
  return { directory, report };
}

test('start says what it started, and that it runs already', async (t) => {
  const { directory, report } = await started(t);
  const socket = join(directory, 'tlshub.sock');
  assert.deepEqual(
    { ...report, pid: 0, version: '' },
    { started: true, directory, socket, pid: 0, version: '' },
  );
  assert.deepEqual(await json(directory, 'start'), { ...report, started: false });
  assert.equal(await output(directory, 'start'), `running already: process ${report.pid}, ${socket}\n`);
});

test('start passes its flags to the daemon, and says when it is too late for them', async (t) => {
  const { directory } = await started(t, '--idle-exit', '300ms', '--max-sessions', '5');
  const late = await runCli(['start', '--pool-idle', '5s', '-d', directory]);
  assert.match(late.stderr, /it keeps the flags that it was started with/);
  await waitFor(() => !existsSync(join(directory, 'tlshub.sock')), { what: 'its end after idle-exit' });
});

test('status is a record for people and an object for programs', async (t) => {
  const { directory, report } = await started(t);
  const status = await json(directory, 'status');
  assert.equal(status.pid, report.pid);
  assert.equal(typeof status.counters, 'object');
  const text = await output(directory, 'status');
  assert.match(text, new RegExp(`^pid +${report.pid}$`, 'm'));
  assert.match(text, /^sessions\n(?: {2}\w+ +0\n)* {2}leased +0$/m);
  assert.match(text, /^uptime +\d+(ms|s)/m);
});

test('sessions, inspect and close look at a session and end it; P13: nothing secret is shown', async (t) => {
  const daemon = await startTestDaemon(t);
  const { directory } = daemon;
  assert.equal(await output(directory, 'sessions'), 'no sessions\n');
  assert.deepEqual(await json(directory, 'sessions'), []);

  const { socket, port, clientKey } = await holdSession(t, directory);
  const [session, ...others] = await json(directory, 'sessions');
  assert.deepEqual(others, []);
  assert.equal(session.peer, `127.0.0.1:${port}`);
  assert.equal(session.state, 'leased');
  assert.equal(session.holders[0].pid, process.pid);
  const [heading, row] = (await output(directory, 'sessions')).split('\n');
  assert.match(heading ?? '', /^ID +STATE +PEER +SNI +ALPN +PROTOCOL /);
  assert.match(row ?? '', new RegExp(`^${session.id} +leased +127\\.0\\.0\\.1:${port} +localhost `));

  const detail = await json(directory, 'inspect', session.id);
  assert.equal(detail.id, session.id);
  assert.equal(detail.key.servername, 'localhost');
  const text = await output(directory, 'inspect', session.id);
  assert.match(text, new RegExp(`^peer +127\\.0\\.0\\.1:${port}$`, 'm'));
  const shown = JSON.stringify(detail) + text + daemon.log();
  const secrets = [clientKey, Buffer.from(clientKey).toString('base64'), clientKey.split('\n')[1] ?? '?'];
  for (const secret of secrets) assert.equal(shown.includes(secret), false);

  const failure = new Promise<Error>((resolve) => socket.once('error', resolve));
  assert.deepEqual(await json(directory, 'close', session.id), { closed: session.id });
  assert.equal(codeOf(await within(failure, { what: 'the error' })), 'ERR_TLSHUB_CLOSED');
  assert.deepEqual(await json(directory, 'sessions'), []);

  const again = await runCli(['close', session.id, '-d', directory]);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /code: ERR_TLSHUB_SESSION_UNKNOWN\n {2}help: "tlshub sessions" lists the ids/);
});

test('stop waits for the end; what is under way may finish', async (t) => {
  const daemon = await startTestDaemon(t);
  const { socket } = await holdSession(t, daemon.directory);
  const stop = json(daemon.directory, 'stop', '--deadline', '1h');
  await waitFor(() => daemon.log().includes('"draining"'), { what: 'the drain' });
  socket.write('one more\n');
  await waitFor(() => String(socket.read() ?? '') === 'ok one more\n', { what: 'the answer' });
  assert.equal(daemon.child.exitCode, null);
  socket.end();
  assert.deepEqual(await within(stop, { what: 'stop' }), { stopped: true, pid: daemon.pid });
  await waitFor(() => daemon.child.exitCode !== null, { what: 'its end' });
  assert.equal(daemon.child.exitCode, 0);
});

test('stop --now does not wait for lanes', async (t) => {
  const daemon = await startTestDaemon(t);
  const { socket } = await holdSession(t, daemon.directory);
  const failure = new Promise<Error>((resolve) => socket.once('error', resolve));
  assert.equal(await output(daemon.directory, 'stop', '--now'), '');
  assert.equal(codeOf(await within(failure, { what: 'the error' })), 'ERR_TLSHUB_DRAINING');
});

test('drain returns at once, and a successor can start while the old daemon finishes', async (t) => {
  const old = await startTestDaemon(t);
  const { socket } = await holdSession(t, old.directory);
  assert.deepEqual(await json(old.directory, 'drain', '--deadline', '1h'), { draining: true });
  assert.equal((await runCli(['status', '-d', old.directory])).code, 3);
  const successor = await startTestDaemon(t, { directory: old.directory });
  assert.equal((await json(old.directory, 'status')).pid, successor.pid);
  assert.equal(old.child.exitCode, null);
  socket.write('still served\n');
  await waitFor(() => String(socket.read() ?? '') === 'ok still served\n', { what: 'the answer' });
});
