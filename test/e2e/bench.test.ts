// The benchmarks, run for a moment: that they still run, measure what they say, and leave nothing running. Their
// figures are not judged here; a test that measured time would fail on a busy machine.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NODE, type RunResult, spawnProcess } from '#helpers/run-node.js';

function spawnBench(name: string, args: readonly string[]): Promise<RunResult> {
  const program = [`build/bench/${name}.js`, '--rounds', '1', ...args];
  return spawnProcess(NODE, [...program, '--json'], { deadlineMs: 60_000 }).result;
}

async function runBench(name: string, args: readonly string[]): Promise<Record<string, unknown>> {
  const json = await spawnBench(name, args);
  assert.deepEqual([json.code, json.stderr], [0, '']);
  return JSON.parse(json.stdout);
}

/** The kinds of servers of a benchmark that can run here: HAProxy is no part of the project. */
async function serverKinds(kinds: readonly string[]): Promise<string[]> {
  const probe = await spawnBench('accept', [
    '--kinds',
    'haproxy-tcp',
    '--connections',
    '1',
    '--warm-up',
    '1',
  ]);
  if (probe.code === 0) return [...kinds];
  assert.match(probe.stderr, /apt-get install haproxy/);
  return kinds.filter((kind) => !kind.startsWith('haproxy'));
}

function assertPositive(value: unknown, path: string): void {
  if (typeof value === 'number') assert.ok(value >= 0 && Number.isFinite(value), `${path}: ${value}`);
  else for (const [name, part] of Object.entries(value as object)) assertPositive(part, `${path}.${name}`);
}

test('bench:lease measures three ways to open, and many held sessions', async () => {
  const report = await runBench('lease', ['--samples', '5', '--warm-up', '5', '--held', '30']);
  for (const table of ['open', 'firstByte', 'ratios', 'cpuUs', 'held']) {
    assertPositive(report[table], table);
  }
  assert.deepEqual(Object.keys(report.open as object), [
    ...['full', 'full far', 'resumed', 'resumed far', 'lease', 'lease far'],
  ]);
});

test('bench:https measures requests in three ways', async () => {
  const report = await runBench('https', ['--requests', '20', '--connections', '2']);
  const kinds = report.kinds as Record<string, object>;
  assert.deepEqual(Object.keys(kinds), ['direct', 'kept lease', 'agent']);
  assertPositive(kinds, 'kinds');
});

for (const flags of [['--key', 'rsa'], ['--resume'], ['--http']]) {
  test(`bench:accept ${flags.join(' ')} measures new connections to every kind of server`, async () => {
    const http = flags.includes('--http') ? ['haproxy-http'] : [];
    const expected = await serverKinds(['tls', 'haproxy-tcp', ...http, 'tlshub-raw', 'tlshub-framed']);
    const counts = ['--connections', '10', '--in-flight', '4', '--warm-up', '5'];
    const { kinds, ratios } = await runBench('accept', [...counts, ...flags, '--kinds', expected.join()]);
    assert.deepEqual(Object.keys(kinds as object), expected);
    assertPositive({ kinds, ratios }, 'report');
  });
}

test('bench:serve measures requests to every kind of server', async () => {
  const expected = await serverKinds(['tls', 'haproxy-tcp', 'haproxy-http', 'tlshub-raw', 'tlshub-framed']);
  const counts = ['--requests', '40', '--connections', '4', '--warm-up', '8', '--bytes', '20000'];
  const { kinds, ratios } = await runBench('serve', [...counts, '--kinds', expected.join()]);
  assert.deepEqual(Object.keys(kinds as object), expected);
  assertPositive({ kinds, ratios }, 'report');
});

test('a kind of server that there is not is a failure', async () => {
  const { code, stderr } = await spawnBench('accept', ['--kinds', 'haproxy-http']);
  assert.equal(code, 1);
  assert.match(stderr, /"haproxy-http" is none of tls, haproxy-tcp, tlshub-raw, tlshub-framed/);
});
