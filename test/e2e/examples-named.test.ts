// The examples of named sessions as a reader would run them: each brings its own server and daemon.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NODE, type RunResult, spawnProcess } from '#helpers/run-node.js';

function run(name: string, ...args: string[]): Promise<RunResult> {
  const options = { env: { TLSHUB_DIR: undefined }, deadlineMs: 60_000 };
  return spawnProcess(NODE, [`examples/${name}/run.mjs`, ...args], options).result;
}

test('P6: reader-and-writer: one process reads, another answers, on one handshake', async () => {
  const { code, stdout, stderr } = await run('reader-and-writer');
  assert.deepEqual([code, stderr], [0, '']);
  const seen = /^process (\d+) read: what is 6 times 7\?\nprocess (\d+) wrote: 42\n/.exec(stdout);
  assert.notEqual(seen, null, stdout);
  assert.notEqual(seen?.[1], seen?.[2]);
  assert.match(stdout, /the upstream got: 42\nhandshakes: 1\n$/);
});

test('P1: log-shipper: fifty processes, one handshake, every record whole and none missing', async () => {
  const { code, stdout, stderr } = await run('log-shipper', '50', '10');
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal(stdout, '50 processes, 500 records whole, 0 broken, 0 missing\nhandshakes: 1\n');
});

test('inbox: a session without a process wakes a shell script', async () => {
  const { code, stdout, stderr } = await run('inbox');
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal(
    stdout,
    `parked: inbox, held by 0 processes
the script answered: thank you for a letter for you
in the mailbox: data: a letter for you
`,
  );
});
