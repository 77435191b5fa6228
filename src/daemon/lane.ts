// One lane: the Unix-socket connection that carries the bytes of one lease, as the daemon sees it. It knows the
// process at its other end and that process's link; the bytes are moved by relay.ts.
import type { Socket } from 'node:net';
import type { WireError } from '../protocol/messages.ts';
import type { LinkPeer } from './link-peer.ts';

/** How the wrapper ended its side of the lane; `gone` is the death of the process, or of its link. */
export type HolderEnd = 'clean' | 'abrupt' | 'gone';

/** Who is at the other end of a lane. */
export interface LaneHolder {
  uid: number;
  /** For the log and the status only; `null` when the system does not tell. */
  pid: number | null;
  /** The link of the process, or `undefined` for a plain client without one. */
  link: LinkPeer | undefined;
  /** Number of the lane on its link; 0 without a link. */
  lane: number;
}

/** A lane with a session on it. */
export class Lane {
  readonly socket: Socket;
  readonly holder: LaneHolder;
  /** How the wrapper said its side ended. A plain client's FIN is a clean end: it has no other way to say it. */
  holderEnd: HolderEnd | undefined;
  #abruptEndSent = false;

  constructor(socket: Socket, holder: LaneHolder) {
    this.socket = socket;
    this.holder = holder;
    if (holder.link === undefined) this.holderEnd = 'clean';
  }

  /** Tells the wrapper that our side of the lane ends (PROTOCOL.md, `lane-end`), at most once for good. */
  sendEnd(rc: 0 | -1, bytes: number, error?: WireError): void {
    if (this.#abruptEndSent) return;
    this.#abruptEndSent = rc === -1;
    this.holder.link?.send({ event: 'lane-end', lane: this.holder.lane, rc, bytes, ...(error && { error }) });
  }
}
