// Where one daemon process stands among those of its directory (shards), and what is not its own: sessions of other keys,
// names and handles. Who asks for such is told whom to ask; nothing is passed on.
import { TlshubError } from '../../errors.ts';
import type { SessionKey } from '../../protocol/session-key.ts';
import { shardOf, shardOfHandle, shardOfKey } from '../../protocol/shard.ts';

/** One daemon process of several. */
export class ShardPlace {
  /** Its number, from 0. */
  readonly shard: number;
  /** How many there are; 1 is a daemon as a whole. */
  readonly count: number;

  constructor(shard: number, count: number) {
    this.shard = shard;
    this.count = count;
  }

  /** True when sessions of this key are its own. */
  owns(key: SessionKey): boolean {
    return shardOfKey(key, this.count) === this.shard;
  }

  /** Throws ERR_TLSHUB_OTHER_SHARD when sessions of this key are another shard's. */
  refuseKey(key: SessionKey): void {
    if (this.count > 1) this.#refuse(shardOfKey(key, this.count));
  }

  /** Throws ERR_TLSHUB_OTHER_SHARD when the handle was issued by another shard that is there. */
  refuseHandle(handle: string): void {
    if (this.count === 1) return;
    const shard = shardOfHandle(handle);
    if (shard < this.count) this.#refuse(shard);
  }

  /** The shard that knows whose a name is. */
  homeOf(name: string): number {
    return shardOf(name, this.count);
  }

  #refuse(shard: number): void {
    if (shard !== this.shard) throw otherShard(shard);
  }
}

/** The error that sends a process to another shard. */
export function otherShard(shard: number): TlshubError {
  const error = new TlshubError(
    'ERR_TLSHUB_OTHER_SHARD',
    `process ${shard} of the daemon has what is asked for`,
  );
  return Object.assign(error, { shard });
}
