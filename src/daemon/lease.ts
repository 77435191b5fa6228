// What a link knows of the leases of its process: the raw relay of a pooled session, and the framed holder of a named
// one, behave alike towards calls and towards the end of the process.
import type { Session } from './session.ts';

/** One process's right to use a session now. */
export interface Lease {
  readonly session: Session;
  /** True once it is over. */
  readonly over: boolean;
  /** Bytes on the way, both directions. */
  readonly bufferedBytes: number;
  /** The wrapper has said how its side of the lane ends. */
  holderOnEnd(end: 'clean' | 'abrupt'): void;
  /** The process is gone. */
  holderOnGone(): void;
}
