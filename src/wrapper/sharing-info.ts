// What `socket.sharing` tells an application about the sharing of its socket.
import type { LaneReply } from '../protocol/messages.ts';

/** Whether and how a socket shares a session of the daemon. */
export interface SharingInfo {
  /** True when the session lives in the daemon; known when `secureConnect` is emitted. */
  shared: boolean;
  /** True when the session was open before this socket asked: there was no handshake, and a login may be done. */
  reused: boolean;
  /** The daemon's id of the session (`tlshub inspect`). */
  sessionId: string | null;
  /** Name of a named session. */
  name: string | null;
  /** Named sessions: offset in the peer's stream of the first byte that this socket gets. */
  resumedAt: number | null;
  /** Named sessions: offset in our own stream of the first byte that this socket writes. */
  writtenAt: number | null;
  /** Why the session is not shared, or did not go back to the pool. */
  reason: string | null;
}

/** The state before anything is known. */
export function undecided(): SharingInfo {
  return {
    shared: false,
    reused: false,
    sessionId: null,
    name: null,
    resumedAt: null,
    writtenAt: null,
    reason: null,
  };
}

/** What the daemon's reply says. */
export function describeSharing(reply: Extract<LaneReply, { rc: 1 }>): SharingInfo {
  const { reused, session: sessionId, framed } = reply;
  const { name = null, resumedAt = null, writtenAt = null } = framed ?? {};
  return { shared: true, reused, sessionId, name, resumedAt, writtenAt, reason: null };
}
