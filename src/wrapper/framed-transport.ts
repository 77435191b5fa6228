// The wrapper's end of a framed lane: turns frames into stream bytes and writes into frames, keeps both windows, and
// tells the daemon what the application has consumed, so that a crash of this process loses and doubles nothing.
import { TlshubError } from '../errors.ts';
import { compactBytes } from '../link/compact-bytes.ts';
import { FRAME_FLAGS, FRAME_TYPES, type Frame } from '../protocol/frame-codec.ts';
import { FRAME_WINDOW_BYTES, MAX_FRAME_PAYLOAD_BYTES } from '../protocol/limits.ts';
import type { CommitKind, SessionMode } from '../protocol/session-name.ts';
import type { FramePipe, FramePipeOwner } from './frame-pipe.ts';
import { refreshTimeout } from './lane-handle.ts';
import type { SharedSocket } from './shared-socket.ts';
import type { Transport, TransportCallback } from './transport.ts';
import { untakenBytes } from './untaken-bytes.ts';

/** Most that one TLS record holds (RFC 8446 §5.1). */
const MAX_RECORD_BYTES = 16 * 1024;

/** What the open reply says of a framed lane. */
export interface FramedSession {
  name: string | null;
  mode: SessionMode;
  commit: CommitKind;
  /** Offset in the session of the first byte that this holder gets. */
  resumedAt: number;
  /** Offset of the first byte that this holder writes. */
  writtenAt: number;
  state: string | null;
}

/** One framed lane. */
export class FramedTransport implements Transport, FramePipeOwner {
  readonly #outer: SharedSocket;
  readonly #pipe: FramePipe;
  readonly #session: FramedSession;
  /** Offset behind the last byte that was pushed to the stream. */
  #pushedOffset: number;
  #acknowledgedOffset: number;
  #creditedOffset: number;
  #bytesRead = 0;
  /** Parts of a message that is not whole yet (turn). */
  #message: Buffer[] = [];
  #wants = false;
  #wantSent = false;
  /** Own stream: framed so far, and taken by the daemon. */
  #writtenOffset = 0;
  #takenOffset = 0;
  readonly #unsent: { bytes: Buffer; last: boolean }[] = [];
  readonly #pendingWrites: { endOffset: number; callback: TransportCallback }[] = [];
  /** Every byte before this offset is committed, or will be when a call that is under way is answered. */
  #committingOffset: number;
  #peerEnded = false;
  #noteDue = false;
  /** Run behind the next byte that is written; what has come is not consumed before. */
  #behindAnswer: (() => void) | undefined;
  /** Of the write that the stream waits for, in the stream's own count. */
  #writingLength = 0;
  #held = false;

  /**
   * @param outer the application's socket
   * @param pipe what carries its frames
   */
  constructor(outer: SharedSocket, pipe: FramePipe, session: FramedSession) {
    this.#outer = outer;
    this.#pipe = pipe;
    this.#session = session;
    this.#pushedOffset = session.resumedAt;
    this.#acknowledgedOffset = session.resumedAt;
    this.#creditedOffset = session.resumedAt;
    this.#committingOffset = session.resumedAt;
  }

  get bytesRead(): number {
    return this.#bytesRead;
  }

  get bytesWritten(): number {
    return this.#writtenOffset;
  }

  /** Every byte before this offset the application has taken from the stream. */
  get consumedOffset(): number {
    return this.#pushedOffset - untakenBytes(this.#outer);
  }

  /** Every byte before this offset counts as consumed. */
  get committedOffset(): number {
    return this.#session.commit === 'auto' ? this.consumedOffset : this.#acknowledgedOffset;
  }

  /** Begins to read frames. */
  start(): void {
    this.#pipe.start(this);
  }

  pipeOnFrame(frame: Frame): void {
    refreshTimeout(this.#outer);
    this.#handle(frame);
  }

  pipeOnFault(error: Error): void {
    this.#outer.destroy(error);
  }

  pipeOnEnd(): void {
    if (this.#peerEnded) return;
    this.#peerEnded = true;
    // A socket that was given up or destroyed has nothing more to learn of its end.
    if (!this.#outer.destroyed) this.#outer.push(null);
    // No acknowledgement comes any more: what is written from now on is taken when the lane has it.
    this.#send();
  }

  pipeOnBroken(error: Error): void {
    // The end follows, and the link says what it means; behind the peer's end only a write can find out.
    if (this.#peerEnded && !this.#outer.destroyed) this.#outer.destroy(error);
  }

  /** True while the application gets nothing, also not what is in its stream: that is to be the next holder's. */
  get isHeld(): boolean {
    return this.#held;
  }

  /** Nothing more is delivered or acknowledged while the session is being given up; `false` goes on. */
  hold(held: boolean): void {
    this.#held = held;
    this.#pipe.hold(held);
  }

  /** True when the application gets nothing that it does not ask for. */
  get readsOnDemand(): boolean {
    return this.#session.mode === 'turn';
  }

  /** True when the daemon needs no word to know that everything before the offset is consumed. */
  isCommitted(offset: number): boolean {
    if (this.#session.commit === 'auto') return this.#session.mode === 'turn';
    return offset <= this.#acknowledgedOffset;
  }

  /** A commit of everything before the offset is under way. */
  noteCommitting(offset: number): void {
    this.#committingOffset = Math.max(this.#committingOffset, offset);
  }

  /** Everything read so far is committed: the daemon need not keep it (manual commit). */
  noteCommitted(offset: number): void {
    this.#acknowledgedOffset = Math.max(this.#acknowledgedOffset, offset);
    this.#sendWant();
  }

  /** The application says itself what is consumed. */
  get isManual(): boolean {
    return this.#session.commit === 'manual';
  }

  /**
   * Everything that has come counts as consumed from now on (automatic commit). Runs `then` when no crash of this
   * process can undo that, at once if it may.
   */
  acknowledge(then: () => void): void {
    this.#behindAnswer = undefined;
    this.#noteDue = true;
    this.#sendConsumed();
    this.#pipe.afterSent(then);
  }

  /**
   * What has come counts as consumed only behind the next byte that is written, or `end` or {@link acknowledge}
   * (automatic commit): a crash before brings it again. `then` runs behind that byte, before it has left.
   */
  holdConsumed(then: () => void): void {
    this.#behindAnswer = then;
  }

  get holdsConsumed(): boolean {
    return this.#behindAnswer !== undefined;
  }

  /** Everything that was written to the stream was sent, if not taken. */
  get hasSentAll(): boolean {
    const waiting = this.#outer.writableLength - (this.#pendingWrites.length > 0 ? this.#writingLength : 0);
    return this.#unsent.length === 0 && waiting <= 0;
  }

  noteConsumed(): void {
    if (this.#noteDue || this.#behindAnswer !== undefined) return;
    this.#noteDue = true;
    // Not at once: who only looks puts the bytes back before it gives way.
    this.#pipe.soon(() => this.#sendConsumed());
  }

  #endHold(): void {
    const then = this.#behindAnswer;
    if (then === undefined) return;
    this.#behindAnswer = undefined;
    this.noteConsumed();
    this.#pipe.soon(then);
  }

  #sendConsumed(): void {
    if (!this.#noteDue) return;
    this.#noteDue = false;
    if (this.#behindAnswer !== undefined) return;
    const consumed = this.consumedOffset;
    if (this.#session.commit === 'auto') {
      if (consumed <= this.#acknowledgedOffset) return;
      this.#acknowledgedOffset = consumed;
      this.#pipe.send(FRAME_TYPES.ACK, consumed);
      this.#sendWant();
    } else {
      this.#credit(consumed);
      this.#boundUncommitted(consumed);
    }
  }

  /** Keeps state with the session, in the order of what is written; answers false where only a call can. */
  tellState(state: Buffer): boolean {
    this.#pipe.sendState?.(state);
    return this.tellsState;
  }

  /** {@link tellState} can. */
  get tellsState(): boolean {
    return this.#pipe.sendState !== undefined;
  }

  // Frames are taken as they come; the windows bound them.
  resume(): void {}

  /** The application asks for bytes and there are none: in turn mode that asks for a message. */
  demand(): void {
    this.#wants = true;
    this.#sendWant();
  }

  write(chunk: Buffer | string, encoding: BufferEncoding, callback: TransportCallback): void {
    this.#writingLength = chunk.length;
    this.#queue(bytesOf(chunk, encoding));
    this.#awaitTaken(callback);
  }

  writev(
    chunks: readonly { chunk: Buffer | string; encoding: BufferEncoding }[],
    callback: TransportCallback,
  ): void {
    this.#writingLength = chunks.reduce((sum, { chunk }) => sum + chunk.length, 0);
    const parts = chunks.map(({ chunk, encoding }) => bytesOf(chunk, encoding));
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    // As node:tls sends them: one record, where one holds them.
    if (bytes <= MAX_RECORD_BYTES) this.#queue(Buffer.concat(parts, bytes));
    else for (const part of parts) this.#queue(part);
    this.#awaitTaken(callback);
  }

  end(callback: TransportCallback): void {
    this.#endHold();
    // Stream ends only when every write was called back, so all is taken; the link has said that it ends. The lane
    // stays open both ways, for what is still read is to be acknowledged.
    callback();
  }

  destroy(error: Error | null): void {
    for (const { callback } of this.#pendingWrites.splice(0))
      callback(error ?? new Error('the socket was closed'));
    this.#sendConsumed();
    // What the application has consumed must be known before the session is another's.
    this.#pipe.close();
  }

  ref(): void {
    this.#pipe.ref();
  }

  unref(): void {
    this.#pipe.unref();
  }

  /** More than the daemon holds could never be given again, and it would wait for a commit before it reads on. */
  #boundUncommitted(consumed: number): void {
    if (this.#session.mode === 'turn' || this.#outer.destroyed) return;
    if (consumed - Math.max(this.#acknowledgedOffset, this.#committingOffset) <= FRAME_WINDOW_BYTES) return;
    const why = `more than ${FRAME_WINDOW_BYTES} bytes were taken without a commit`;
    this.#outer.destroy(new TlshubError('ERR_TLSHUB_LIMIT', why));
  }

  #handle(frame: Frame): void {
    if (frame.type === FRAME_TYPES.DATA) {
      if (this.#session.mode === 'turn') this.#takeMessagePart(frame);
      else this.#push(frame.payload, frame.offset + frame.payload.length);
    } else if (frame.type === FRAME_TYPES.ACK) {
      this.#noteTaken(frame.offset);
      this.#send();
    }
  }

  /** A message reaches the application whole, in one chunk. */
  #takeMessagePart({ payload, offset, flags }: Frame): void {
    this.#wantSent = false;
    if (this.#message.length === 0) {
      // All before is consumed, and this message may lie before it.
      this.#pushedOffset = offset;
      this.#acknowledgedOffset = offset;
      this.#creditedOffset = offset;
    }
    this.#message.push(payload);
    const endOffset = offset + payload.length;
    if ((flags & FRAME_FLAGS.END_OF_UNIT) === 0) {
      this.#credit(endOffset);
      return;
    }
    this.#wants = false;
    this.#push(Buffer.concat(this.#message.splice(0)), endOffset);
  }

  #push(bytes: Buffer, endOffset: number): void {
    this.#pushedOffset = endOffset;
    this.#bytesRead += bytes.length;
    const { readableFlowing, readableLength } = this.#outer;
    const waits = readableFlowing !== true || readableLength > 0;
    this.#outer.push(this.#pipe.isOnTrunk && waits ? compactBytes(bytes) : bytes);
    this.noteConsumed();
  }

  #credit(offset: number): void {
    if (offset <= this.#creditedOffset) return;
    this.#creditedOffset = offset;
    this.#pipe.send(FRAME_TYPES.CREDIT, offset);
  }

  /** Asks for the next message when the application reads and the one before is done with. */
  #sendWant(): void {
    if (this.#session.mode !== 'turn' || !this.#wants || this.#wantSent) return;
    if (this.#message.length > 0 || this.#acknowledgedOffset < this.#pushedOffset) return;
    this.#wantSent = true;
    this.#pipe.send(FRAME_TYPES.WANT, 0);
  }

  #queue(chunk: Buffer): void {
    refreshTimeout(this.#outer);
    for (let start = 0; start < chunk.length; start += MAX_FRAME_PAYLOAD_BYTES) {
      const bytes = chunk.subarray(start, start + MAX_FRAME_PAYLOAD_BYTES);
      this.#unsent.push({ bytes, last: start + bytes.length === chunk.length });
    }
    this.#send();
    this.#endHold();
  }

  /** Sends what the window allows; a frame is sent whole or not yet. */
  #send(): void {
    for (let next = this.#unsent[0]; next !== undefined; next = this.#unsent[0]) {
      const { bytes, last } = next;
      const fits = this.#writtenOffset + bytes.length - this.#takenOffset <= FRAME_WINDOW_BYTES;
      if (!fits && (!this.#peerEnded || this.#pipe.isOnTrunk)) return;
      this.#unsent.shift();
      const flags = last ? FRAME_FLAGS.END_OF_UNIT : 0;
      this.#pipe.sendData(flags, this.#writtenOffset, bytes);
      this.#writtenOffset += bytes.length;
    }
    if (this.#pipe.isOnTrunk) this.#callBackLater();
    else if (this.#peerEnded) this.#noteTaken(this.#writtenOffset);
  }

  #noteTaken(offset: number): void {
    this.#takenOffset = Math.max(this.#takenOffset, offset);
    this.#callBack(this.#takenOffset);
  }

  #callBack(offset: number): void {
    while ((this.#pendingWrites[0]?.endOffset ?? Number.POSITIVE_INFINITY) <= offset) {
      this.#pendingWrites.shift()?.callback();
    }
  }

  #awaitTaken(callback: TransportCallback): void {
    let endOffset = this.#writtenOffset;
    for (const { bytes } of this.#unsent) endOffset += bytes.length;
    if (endOffset === this.#takenOffset && !this.#pipe.isOnTrunk) {
      callback();
      return;
    }
    this.#pendingWrites.push({ endOffset, callback });
    this.#callBackLater();
  }

  /** On a trunk a write is done when the system has it: the daemon will, whatever becomes of this process. */
  #callBackLater(): void {
    const written = this.#writtenOffset;
    if ((this.#pendingWrites[0]?.endOffset ?? Number.POSITIVE_INFINITY) <= written)
      this.#pipe.afterWritten?.(() => this.#callBack(written));
  }
}

/** net.Socket hands strings on as they are. */
function bytesOf(chunk: Buffer | string, encoding: BufferEncoding): Buffer {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
}
