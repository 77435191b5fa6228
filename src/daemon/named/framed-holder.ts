// One holder of a named session: its framed lane, its place in the stream from the peer and in its own stream to the
// peer, and both windows. Whatever breaks the rules of the frames ends this lane and nothing else.
import { TlshubError } from '../../errors.ts';
import {
  encodeFrame,
  encodeFrameHeader,
  FRAME_FLAGS,
  FRAME_TYPES,
  type Frame,
  FrameDecoder,
} from '../../protocol/frame-codec.ts';
import { FRAME_WINDOW_BYTES } from '../../protocol/limits.ts';
import type { WireError } from '../../protocol/messages.ts';
import { encodeError } from '../../protocol/wire-error.ts';
import type { Lane } from '../lane.ts';
import type { Lease } from '../lease.ts';
import type { Session } from '../session.ts';
import type { NamedSession } from './named-session.ts';

/** Milliseconds that the frames of a holder that gives the session up may take to arrive. */
const SETTLE_MS = 5_000;

/** A process that holds a named session. */
export class FramedHolder implements Lease {
  readonly lane: Lane;
  readonly named: NamedSession;
  /** Bytes before this offset were sent to the holder. */
  deliveredOffset = 0;
  /** Bytes before this offset the holder has consumed for good. */
  acknowledgedOffset = 0;
  /** Bytes of the holder's own stream that have come, and that were taken for the peer. */
  writtenOffset = 0;
  takenOffset = 0;
  #creditOffset = 0;
  #over = false;
  #endSent = false;
  readonly #decoder = new FrameDecoder();
  readonly #onOver: (holder: FramedHolder) => void;
  #progress: (() => void) | undefined;

  /**
   * @param named what it holds; the caller lets it join
   * @param onOver called once when the lane is done
   */
  constructor(named: NamedSession, lane: Lane, onOver: (holder: FramedHolder) => void) {
    this.named = named;
    this.lane = lane;
    this.#onOver = onOver;
  }

  get session(): Session {
    return this.named.session;
  }

  get over(): boolean {
    return this.#over;
  }

  get bufferedBytes(): number {
    return this.lane.socket.writableLength + this.lane.socket.readableLength;
  }

  /** Bytes that may be delivered before the holder acknowledges or credits more. */
  get readRoom(): number {
    return Math.max(this.acknowledgedOffset, this.#creditOffset) + FRAME_WINDOW_BYTES - this.deliveredOffset;
  }

  /** Begins: frames are read, and written from `offset` on. */
  start(offset: number): void {
    this.skipTo(offset);
    const { socket } = this.lane;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('end', () => this.#applyEnd());
    socket.on('close', () => {
      this.lane.holderEnd ??= 'gone';
      this.#leave();
    });
    socket.resume();
  }

  /** The next byte for this holder is the one at `offset` (a turn may go back to a message that was given before). */
  skipTo(offset: number): void {
    this.deliveredOffset = offset;
    this.acknowledgedOffset = offset;
    this.#creditOffset = offset;
  }

  /** Sends bytes that came from the peer; the caller keeps within {@link readRoom}. */
  deliver(bytes: Buffer, endOfMessage = false): void {
    const flags = endOfMessage ? FRAME_FLAGS.END_OF_UNIT : 0;
    const { socket } = this.lane;
    socket.cork();
    socket.write(
      encodeFrameHeader({
        type: FRAME_TYPES.DATA,
        flags,
        offset: this.deliveredOffset,
        payloadBytes: bytes.length,
      }),
    );
    socket.write(bytes);
    socket.uncork();
    this.deliveredOffset += bytes.length;
  }

  /** Bytes of the holder's stream were handed to the connection: its window moves on. */
  takeWritten(bytes: number): void {
    this.takenOffset += bytes;
    if (!this.#over) this.lane.socket.write(encodeFrame({ type: FRAME_TYPES.ACK, offset: this.takenOffset }));
    this.#progress?.();
  }

  /** Tells the holder how the session ended, behind all that was delivered. */
  finish(error: Error | undefined, clean: boolean): void {
    if (this.#over || (this.#endSent && clean)) return;
    this.#endSent = true;
    this.lane.sendEnd(clean ? 0 : -1, this.deliveredOffset, error && encodeError(error));
    if (clean) this.lane.socket.end();
    else this.lane.socket.destroySoon();
  }

  /** Ends this lane for a fault of its holder. */
  cutOff(error: TlshubError): void {
    this.#endLane(encodeError(error));
  }

  holderOnEnd(end: 'clean' | 'abrupt'): void {
    this.lane.holderEnd = end;
    if (this.lane.socket.readableEnded || end === 'abrupt') this.#applyEnd();
  }

  holderOnGone(): void {
    this.lane.holderEnd ??= 'gone';
    // What the process had sent is read to its end; then the lane closes.
    if (this.lane.socket.readableEnded) this.#leave();
  }

  /**
   * The holder leaves the session to others. Rejects with ERR_TLSHUB_PROTOCOL when its counts are impossible.
   * @param sentOffset what it wrote
   * @param consumedOffset what it consumed for good
   */
  async release(sentOffset: number, consumedOffset: number): Promise<void> {
    await this.#until(() => this.takenOffset >= sentOffset);
    if (this.takenOffset !== sentOffset)
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'not all that was sent has come');
    if (consumedOffset > this.acknowledgedOffset) this.acknowledge(consumedOffset);
    this.#leave();
    this.lane.socket.end();
  }

  /** Every byte before the offset is consumed for good. Throws ERR_TLSHUB_PROTOCOL for an impossible offset. */
  acknowledge(offset: number): void {
    if (offset < this.acknowledgedOffset) throw protocolError('an acknowledgement goes backwards');
    if (offset > this.deliveredOffset) throw protocolError('an acknowledgement is beyond what was delivered');
    this.acknowledgedOffset = offset;
    this.named.holderOnAcknowledge(this, offset);
  }

  #receive(chunk: Buffer): void {
    if (this.#over) return;
    try {
      this.#decoder.push(chunk);
      for (
        let frame = this.#decoder.next();
        frame !== undefined && !this.#over;
        frame = this.#decoder.next()
      ) {
        this.#handle(frame);
      }
    } catch (error) {
      this.#endLane(encodeError(error as Error));
    }
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case FRAME_TYPES.DATA:
        this.#takeData(frame);
        break;
      case FRAME_TYPES.ACK:
        this.acknowledge(frame.offset);
        break;
      case FRAME_TYPES.CREDIT:
        if (frame.offset < this.#creditOffset || frame.offset > this.deliveredOffset) {
          throw protocolError('a credit is outside what was delivered');
        }
        this.#creditOffset = frame.offset;
        this.named.holderOnRoom(this);
        break;
      default:
        this.named.holderOnWant(this);
    }
  }

  #takeData({ offset, flags, payload }: Frame): void {
    if (offset !== this.writtenOffset) throw protocolError('a frame does not continue the stream');
    this.writtenOffset += payload.length;
    if (this.writtenOffset - this.takenOffset > FRAME_WINDOW_BYTES)
      throw protocolError('the window was ignored');
    this.named.holderOnWrite(this, payload, (flags & FRAME_FLAGS.END_OF_UNIT) !== 0);
  }

  #applyEnd(): void {
    if (this.#over) return;
    if (this.lane.holderEnd === 'clean') this.named.holderOnEnd();
    else if (this.lane.holderEnd !== undefined) this.#leave();
  }

  #endLane(error: WireError): void {
    if (this.#over) return;
    this.lane.sendEnd(-1, this.deliveredOffset, error);
    this.#leave();
    this.lane.socket.destroySoon();
  }

  #leave(): void {
    if (this.#over) return;
    this.#over = true;
    this.#progress?.();
    this.named.leave(this);
    this.#onOver(this);
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#progress = undefined;
        resolve();
      };
      const timer = setTimeout(done, SETTLE_MS);
      this.#progress = () => {
        if (this.#over || condition()) done();
      };
      this.#progress();
    });
  }
}

function protocolError(message: string): TlshubError {
  return new TlshubError('ERR_TLSHUB_PROTOCOL', message);
}
