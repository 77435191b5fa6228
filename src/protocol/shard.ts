// Several daemon processes behind one directory: which of them a request belongs to. Pure, and the same at both ends, so
// that a process goes straight to the owner and the owner can tell who went astray. Nothing here may depend on the process.
import { canonicalSessionKey, type SessionKey } from './session-key.ts';

/** Most shards of one directory: two digits in a handle and in the name of a socket. */
export const MAX_SHARDS = 64;

const HANDLE_SHARD = /^tlshub1\.([0-9a-f]{2})/;
const SESSION_SHARD = /^s([1-9]\d?)-/;

/**
 * The shard of a text: its 32-bit FNV-1a hash over the bytes of UTF-8, modulo the number of shards.
 * @param text what decides
 * @param count number of shards
 */
export function shardOf(text: string, count: number): number {
  if (count === 1) return 0;
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % count;
}

/** The shard of requests with a session key. */
export function shardOfKey(key: SessionKey, count: number): number {
  return count === 1 ? 0 : shardOf(canonicalSessionKey(key), count);
}

/** The shard that issued a handle: the first two digits of its generation. */
export function shardOfHandle(handle: string): number {
  return Number.parseInt(HANDLE_SHARD.exec(handle)?.[1] ?? '0', 16);
}

/** The shard of a session by its id: `s12` is of shard 0, `s3-12` of shard 3. */
export function shardOfSession(id: string): number {
  return Number(SESSION_SHARD.exec(id)?.[1] ?? 0);
}

/** Beginning of the ids of a shard's sessions. */
export function sessionIdPrefix(shard: number): string {
  return shard === 0 ? 's' : `s${shard}-`;
}
