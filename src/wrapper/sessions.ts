// tls.sessions: the sessions of this user that the daemon holds.
import { codeOf } from '../errors.ts';
import { socketDirectory } from '../link/socket-path.ts';
import type { SessionMode } from '../protocol/session-name.ts';
import { DaemonLink } from './daemon-link.ts';

/** One session; PROTOCOL.md (`sessions`) describes each field. */
export interface SessionInfo {
  id: string;
  state: string;
  name: string | null;
  mode: SessionMode | null;
  side: string;
  peer: string;
  servername: string | null;
  alpn: string | null;
  protocol: string | null;
  cipher: string | null;
  authorized: boolean;
  resumed: boolean;
  leases: number;
  holders: { pid: number | null; uid: number }[];
  waiting: number;
  parked: { program: string; reason: string | null; tries: number } | null;
  ageMs: number;
  stateMs: number;
  idleMs: number;
  bytesFromPeer: number;
  bytesToPeer: number;
  receivedOffset: number | null;
  committedOffset: number | null;
  unreadBytes: number;
  bufferedBytes: number;
  writes: number;
  waits: number;
  waitMs: number;
  reason: string | null;
}

/**
 * Lists the sessions of this user. Answers none when no daemon runs; it starts none. Rejects with ERR_TLSHUB_VERSION
 * or ERR_TLSHUB_DAEMON_LOST.
 */
export async function sessions(): Promise<SessionInfo[]> {
  try {
    const reply = await DaemonLink.for(socketDirectory(), false).call('sessions', {});
    return reply.sessions as SessionInfo[];
  } catch (error) {
    if (codeOf(error) === 'ERR_TLSHUB_DAEMON_UNREACHABLE') return [];
    throw error;
  }
}
