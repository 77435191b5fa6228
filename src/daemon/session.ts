// One session: a live TLS connection that the daemon owns, with its description. What happens to its bytes is the
// business of its occupant: the relay of a lease, the watch of an idle session, or nobody while it is detached.
import type { TLSSocket } from 'node:tls';
import type { TlshubError } from '../errors.ts';
import type { OpenEvent, TlsInfo } from '../protocol/messages.ts';
import type { SessionKey } from '../protocol/session-key.ts';
import type { SessionSide } from '../protocol/session-report.ts';
import { type BytesReader, forgetSocket, holdBytes, readOn, stopReader } from './direct-bytes.ts';
import type { LinkPeer } from './link-peer.ts';
import type { NamedSession } from './named/named-session.ts';

/** The states of a session; each is a list in session-table.ts. */
export const SESSION_STATES = ['accepted', 'leased', 'idle', 'detached', 'lingering', 'closed'] as const;

/** One of {@link SESSION_STATES}. */
export type SessionState = (typeof SESSION_STATES)[number];

/** Who answers for a session's bytes now. Exactly one at a time; the session calls it. */
export interface Occupant {
  /** The peer ended its side in order (close_notify or FIN). */
  sessionOnPeerEnd(): void;
  /** The connection is gone. `error` is the TLS or socket failure, if there was one. */
  sessionOnClose(error: Error | undefined): void;
  /** Another one answers from now on: take your listeners off. */
  sessionOnLeave(): void;
  /** Reads the connection as long as it is the occupant, see direct-bytes.ts; absent of one that sees to that itself. */
  readonly sessionOnBytes?: BytesReader;
}

/** Where a server's session belongs when no process holds it. */
export interface SessionHome {
  /** A process has it now; `link` is that process's, if it has one. */
  sessionOnLeased(session: Session, link: LinkPeer | undefined): void;
  /** Nobody holds it any more, and it lives on. */
  sessionOnUnheld(named: NamedSession): void;
  /** Its connection is gone, or nobody is to have it any more. */
  sessionOnGone(session: Session): void;
}

/** How a session is closed: with close_notify first, or at once. */
export type CloseManner = 'orderly' | 'abrupt';

/** Milliseconds that a peer has to answer our close_notify before the connection is dropped. */
const ORDERLY_CLOSE_MS = 2_000;

/** What a session is made from. */
export interface SessionOrigin {
  id: string;
  uid: number;
  side: SessionSide;
  /** Where the other end is, for people: `host:port`, or the path of a Unix socket. */
  peer: string;
  /** What it was opened for; `null` of a server's session. */
  key: SessionKey | null;
  owner: string;
  tls: TLSSocket;
  info: TlsInfo;
  openEvents: OpenEvent[];
}

/** A live TLS connection. Its state is written by the session table only. */
export class Session {
  readonly id: string;
  readonly uid: number;
  readonly side: SessionSide;
  readonly peer: string;
  readonly key: SessionKey | null;
  /** Session key and uid as one text: what a request must equal to share this session. */
  readonly owner: string;
  readonly tls: TLSSocket;
  readonly info: TlsInfo;
  readonly openEvents: readonly OpenEvent[];
  readonly createdAtMs = Date.now();
  /** When the session entered its present state. */
  stateSinceMs = Date.now();
  state: SessionState = 'leased';
  leases = 0;
  bytesFromPeer = 0;
  bytesToPeer = 0;
  /** Times that bytes were taken for the peer: write() calls on framed lanes, chunks on raw ones. */
  writes = 0;
  /** Requests that had to wait for this very session, and how long together. */
  waits = 0;
  waitMs = 0;
  /** When a byte passed last, either way. */
  lastByteAtMs = Date.now();
  /** Bytes that a former holder received and gave back unread; they come before anything on the connection. */
  unread: Buffer[] = [];
  /** The secret part of the handle that was issued last and is still good. */
  handleSecret: string | undefined;
  /** The process that holds the session, or held it last, and the endpoint that it uses for that; for the status. */
  holder: { pid: number | null; uid: number; endpoint?: string } | undefined;
  /** The life of its own that the session has, if it has one. */
  named: NamedSession | undefined;
  /** The server that it came to. */
  home: SessionHome | undefined;
  /** It was left to somebody by a handle or to a command, and is not the server's to give away. */
  away = false;
  /** Name and linger that the session is to have when its holder leaves it. */
  futureName: { name: string; lingerMs: number } | undefined;
  /** The peer has ended its side. */
  peerEnded = false;
  /** Why the session must not go back to the pool although its bytes are in order. */
  tainted: string | undefined;
  /** Why the session was closed; the first reason stays. */
  closeReason: string | undefined;
  /** What the holder is told when the daemon itself closes the session. */
  closeError: TlshubError | undefined;
  #occupant: Occupant | undefined;
  #error: Error | undefined;
  /** An orderly close is under way. */
  #closing = false;

  /**
   * @param origin the connection, open and verified, and what it was made for
   * @param onClosed called once when the connection is gone
   */
  constructor(origin: SessionOrigin, onClosed: (session: Session) => void) {
    this.id = origin.id;
    this.uid = origin.uid;
    this.side = origin.side;
    this.peer = origin.peer;
    this.key = origin.key;
    this.owner = origin.owner;
    this.tls = origin.tls;
    this.info = origin.info;
    this.openEvents = origin.openEvents;
    this.tls.on('end', () => {
      this.peerEnded = true;
      this.#occupant?.sessionOnPeerEnd();
    });
    this.tls.on('error', (error) => {
      this.#error ??= error;
      this.closeReason ??= `failed: ${error.message}`;
      // After an error of the record layer (an alert) node:tls leaves the connection open, though no byte can pass it.
      this.tls.destroy();
    });
    this.tls.on('close', () => {
      this.closeReason ??= 'both sides ended';
      this.#occupant?.sessionOnClose(this.#error ?? this.closeError);
      this.#occupant = undefined;
      onClosed(this);
      forgetSocket(this.tls);
    });
  }

  /** Makes `occupant` answer for the bytes from now on; `undefined`: nobody does, and the connection is not read. */
  occupy(occupant: Occupant | undefined): void {
    const before = this.#occupant;
    before?.sessionOnLeave();
    this.#occupant = occupant;
    if (occupant?.sessionOnBytes !== undefined) readOn(this.tls, occupant.sessionOnBytes);
    else if (before?.sessionOnBytes !== undefined) stopReader(this.tls);
    if (occupant === undefined) holdBytes(this.tls);
  }

  /** Counts bytes that came from the peer. */
  countFromPeer(bytes: number): void {
    this.bytesFromPeer += bytes;
    this.lastByteAtMs = Date.now();
  }

  /** Counts bytes that were taken for the peer; `completes` when they end a write. */
  countToPeer(bytes: number, completes: boolean): void {
    this.bytesToPeer += bytes;
    if (completes) this.writes += 1;
    this.lastByteAtMs = Date.now();
  }

  /** Counts a request that waited for this session since `sinceMs` (of `performance.now()`). */
  countWait(sinceMs: number): void {
    this.waits += 1;
    this.waitMs += Math.round(performance.now() - sinceMs);
  }

  /** True when bytes wait on the daemon's side for the next reader. */
  get hasUnread(): boolean {
    return this.unread.length > 0 || this.tls.readableLength > 0;
  }

  /** Bytes that the daemon holds for this session, both directions. */
  get bufferedBytes(): number {
    let bytes = this.tls.readableLength + this.tls.writableLength;
    for (const part of this.unread) bytes += part.length;
    return bytes;
  }

  /**
   * Closes the connection for a reason.
   * @param reason for the log and the status
   * @param manner `orderly` sends close_notify and gives the peer 2 s; `abrupt` sends nothing more
   * @param error what the holder is told; default nothing
   */
  close(reason: string, manner: CloseManner, error?: TlshubError): void {
    if (this.tls.destroyed) return;
    this.closeReason ??= reason;
    this.closeError ??= error;
    if (manner === 'abrupt') {
      this.tls.destroy();
      return;
    }
    if (this.#closing) return;
    this.#closing = true;
    if (!this.tls.writableEnded) this.tls.end();
    this.tls.resume();
    const timer = setTimeout(() => this.tls.destroy(), ORDERLY_CLOSE_MS);
    timer.unref();
    this.tls.once('close', () => clearTimeout(timer));
  }
}
