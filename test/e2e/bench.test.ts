// The benchmarks, run for a moment: that they still run, measure what they say, and leave nothing running. Their
// figures are not judged here; a test that measured time would fail on a busy machine.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NODE, spawnProcess } from '#helpers/run-node.js';

async function runBench(name: string, args: readonly string[]): Promise<Record<string, unknown>> {
  const program = [`build/bench/${name}.js`, '--rounds', '1', ...args];
  const json = await spawnProcess(NODE, [...program, '--json'], { deadlineMs: 60_000 }).result;
  assert.deepEqual([json.code, json.stderr], [0, '']);
  return JSON.parse(json.stdout);
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
