// The single programs in examples/ as a reader would run them, against an origin that counts. Those in folders, which
// are about named sessions, are run by examples-named.test.ts.
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { NODE, PACKAGE_ROOT, type RunResult, spawnProcess } from '#helpers/run-node.js';
import { fileScope, type Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';

const file = fileScope();
let ca: Authority;
let leaf: Certificate;
let caFile: string;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost'] });
  caFile = join(tempDir(file), 'ca.pem');
  writeFileSync(caFile, ca.cert);
});

interface Scene {
  origin: CountingOrigin;
  /** Runs a program of examples/ with the origin's URL. */
  run(name: string, options?: { nodeArguments?: string[]; arguments?: string[] }): Promise<RunResult>;
}

async function scene(scope: Scope): Promise<Scene> {
  const origin = await countingOrigin(scope, { ...leaf, behaviour: { kind: 'http' } });
  const daemon = await startTestDaemon(scope);
  const url = `https://localhost:${origin.port}/bytes/1000`;
  return {
    origin,
    run: (name, options = {}) =>
      spawnProcess(
        NODE,
        [...(options.nodeArguments ?? []), join('examples', name), url, ...(options.arguments ?? [caFile])],
        { env: { TLSHUB_DIR: daemon.directory, NODE_EXTRA_CA_CERTS: caFile } },
      ).result,
  };
}

test('P1: get-once.mjs makes a handshake the first time only', async (t) => {
  const { origin, run } = await scene(t);
  for (const [index, handshake] of ['one handshake', 'no handshake', 'no handshake'].entries()) {
    const result = await run('get-once.mjs');
    const stdout = `200, 1000 bytes, ${handshake}\n`;
    assert.deepEqual(result, { code: 0, signal: null, stdout, stderr: '' }, `run ${index}`);
  }
  assert.deepEqual([origin.counts.handshakes, origin.counts.connections, origin.counts.requests], [1, 1, 3]);
});

test('get-once.mjs tells why it failed', async (t) => {
  const { run } = await scene(t);
  const wrongCa = join(tempDir(t), 'ca.pem');
  writeFileSync(wrongCa, (await createCa({ name: 'Strange root' })).cert);
  const result = await run('get-once.mjs', { arguments: [wrongCa] });
  assert.deepEqual([result.code, result.stdout], [1, '']);
  assert.match(result.stderr, /^UNABLE_TO_VERIFY_LEAF_SIGNATURE: /);
});

test('agent.mjs asks twenty times over four sessions, and a second worker uses them again', async (t) => {
  const { origin, run } = await scene(t);
  for (let worker = 1; worker <= 2; worker += 1) {
    const result = await run('agent.mjs');
    assert.deepEqual([result.code, result.stderr], [0, '']);
    const lines = `20 requests, all 200\n4 sessions to localhost:${origin.port} in the daemon\n`;
    assert.equal(result.stdout, lines);
    assert.deepEqual([origin.counts.connections, origin.counts.requests], [4, worker * 20]);
  }
});

test('P6: hand-over.mjs has one request written by two processes', async (t) => {
  const { origin, run } = await scene(t);
  const result = await run('hand-over.mjs');
  assert.deepEqual([result.code, result.stderr], [0, '']);
  const pids = /^process (\d+) wrote .*\nprocess (\d+) read the answer: HTTP\/1\.1 200 OK\n$/.exec(
    result.stdout,
  );
  assert.notEqual(pids, null, result.stdout);
  assert.notEqual(pids?.[1], pids?.[2]);
  assert.deepEqual([origin.counts.handshakes, origin.counts.requests], [1, 1]);
});

test('P1: unchanged.mjs shares with --import tlshub/register, and only then', async (t) => {
  const { origin, run } = await scene(t);
  for (let count = 0; count < 2; count += 1) {
    const result = await run('unchanged.mjs', { arguments: [] });
    assert.deepEqual([result.code, result.stdout], [0, '200, 1000 bytes\n']);
  }
  assert.equal(origin.counts.connections, 2);
  for (let count = 0; count < 3; count += 1) {
    const result = await run('unchanged.mjs', {
      nodeArguments: ['--import', 'tlshub/register'],
      arguments: [],
    });
    assert.deepEqual([result.code, result.stdout, result.stderr], [0, '200, 1000 bytes\n', '']);
  }
  assert.equal(origin.counts.connections, 3);
});

test('there is no single program that is not tested here', () => {
  const names = readdirSync(join(PACKAGE_ROOT, 'examples'));
  // What the examples in folders have in common is no program.
  const programs = names.filter((name) => name.endsWith('.mjs') && name !== 'scene.mjs').sort();
  assert.deepEqual(programs, ['agent.mjs', 'get-once.mjs', 'hand-over.mjs', 'unchanged.mjs']);
});
