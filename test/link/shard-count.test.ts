// The file with the number of shards: written at once, and believed only when it makes sense.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '#helpers/temp-dir.js';
import { readShardCount, SHARD_COUNT_NAME, writeShardCount } from '#src/link/shard-count.js';

test('what was written is read; one shard needs no file', (t) => {
  const directory = tempDir(t);
  assert.equal(readShardCount(directory), 1);
  for (const count of [2, 64, 10]) {
    writeShardCount(directory, count);
    assert.equal(readShardCount(directory), count);
    assert.deepEqual(readdirSync(directory), [SHARD_COUNT_NAME]);
    assert.equal(statSync(join(directory, SHARD_COUNT_NAME)).mode & 0o777, 0o600);
  }
  writeShardCount(directory, 1);
  assert.equal(existsSync(join(directory, SHARD_COUNT_NAME)), false);
  writeShardCount(directory, 1);
});

test('anything else means one', (t) => {
  const directory = tempDir(t);
  const path = join(directory, SHARD_COUNT_NAME);
  for (const text of ['', '0', '65', '-1', '1.5', 'x', '3x', '9'.repeat(100), '\0\0']) {
    writeFileSync(path, text);
    assert.equal(readShardCount(directory), 1, JSON.stringify(text));
  }
  rmSync(path);
  symlinkSync('/proc/self/stat', path);
  assert.equal(readShardCount(directory), 1);
  rmSync(path);
  // Opening a pipe would wait for somebody who writes.
  execFileSync('mkfifo', [path]);
  assert.equal(readShardCount(directory), 1);
  assert.equal(readShardCount(join(directory, 'absent')), 1);
});
