// Which of the directory's daemon processes (shards) this process goes to for what. The number of them is read from the
// directory once and again after any trouble; who has an old number is told so by the daemon and asks again.
import { readShardCount } from '../link/shard-count.ts';
import type { ListenAddress } from '../protocol/server-key.ts';
import type { SessionKey } from '../protocol/session-key.ts';
import { looksLikeHandle } from '../protocol/session-name.ts';
import { shardOf, shardOfHandle, shardOfKey } from '../protocol/shard.ts';

const counts = new Map<string, number>();

/** The number of shards that serve a directory, as far as this process knows. */
export function shardCount(directory: string): number {
  let count = counts.get(directory);
  if (count === undefined) {
    count = readShardCount(directory);
    counts.set(directory, count);
  }
  return count;
}

/** The number may have changed: it is read again when it is needed next. */
export function forgetShardCount(directory: string): void {
  counts.delete(directory);
}

/** What a lane may be wanted for. */
type Wanted =
  | { call: 'lease'; key: SessionKey; named: { name: string } | undefined }
  | { call: 'attach'; handle: string };

/** The shard that has what a lane is wanted for. */
export function shardFor(directory: string, wanted: Wanted): number {
  const count = shardCount(directory);
  if (count === 1) return 0;
  if (wanted.call === 'lease')
    return wanted.named === undefined ? shardOfKey(wanted.key, count) : shardOf(wanted.named.name, count);
  if (!looksLikeHandle(wanted.handle)) return shardOf(wanted.handle, count);
  const shard = shardOfHandle(wanted.handle);
  // Of more processes than there are now: any of them knows that it is stale.
  return shard < count ? shard : 0;
}

/**
 * The shards that may have a port, the one that should first: workers with one name, or with the same address, meet there.
 * Others may have it when the port was chosen by the system, or by a worker without the name.
 */
export function shardsForPort(directory: string, address: ListenAddress, name: string | null): number[] {
  const count = shardCount(directory);
  const { port, path } = address;
  const own = port === 0 ? process.pid % count : shardOf(path ?? `port ${port}`, count);
  const first = name === null || path !== null ? own : shardOf(`name ${name}`, count);
  return Array.from({ length: count }, (_, index) => (first + index) % count);
}
