// `tlshub demo` with real processes: its figures against another counter, and that it leaves nothing behind.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { countingOrigin } from '#helpers/counting-origin.js';
import { unusedPort } from '#helpers/listen.js';
import { NODE, runCli, spawnProcess } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import type { DemoReport } from '#src/cli/demo/run-demo.js';

const file = fileScope();
let ca: Authority;
let leaf: Certificate;
let caFile: string;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
  caFile = join(tempDir(file), 'ca.pem');
  writeFileSync(caFile, ca.cert);
});

/** Fails unless the demo's directory is gone and no process names it any more. */
async function assertNothingLeft(directory: string): Promise<void> {
  assert.deepEqual(readdirSync(directory), []);
  await waitFor(() => processesNaming(directory).length === 0, {
    what: () => `the end of ${processesNaming(directory)}`,
  });
}

function processesNaming(text: string): string[] {
  const lines = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    });
  return lines.filter((line) => line.includes(text));
}

test('P1: without sharing as many handshakes as processes, with it one, and every byte verified', async (t) => {
  const directory = tempDir(t);
  const result = await runCli(['demo', '--count', '4', '--delay', '0', '--json'], {
    env: { TMPDIR: directory },
  });
  assert.deepEqual([result.code, result.stderr], [0, '']);
  const { direct, shared, url, roundTripMs }: DemoReport = JSON.parse(result.stdout);
  assert.deepEqual([url, roundTripMs], [null, 0]);
  assert.deepEqual([direct.handshakes, direct.handshakesCountedBy, direct.reused], [4, 'origin', 0]);
  assert.deepEqual([shared.handshakes, shared.handshakesCountedBy, shared.reused], [1, 'origin', 3]);
  assert.deepEqual([direct.bytesVerified, shared.bytesVerified], [4 * 65_536, 4 * 65_536]);
  for (const { connectMs } of [direct, shared])
    assert.ok(0 < connectMs.p50 && connectMs.p50 <= connectMs.p99);
  await assertNothingLeft(directory);
});

test('for people it prints a table, and shows on standard error how far it is', async (t) => {
  const directory = tempDir(t);
  const result = await runCli(['demo', '--count', '2'], { env: { TMPDIR: directory } });
  const phases = 'starting …\nwithout sharing: 2 processes …\nwith sharing: 2 processes …\n';
  assert.deepEqual([result.code, result.stderr], [0, phases]);
  assert.match(result.stdout, /^2 processes of each kind, .* 20 ms away /);
  assert.match(result.stdout, /\nwithout sharing +2 +\d+\.\d\d ms +\d+\.\d\d ms +128 KiB /);
  assert.match(result.stdout, /\nwith sharing +1 +\d+\.\d\d ms +\d+\.\d\d ms +128 KiB /);
});

test('--delay adds round trips: two to a handshake, none to a shared session', async (t) => {
  const args = ['demo', '--count', '3', '--delay', '120ms', '--json'];
  const result = await runCli(args, { env: { TMPDIR: tempDir(t) } });
  assert.deepEqual([result.code, result.stderr], [0, '']);
  const { direct, shared, roundTripMs }: DemoReport = JSON.parse(result.stdout);
  assert.equal(roundTripMs, 120);
  // TCP and TLS 1.3 take one each; no timer ends early, so that is a lower bound on any machine.
  assert.ok(direct.connectMs.p50 >= 2 * 120, `${direct.connectMs.p50} ms`);
  assert.ok(shared.connectMs.p50 < direct.connectMs.p50 / 2, `${shared.connectMs.p50} ms`);
});

test("--url asks the user's own server, which sees the handshakes that were reported", async (t) => {
  const directory = tempDir(t);
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  const url = `https://localhost:${origin.port}/bytes/5000`;
  const args = ['demo', '--url', url, '--ca', caFile, '--count', '3', '--json'];
  const result = await runCli(args, { env: { TMPDIR: directory } });
  assert.deepEqual([result.code, result.stderr], [0, '']);
  const { direct, shared }: DemoReport = JSON.parse(result.stdout);
  assert.deepEqual([direct.handshakes, direct.handshakesCountedBy], [3, 'processes']);
  assert.deepEqual([shared.handshakes, shared.handshakesCountedBy, shared.reused], [1, 'daemon', 2]);
  assert.deepEqual([direct.bytesVerified, shared.bytesVerified], [15_000, 15_000]);
  assert.deepEqual([direct.statuses, shared.statuses], [[200], [200]]);
  assert.deepEqual([origin.counts.handshakes, origin.counts.requests], [4, 6]);
  await assertNothingLeft(directory);
});

test('a server that closes after each answer is reported as one that cannot be shared', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  const url = `https://localhost:${origin.port}/close`;
  const result = await runCli(['demo', '--url', url, '--ca', caFile, '--count', '2'], {
    env: { TMPDIR: tempDir(t) },
  });
  assert.equal(result.code, 0);
  assert.match(result.stdout, /The server closed the connection after 2 of 2 answers/);
  assert.match(result.stdout, /\nwith sharing +2 /);
});

test('a wrong server or CA is exit code 1 with the code of node:tls; nothing is left', async (t) => {
  const directory = tempDir(t);
  const strange = await createCa({ name: 'Strange root' });
  const strangeFile = join(tempDir(t), 'strange.pem');
  writeFileSync(strangeFile, strange.cert);
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  const cases: readonly (readonly [port: number, trusted: string, code: string])[] = [
    [origin.port, strangeFile, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    [await unusedPort(), caFile, 'ECONNREFUSED'],
  ];
  for (const [port, trusted, code] of cases) {
    const args = ['demo', '--url', `https://localhost:${port}/`, '--ca', trusted, '--json'];
    const result = await runCli(args, { env: { TMPDIR: directory } });
    assert.deepEqual([result.code, result.stdout], [1, '']);
    assert.equal(JSON.parse(result.stderr).error.code, code);
    assert.match(JSON.parse(result.stderr).error.message, /^process 1 \(direct\): /);
  }
  await assertNothingLeft(directory);
});

test('wrong command lines are exit code 2', async (t) => {
  const wrong: readonly (readonly string[])[] = [
    ['--url', 'localhost:443'],
    ['--url', 'http://localhost/'],
    ['--url', 'https://localhost/', '--ca', join(caFile, 'nothing')],
    ['--url', 'https://localhost/', '--delay', '10ms'],
    ['--ca', caFile],
    ['--count', '0'],
    ['--delay', '10'],
  ];
  const directory = tempDir(t);
  for (const args of wrong) {
    const result = await runCli(['demo', ...args], { env: { TMPDIR: directory } });
    assert.deepEqual([result.code, result.stdout], [2, ''], args.join(' '));
    assert.match(result.stderr, /code: USAGE/, args.join(' '));
  }
  await assertNothingLeft(directory);
});

for (const phase of ['starting', 'without sharing', 'with sharing']) {
  test(`Ctrl-C in the phase "${phase}" cleans up; exit code 130`, async (t) => {
    const directory = tempDir(t);
    // The last phase is reached soon only with few processes.
    const count = phase === 'with sharing' ? '3' : '1000';
    const running = spawnProcess(NODE, ['dist/cli/main.js', 'demo', '--count', count], {
      env: { TMPDIR: directory },
    });
    t.after(() => void running.child.kill('SIGKILL'));
    await waitFor(() => running.stderr.includes(phase), { what: phase });
    running.child.kill('SIGINT');
    const result = await running.result;
    assert.deepEqual([result.code, result.stdout], [130, '']);
    await assertNothingLeft(directory);
  });
}
