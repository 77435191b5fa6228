// How many processes a daemon has, when nobody says it and when somebody does.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '#helpers/temp-dir.js';
import { DEFAULT_CONFIG } from '#src/daemon/config.js';
import { parseConfigFile, parseShards } from '#src/daemon/contexts/config-file.js';
import { defaultShards, shardsOf } from '#src/daemon/shards/shard-number.js';
import { writeShardCount } from '#src/link/shard-count.js';
import { MAX_SHARDS } from '#src/protocol/shard.js';

test('1 up to 4 cores, then half the cores', () => {
  const counts = [1, 2, 3, 4, 5, 6, 8, 9, 16, 128, 500].map((cores) => defaultShards(cores));
  assert.deepEqual(counts, [1, 1, 1, 1, 2, 3, 4, 4, 8, 64, MAX_SHARDS]);
});

test('the flag counts before the file, the file before what is left behind, that before the host', (t) => {
  const directory = tempDir(t);
  const config = { ...DEFAULT_CONFIG, directory };
  assert.equal(shardsOf(config), defaultShards());
  // A count alone is of a daemon that ended in order.
  writeShardCount(directory, 7);
  assert.equal(shardsOf(config), defaultShards());
  writeFileSync(join(directory, 'tlshub.s1'), '');
  assert.equal(shardsOf(config), 7);
  const file = join(directory, 'tlshub.toml');
  writeFileSync(file, 'shards = 5\n', { mode: 0o600 });
  assert.equal(shardsOf(config), 5);
  assert.equal(shardsOf({ ...config, shards: 2 }), 2);
  writeFileSync(file, 'shards = 65\n', { mode: 0o600 });
  const message = `${file}: line 1: "shards" must be a whole number from 1 to 64`;
  assert.throws(() => shardsOf(config), { code: 'ERR_TLSHUB_CONFIG', message });
});

test('in the file it stands above the first section, and is a number', () => {
  const text = 'shards = 3\n[context.api]\nside = "client"\n';
  assert.equal(parseShards(text), 3);
  assert.deepEqual([...parseConfigFile(text).contexts.keys()], ['api']);
  assert.equal(parseShards('[context.api]\nside = "client"\n'), undefined);
  for (const value of ['0', '65', '1.5', '"2"', 'true', '[2]']) {
    const refused = { code: 'ERR_TLSHUB_CONFIG', message: /"shards" must be a whole number from 1 to 64/ };
    assert.throws(() => parseConfigFile(`shards = ${value}\n`), refused, value);
  }
});
