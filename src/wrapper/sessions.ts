// tls.sessions: the sessions of this user that the daemon holds.
import { codeOf } from '../errors.ts';
import { socketDirectory } from '../link/socket-path.ts';
import type { SessionReport } from '../protocol/session-report.ts';
import { DaemonLink } from './daemon-link.ts';
import { shardCount } from './shards.ts';

/** One session. */
export type SessionInfo = SessionReport;

/**
 * Lists the sessions of this user. Answers none when no daemon runs; it starts none. Rejects with ERR_TLSHUB_VERSION
 * or ERR_TLSHUB_DAEMON_LOST.
 */
export async function sessions(): Promise<SessionInfo[]> {
  const directory = socketDirectory();
  const shards = Array.from({ length: shardCount(directory) }, (_, shard) => sessionsOf(directory, shard));
  return (await Promise.all(shards)).flat();
}

async function sessionsOf(directory: string, shard: number): Promise<SessionInfo[]> {
  try {
    const reply = await DaemonLink.for(directory, false, shard).call('sessions', {});
    return reply.sessions as SessionInfo[];
  } catch (error) {
    if (codeOf(error) === 'ERR_TLSHUB_DAEMON_UNREACHABLE') return [];
    throw error;
  }
}
