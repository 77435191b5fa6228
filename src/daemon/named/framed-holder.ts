// One holder of a named session: its framed lane, its place in the stream from the peer and in its own stream to the
// peer, and both windows. Whatever breaks the rules of the frames ends this lane and nothing else.
import { TlshubError } from '../../errors.ts';
import { FRAME_FLAGS, FRAME_TYPES, type Frame } from '../../protocol/frame-codec.ts';
import { FRAME_WINDOW_BYTES } from '../../protocol/limits.ts';
import type { WireError } from '../../protocol/messages.ts';
import { encodeError } from '../../protocol/wire-error.ts';
import type { Lease } from '../lease.ts';
import type { Session } from '../session.ts';
import type { FramedLane, FramedLaneOwner } from './framed-lane.ts';
import type { NamedSession } from './named-session.ts';

/** Milliseconds that the frames of a holder that gives the session up may take to arrive. */
const SETTLE_MS = 5_000;

/** Bytes taken after which a holder on a trunk is told: well before its window is full. */
const RARE_ACK_BYTES = FRAME_WINDOW_BYTES / 4;

/** A process that holds a named session. */
export class FramedHolder implements Lease, FramedLaneOwner {
  readonly lane: FramedLane;
  readonly named: NamedSession;
  /** Bytes before this offset were sent to the holder. */
  deliveredOffset = 0;
  /** Bytes before this offset the holder has consumed for good. */
  acknowledgedOffset = 0;
  /** Bytes of the holder's own stream that have come, and that were taken for the peer. */
  writtenOffset = 0;
  takenOffset = 0;
  #creditOffset = 0;
  /** The last acknowledgement on the lane; a commit on the link may have overtaken it. */
  #lastAckOffset = 0;
  #over = false;
  #endSent = false;
  #laneClosed = false;
  /** The application has kept a state by a call: those on the lane are older. */
  #stateWasSet = false;
  #endApplied = false;
  /** Bytes were taken before this offset, says what the holder was told last. */
  #toldOffset = 0;
  /** The holder has begun a write() call that has not come whole. */
  #isWithinWrite = false;
  #closeTimer: NodeJS.Timeout | undefined;
  /** Frames of a chunk are being handled. */
  #receiving = false;
  readonly #onOver: (holder: FramedHolder) => void;
  #progress: (() => void) | undefined;

  /**
   * @param named what it holds; the caller lets it join
   * @param onOver called once when the lane is done
   */
  constructor(named: NamedSession, lane: FramedLane, onOver: (holder: FramedHolder) => void) {
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
    return this.lane.bufferedBytes;
  }

  /** Every byte before this offset the holder's application has taken, for good or not. */
  get takenFromPeerOffset(): number {
    return Math.max(this.acknowledgedOffset, this.#creditOffset);
  }

  /** Bytes that may be delivered before the holder acknowledges or credits more. */
  get readRoom(): number {
    if (this.lane.isOnTrunk && this.lane.isBackedUp) return 0;
    return this.takenFromPeerOffset + FRAME_WINDOW_BYTES - this.deliveredOffset;
  }

  /** True when the holder was told how the session ended, and lived to hear it. */
  get knowsEnd(): boolean {
    return this.#endSent && this.lane.holderEnd !== 'gone';
  }

  /** Begins: frames are read, and written from `offset` on. */
  start(offset: number): void {
    this.skipTo(offset);
    this.lane.start(this);
  }

  /** The next byte for this holder is the one at `offset` (a turn may go back to a message that was given before). */
  skipTo(offset: number): void {
    this.deliveredOffset = offset;
    this.acknowledgedOffset = offset;
    this.#creditOffset = offset;
    this.#lastAckOffset = offset;
  }

  /** Sends bytes that came from the peer; the caller keeps within {@link readRoom}. */
  deliver(bytes: Buffer, endOfMessage = false): void {
    const flags = endOfMessage ? FRAME_FLAGS.END_OF_UNIT : 0;
    this.lane.sendData(flags, this.deliveredOffset, bytes);
    this.deliveredOffset += bytes.length;
  }

  /** Bytes of the holder's stream were handed to the connection: its window moves on. */
  takeWritten(bytes: number): void {
    this.takenOffset += bytes;
    if (!this.#receiving) this.#sendDueAck();
    if (this.writtenOffset - this.takenOffset <= FRAME_WINDOW_BYTES && !this.#over) this.lane.resume();
    this.#progress?.();
  }

  /** Tells the holder how the session ended, behind all that was delivered. */
  finish(error: Error | undefined, clean: boolean): void {
    if (this.#over || (this.#endSent && clean)) return;
    this.#endSent = true;
    this.lane.sendEnd(clean ? 0 : -1, this.deliveredOffset, error && encodeError(error));
  }

  /** Ends this lane for a fault of its holder. */
  cutOff(error: TlshubError): void {
    this.#endLane(encodeError(error));
  }

  /** The wrapper has said how its side of the lane ends; the end takes effect when its frames have come. */
  holderOnEnd(end: 'clean' | 'abrupt'): void {
    this.lane.holderEnd = end;
    if (end === 'abrupt') this.#hasten();
    this.#applyEnd();
  }

  holderOnGone(): void {
    this.lane.holderEnd ??= 'gone';
    this.#hasten();
    this.#applyEnd();
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
    // In turn mode the holder may not know yet that it was given a message that lies before those it consumed.
    if (consumedOffset <= this.deliveredOffset || this.named.options.mode !== 'turn')
      this.commit(consumedOffset);
    this.#leave();
  }

  /**
   * Every byte before the offset is consumed for good, says the link; what the lane says may come before or after it.
   * Throws ERR_TLSHUB_PROTOCOL for an offset beyond what was delivered.
   */
  commit(offset: number): void {
    if (offset > this.deliveredOffset) throw protocolError('a commit is beyond what was delivered');
    if (offset <= this.acknowledgedOffset) return;
    this.acknowledgedOffset = offset;
    this.named.holderOnAcknowledge(this, offset);
  }

  /** Opaque state of the application that the next holder gets; `byCall` when the link says it. */
  setState(state: Buffer, byCall: boolean): void {
    if (!byCall && this.#stateWasSet) return;
    this.#stateWasSet ||= byCall;
    this.named.state = state;
  }

  laneOnFrame(frame: Frame): void {
    if (this.#over) return;
    this.#receiving = true;
    try {
      this.#handle(frame);
    } catch (error) {
      this.laneOnFault(error as Error);
    }
  }

  laneOnFault(error: Error): void {
    this.#endLane(encodeError(error));
  }

  laneOnPause(): void {
    this.#receiving = false;
    // One acknowledgement for all frames of a chunk.
    this.#sendDueAck();
  }

  laneOnDrain(): void {
    this.#sendDueAck();
    if (this.lane.isOnTrunk && !this.#over) this.named.holderOnRoom(this);
  }

  laneOnEnd(): void {
    this.#applyEnd();
  }

  laneOnClose(): void {
    this.#laneClosed = true;
    if (this.lane.holder.link === undefined || this.lane.holder.link.closed) this.lane.holderEnd ??= 'gone';
    // The lane may be faster than the word about its end, which is on its way or never comes.
    if (this.lane.holderEnd === undefined) this.#hasten();
    this.#applyEnd();
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case FRAME_TYPES.DATA:
        this.#takeData(frame);
        break;
      case FRAME_TYPES.ACK:
        this.#takeAcknowledgement(frame.offset);
        break;
      case FRAME_TYPES.CREDIT:
        if (frame.offset < this.#creditOffset || frame.offset > this.deliveredOffset) {
          throw protocolError('a credit is outside what was delivered');
        }
        this.#creditOffset = frame.offset;
        this.named.holderOnRoom(this);
        break;
      case FRAME_TYPES.STATE:
        this.setState(Buffer.from(frame.payload), false);
        break;
      case FRAME_TYPES.WANT:
        this.named.holderOnWant(this);
        break;
      default:
        throw protocolError(`a frame of type ${frame.type} comes from the daemon`);
    }
  }

  #takeAcknowledgement(offset: number): void {
    if (offset < this.#lastAckOffset) throw protocolError('an acknowledgement goes backwards');
    if (offset > this.deliveredOffset) throw protocolError('an acknowledgement is beyond what was delivered');
    this.#lastAckOffset = offset;
    this.commit(offset);
  }

  #takeData({ offset, flags, payload }: Frame): void {
    if (offset !== this.writtenOffset) throw protocolError('a frame does not continue the stream');
    if (payload.length === 0) throw protocolError('a frame of data is empty');
    this.writtenOffset += payload.length;
    if (this.writtenOffset - this.takenOffset > FRAME_WINDOW_BYTES) {
      // Once the peer has ended, our side of the lane has too, and can acknowledge nothing.
      if (!this.#endSent || this.lane.isOnTrunk) throw protocolError('the window was ignored');
      this.lane.pause();
    }
    const isComplete = (flags & FRAME_FLAGS.END_OF_UNIT) !== 0;
    // A call of many frames is sent when it fills the window: all of that must be free for it.
    this.#isWithinWrite = !isComplete;
    this.named.holderOnWrite(this, payload, isComplete);
  }

  /** A holder that writes and does not read must not fill our memory with acknowledgements. */
  #sendDueAck(): void {
    const { isOnTrunk, isBackedUp } = this.lane;
    const due = this.takenOffset - this.#toldOffset;
    if (due < (isOnTrunk && !this.#isWithinWrite ? RARE_ACK_BYTES : 1) || this.#over || isBackedUp) return;
    if (this.#endSent && !isOnTrunk) return;
    this.#toldOffset = this.takenOffset;
    this.lane.sendAck(this.takenOffset);
  }

  /** Does what the holder's end means, once all of its frames are there. */
  #applyEnd(): void {
    const { hasEnded: laneEnded, holder, holderEnd } = this.lane;
    if (this.#over || holderEnd === undefined) return;
    // A linked holder says it on the link, when all that it wrote is taken, and goes on to acknowledge on the lane. A
    // plain client has nothing but its FIN to say it with.
    const plain = holder.link === undefined;
    if (holderEnd === 'clean' && (laneEnded || !plain) && !this.#endApplied) {
      this.#endApplied = true;
      this.named.holderOnEnd();
    }
    const left = holderEnd === 'clean' && plain ? this.#laneClosed : laneEnded;
    if (!left) return;
    if (holderEnd === 'abrupt' && this.named.options.endsWithDestroy === true)
      this.session.close('its holder destroyed the socket', 'abrupt');
    this.#leave();
  }

  /** A lane that does not end, or a word that does not come, must not keep the session from others. */
  #hasten(): void {
    this.#closeTimer ??= setTimeout(() => {
      this.lane.holderEnd ??= 'gone';
      this.#leave();
    }, SETTLE_MS);
  }

  #endLane(error: WireError): void {
    if (this.#over) return;
    this.lane.sendEnd(-1, this.deliveredOffset, error);
    this.#leave();
  }

  #leave(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#closeTimer);
    this.#progress?.();
    this.named.leave(this);
    this.#onOver(this);
    this.lane.leave();
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
