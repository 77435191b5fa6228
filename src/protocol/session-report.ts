// What the daemon tells of one session, in the replies of `sessions` and `inspect`.
import type { SessionMode } from './session-name.ts';

/** Which end of the TLS connection the daemon is. */
export type SessionSide = 'client' | 'server';

/** Why a command is started. */
export type ActivationReason = 'data' | 'close' | 'error' | 'timeout';

/** The command that a parked session waits for. */
export interface ParkedReport {
  /** The program; its arguments, which may hold secrets, are left out. */
  program: string;
  /** Why it is started; `null` while nothing has happened. */
  reason: ActivationReason | null;
  /** How often it was started without taking the session. */
  tries: number;
}

/** One session, as the daemon lists it and `tls.sessions()` answers it. Times are milliseconds. */
export interface SessionReport {
  id: string;
  /** Of the connection, or `ended`: it is gone, and the session still holds something for a reader. */
  state: string;
  /** `null` without one. */
  name: string | null;
  /** Of a named session; `null` of one that is pooled or handed over. */
  mode: SessionMode | null;
  side: SessionSide;
  /** `host:port` or the path of a Unix socket; of a server's session the client's address. */
  peer: string;
  servername: string | null;
  alpn: string | null;
  protocol: string | null;
  cipher: string | null;
  authorized: boolean;
  resumed: boolean;
  /** Holders so far. */
  leases: number;
  /** The processes that hold it now. */
  holders: { pid: number | null; uid: number }[];
  /** Address of the endpoint whose client holds it now. */
  endpoint: string | null;
  /** Requests that wait until a named session is free. */
  waiting: number;
  parked: ParkedReport | null;
  ageMs: number;
  /** Time in the present state. */
  stateMs: number;
  /** Time since a byte passed last, either way. */
  idleMs: number;
  bytesFromPeer: number;
  bytesToPeer: number;
  /** Named sessions: offset behind the last byte that came from the peer, and behind the last that is consumed. */
  receivedOffset: number | null;
  committedOffset: number | null;
  /** Bytes from the peer that the daemon holds for a reader. */
  unreadBytes: number;
  /** Bytes that the daemon holds, both directions. */
  bufferedBytes: number;
  /** write() calls on framed lanes, chunks on raw ones. */
  writes: number;
  /** Requests that had to wait for this session, and how long together. */
  waits: number;
  waitMs: number;
  /** Why the session was closed, or will not be pooled again, or what became of its command. */
  reason: string | null;
  /** With `inspect` only: the session key, secrets left out. */
  key?: Record<string, unknown>;
}
