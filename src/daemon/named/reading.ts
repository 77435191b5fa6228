// What the modes of a named session have in common: a reading takes bytes from the peer and gives them to holders by
// its mode's rule; it holds what is not yet consumed, within a bound.
import type { FramedHolder } from './framed-holder.ts';

/** Bytes from the peer that a named session holds before it stops reading the connection. */
export const MAX_HELD_BYTES = 256 * 1024;

/** How bytes from the peer reach the holders; one object per named session. */
export interface Reading {
  /** Bytes that came from the peer so far. */
  readonly receivedOffset: number;
  /** Every byte before this offset is consumed for good. */
  readonly committedOffset: number;
  /** Bytes held for holders, now or to come. */
  readonly heldBytes: number;
  /** True while nothing more should be read from the connection. */
  readonly isFull: boolean;
  /** A holder has joined; answers the offset of the first byte it will get. */
  join(holder: FramedHolder): number;
  /** A holder has left; what it did not consume is given to another. */
  leave(holder: FramedHolder): void;
  /** Bytes have come from the peer. Throws ERR_TLSHUB_LIMIT when they break a bound of the mode. */
  receive(chunk: Buffer): void;
  /** The peer sends nothing more. */
  end(): void;
  /** The holder has consumed every byte before the offset that it was given. */
  acknowledge(holder: FramedHolder, offset: number): void;
  /** The holder waits for a message (turn). */
  want(holder: FramedHolder): void;
  /** The holder can take more. */
  pump(holder: FramedHolder): void;
  /** True when the holder has been given all that it will get before the peer's end. */
  isDrained(holder: FramedHolder): boolean;
}
