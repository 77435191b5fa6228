// The file that says how many daemon processes (shards) serve a directory. The first of them writes it before it listens;
// without the file there is one. Read by wrappers when they first connect, and by the command line.
import { closeSync, constants, openSync, readSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_SHARDS } from '../protocol/shard.ts';

/** Name of the file in the directory of the socket. */
export const SHARD_COUNT_NAME = 'shards';

const MAX_TEXT_BYTES = 8;
const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;

/**
 * The number of shards that serve a directory: 1 where nothing, or nothing that makes sense, says otherwise. It is no
 * authority: who goes to the wrong shard is told the right one.
 */
export function readShardCount(directory: string): number {
  let fd: number;
  try {
    // The directory may not have been checked yet: a pipe in the place of the file must not hold this process up.
    fd = openSync(join(directory, SHARD_COUNT_NAME), O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  } catch {
    return 1;
  }
  try {
    const text = Buffer.alloc(MAX_TEXT_BYTES);
    const count = Number(text.toString('latin1', 0, readSync(fd, text, 0, text.length, 0)));
    return Number.isInteger(count) && count >= 1 && count <= MAX_SHARDS ? count : 1;
  } catch {
    return 1;
  } finally {
    closeSync(fd);
  }
}

/** Writes the file, all at once; only for the first shard, which has the lock of the directory. */
export function writeShardCount(directory: string, count: number): void {
  const path = join(directory, SHARD_COUNT_NAME);
  if (count === 1) {
    rmSync(path, { force: true });
    return;
  }
  writeFileSync(`${path}.new`, `${count}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
