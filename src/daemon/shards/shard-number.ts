// How many daemon processes there are: what the command line says, else the configuration file, else as many as those that a
// daemon has left behind which did not end in order, else by the host.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { messageOf, TlshubError } from '../../errors.ts';
import { readShardCount } from '../../link/shard-count.ts';
import { socketName } from '../../link/socket-path.ts';
import { MAX_SHARDS } from '../../protocol/shard.ts';
import { CONFIG_NAME, type DaemonConfig } from '../config.ts';
import { parseShards } from '../contexts/config-file.ts';
import { readGuardedFile } from '../contexts/guarded-file.ts';

/** Cores up to which one process serves all. */
const CORES_OF_ONE = 4;

/** The number where nobody says otherwise: 1 up to 4 cores, then half the cores. */
export function defaultShards(cores = availableParallelism()): number {
  return cores <= CORES_OF_ONE ? 1 : Math.min(MAX_SHARDS, Math.floor(cores / 2));
}

/** The number for a configuration. Throws ERR_TLSHUB_CONFIG for a file that cannot be used. */
export function shardsOf({ shards, configFile, directory }: DaemonConfig): number {
  if (shards !== null) return shards;
  const file = configFile ?? join(directory, CONFIG_NAME);
  return (configFile !== null || existsSync(file) ? shardsIn(file) : undefined) ?? leftShards(directory);
}

function shardsIn(file: string): number | undefined {
  const text = readGuardedFile(file, 'public').toString('utf8');
  try {
    return parseShards(text);
  } catch (error) {
    throw new TlshubError('ERR_TLSHUB_CONFIG', `${file}: ${messageOf(error)}`);
  }
}

/** When only the first process has died, the others live on with their sessions and are wanted again. */
function leftShards(directory: string): number {
  return existsSync(join(directory, socketName(1))) ? readShardCount(directory) : defaultShards();
}
