// Runs the compiled test files with Node's test runner: all of them, or those whose path contains an argument.
// Node 20 knows no globs here, so the files are found by hand.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const wanted = process.argv.slice(2);
const files = readdirSync('build/test', { recursive: true })
  .map((name) => join('build/test', String(name)))
  .filter((path) => path.endsWith('.test.js'))
  .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(' ')}`);
  process.exit(1);
}
const run = spawnSync(
  process.execPath,
  ['--test', '--test-concurrency=2', '--test-timeout=300000', ...files],
  // A daemon that a test starts is one process, whatever the number of cores, unless the test says otherwise.
  { stdio: 'inherit', env: { ...process.env, TLSHUB_SHARDS: '1' } },
);
process.exit(run.status ?? 1);
