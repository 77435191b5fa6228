// The benchmark suite, run for a moment: that it measures what it says, writes what it is asked for, and leaves nothing
// running. Its figures are not judged here.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { NODE, type RunningNode, spawnProcess } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor } from '#helpers/wait-for.js';
import { parseReport } from '../../bench/report/report.ts';

/** Runs the suite; all that it starts has this directory in its environment. */
function spawnSuite(directory: string, args: readonly string[]): RunningNode {
  return spawnProcess(NODE, ['build/bench/run.js', '--no-install', ...args], {
    env: { TMPDIR: directory },
    deadlineMs: 120_000,
  });
}

/** Command lines of the processes that were started with a directory for temporary files. */
function processesOf(directory: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
        if (!environment.includes(`TMPDIR=${directory}`)) return [];
        return [readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')];
      } catch {
        // It has ended, or is another user's.
        return [];
      }
    });
}

test('the suite measures, and writes a report that can be compared', async (t) => {
  const directory = tempDir(t);
  const [json, svg] = [join(directory, 'report.json'), join(directory, 'chart.svg')];
  const args = ['--quick', '--rounds', '1', '--only', 'lease', '--json', json, '--svg', svg];
  const run = await spawnSuite(directory, args).result;
  assert.equal(run.code, 0, run.stderr);
  assert.match(run.stderr, /round 1 of 1: lease-rtt-80/);
  assert.match(run.stdout, /^< open, loopback +node:tls, full handshake +\d/m);
  const report = parseReport(readFileSync(json, 'utf8'));
  assert.deepEqual(
    report.comparisons.map(({ key }) => key),
    [
      ...['lease-rtt-0/open', 'lease-rtt-0/first-byte', 'lease-rtt-0/cpu'],
      ...['lease-rtt-20/open', 'lease-rtt-20/first-byte', 'lease-rtt-80/open', 'lease-rtt-80/first-byte'],
    ],
  );
  for (const { key, figures } of report.comparisons) {
    assert.equal(figures.length, 3, key);
    for (const { median, rounds } of figures) assert.ok(median > 0 && rounds.length === 1, key);
  }
  assert.match(readFileSync(svg, 'utf8'), /^<svg .*tlshub, warm lease.*<\/svg>\n$/s);
  const compared = await spawnSuite(directory, ['--compare', json, json]).result;
  assert.deepEqual([compared.code, compared.stderr], [0, '']);
  assert.equal(compared.stdout, '0 of 21 figures have changed: their ranges do not overlap.\n');
  assert.deepEqual(processesOf(directory), []);
});

test('the suite leaves no process behind when it is interrupted', async (t) => {
  const directory = tempDir(t);
  const run = spawnSuite(directory, ['--quick', '--only', 'connections,accept']);
  await waitFor(() => run.stderr.includes('warming up: accept'), {
    what: 'the suite to run',
    deadlineMs: 60_000,
  });
  assert.ok(processesOf(directory).some((line) => line.includes('dist/cli/main.js daemon')));
  run.child.kill('SIGINT');
  assert.equal((await run.result).code, 1);
  await waitFor(() => processesOf(directory).length === 0, {
    what: () => `the end of ${processesOf(directory).join(', ')}`,
  });
});

test('a command line without sense is refused with the help', async (t) => {
  const { code, stderr, stdout } = await spawnSuite(tempDir(t), ['--only', 'nothing']).result;
  assert.deepEqual([code, stdout], [2, '']);
  assert.match(stderr, /^--only: "nothing" is none of lease, .*--compare OLD NEW/s);
});
