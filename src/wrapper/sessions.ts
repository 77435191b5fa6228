// tls.sessions: the sessions of this user that the daemon holds.
import { codeOf } from '../errors.ts';
import { socketDirectory } from '../link/socket-path.ts';
import { DaemonLink } from './daemon-link.ts';

/** One session; PROTOCOL.md (`sessions`) describes each field. */
export interface SessionInfo {
  id: string;
  state: string;
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
  ageMs: number;
  stateMs: number;
  bytesFromPeer: number;
  bytesToPeer: number;
  bufferedBytes: number;
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
