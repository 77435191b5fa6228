// Readings of a byte stream: `exclusive` (one holder at a time; a successor goes on where the last acknowledgement
// stands) and `broadcast` (every holder gets every byte from the moment it joined; the fastest one sets the pace, and
// one that falls behind it by the bound is cut off).
import { TlshubError } from '../../errors.ts';
import { MAX_FRAME_PAYLOAD_BYTES } from '../../protocol/limits.ts';
import type { FramedHolder } from './framed-holder.ts';
import { OffsetBuffer } from './offset-buffer.ts';
import { MAX_HELD_BYTES, type Reading } from './reading.ts';

/** Bytes that even the fastest holder of a broadcast may be behind; less than the bound at which others are cut off. */
const PACE_BYTES = MAX_HELD_BYTES / 2;

/** Gives the stream to one holder, or to all. */
export class StreamReading implements Reading {
  readonly #kind: 'exclusive' | 'broadcast';
  readonly #buffer = new OffsetBuffer();
  readonly #holders = new Set<FramedHolder>();

  constructor(kind: 'exclusive' | 'broadcast') {
    this.#kind = kind;
  }

  get receivedOffset(): number {
    return this.#buffer.end;
  }

  get committedOffset(): number {
    return this.#buffer.start;
  }

  get heldBytes(): number {
    return this.#buffer.length;
  }

  get isFull(): boolean {
    if (this.#kind === 'exclusive' || this.#holders.size === 0) return this.#buffer.length > MAX_HELD_BYTES;
    let fastest = 0;
    for (const { takenFromPeerOffset } of this.#holders) fastest = Math.max(fastest, takenFromPeerOffset);
    return this.#buffer.end - fastest > PACE_BYTES;
  }

  join(holder: FramedHolder): number {
    // The first holder gets what was kept for it; a later one of a broadcast begins with the next byte.
    const offset = this.#holders.size === 0 ? this.#buffer.start : this.#buffer.end;
    this.#holders.add(holder);
    return offset;
  }

  leave(holder: FramedHolder): void {
    this.#holders.delete(holder);
    this.#dropConsumed();
  }

  receive(chunk: Buffer): void {
    this.#buffer.append(chunk);
    for (const holder of [...this.#holders]) this.pump(holder);
    if (this.#kind === 'broadcast') this.#cutOffSlow();
  }

  end(): void {}

  acknowledge(): void {
    this.#dropConsumed();
  }

  want(): void {
    throw new TlshubError('ERR_TLSHUB_PROTOCOL', `WANT belongs to turn mode, the session is ${this.#kind}`);
  }

  pump(holder: FramedHolder): void {
    for (;;) {
      const limit = Math.min(holder.readRoom, MAX_FRAME_PAYLOAD_BYTES);
      if (limit <= 0) return;
      const bytes = this.#buffer.read(holder.deliveredOffset, limit);
      if (bytes.length === 0) return;
      holder.deliver(bytes);
    }
  }

  isDrained(holder: FramedHolder): boolean {
    return holder.deliveredOffset === this.#buffer.end;
  }

  #dropConsumed(): void {
    // With no holder everything is kept for the next one.
    if (this.#holders.size === 0) return;
    let least = this.#buffer.end;
    for (const holder of this.#holders) least = Math.min(least, holder.acknowledgedOffset);
    this.#buffer.dropBefore(least);
  }

  #cutOffSlow(): void {
    for (const holder of [...this.#holders]) {
      // A lone holder is waited for: nobody is slowed by it.
      if (this.#holders.size === 1) return;
      if (this.#buffer.end - holder.takenFromPeerOffset > MAX_HELD_BYTES) {
        const why = `the reader is more than ${MAX_HELD_BYTES} bytes behind the others`;
        holder.cutOff(new TlshubError('ERR_TLSHUB_SLOW_READER', why));
      } else if (this.#buffer.end - holder.acknowledgedOffset > 2 * MAX_HELD_BYTES) {
        const why = `the reader has taken more than ${MAX_HELD_BYTES} bytes without a commit`;
        holder.cutOff(new TlshubError('ERR_TLSHUB_LIMIT', why));
      }
    }
  }
}
