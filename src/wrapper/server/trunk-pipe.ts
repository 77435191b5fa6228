// The frames of one session on the trunk of this process. The end of the session is told in order, behind its last byte.
import { FRAME_FLAGS, FRAME_TYPES, type Frame, type FrameType } from '../../protocol/frame-codec.ts';
import { decodeError } from '../../protocol/wire-error.ts';
import type { FramePipe, FramePipeOwner } from '../frame-pipe.ts';
import type { LaneEnd } from '../link-holders.ts';
import type { Trunk } from './trunk.ts';

/** One lane of a trunk. */
export class TrunkPipe implements FramePipe {
  readonly isOnTrunk = true;
  readonly lane: number;
  readonly #trunk: Trunk;
  #owner: FramePipeOwner | undefined;
  /** Told how the daemon's side of the lane ends. */
  #tellEnd: ((end: LaneEnd) => void) | undefined;
  /** Frames that came before somebody wanted them, or while they are held. */
  #waiting: Frame[] | undefined = [];
  #hasEnded = false;
  #isBroken = false;
  #isReferenced = true;
  #endSent: 0 | -1 | undefined;
  #isClosed = false;

  constructor(trunk: Trunk, lane: number) {
    this.#trunk = trunk;
    this.lane = lane;
    trunk.link.holdProcess();
  }

  /** @param tellEnd told how the daemon's side ends, before the owner is told that it does */
  onEnd(tellEnd: (end: LaneEnd) => void): void {
    this.#tellEnd = tellEnd;
  }

  start(owner: FramePipeOwner): void {
    this.#owner = owner;
    this.hold(false);
    if (this.#hasEnded && this.#trunk.isLost) owner.pipeOnEnd();
  }

  sendData(flags: number, offset: number, payload: Buffer): void {
    if (this.#isBroken) this.#tellBroken();
    else this.#trunk.writer.send({ lane: this.lane, type: FRAME_TYPES.DATA, flags, offset }, payload);
  }

  send(type: FrameType, offset: number): void {
    this.#trunk.writer.send({ lane: this.lane, type, flags: 0, offset });
  }

  afterWritten(then: () => void): void {
    this.#trunk.writer.afterWritten(then);
  }

  /** Opaque state of the session; one that was set by a call counts more. */
  sendState(state: Buffer): void {
    this.#trunk.writer.send({ lane: this.lane, type: FRAME_TYPES.STATE, flags: 0, offset: 0 }, state);
  }

  /** Our side of the lane ends; −1 for good. */
  sendEnd(rc: 0 | -1, bytes: number): void {
    this.#endSent = rc;
    const flags = rc === 0 ? 0 : FRAME_FLAGS.FAILED;
    this.#trunk.writer.send({ lane: this.lane, type: FRAME_TYPES.END, flags, offset: bytes });
  }

  soon(note: () => void): void {
    this.#trunk.writer.beforeWrite(note);
  }

  afterSent(then: () => void): void {
    this.#trunk.afterSent(then);
  }

  hold(held: boolean): void {
    if (held) {
      this.#waiting ??= [];
      return;
    }
    const frames = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const frame of frames) this.receive(frame);
  }

  /** Nothing more is said of it. Without an end before, the session is another worker's. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.unref();
    this.#trunk.forget(this.lane);
    if (this.#endSent === -1) return;
    this.#trunk.writer.send({ lane: this.lane, type: FRAME_TYPES.CLOSE, flags: 0, offset: 0 });
  }

  ref(): void {
    if (this.#isReferenced || this.#isClosed) return;
    this.#isReferenced = true;
    this.#trunk.link.holdProcess();
  }

  unref(): void {
    if (!this.#isReferenced) return;
    this.#isReferenced = false;
    this.#trunk.link.letProcessExit();
  }

  /** A frame of this lane. */
  receive(frame: Frame): void {
    const owner = this.#owner;
    if (this.#waiting !== undefined || owner === undefined) {
      this.#waiting?.push(frame);
      return;
    }
    if (frame.type === FRAME_TYPES.END) {
      // What the application does with the bytes before it comes first, as with an end of a connection of its own.
      setImmediate(() => this.#receiveEnd(frame, owner));
      return;
    }
    try {
      owner.pipeOnFrame(frame);
    } catch (error) {
      owner.pipeOnFault(error as Error);
    }
  }

  /** The trunk is gone; what that means, the link's end tells. */
  trunkOnLost(): void {
    this.#hasEnded = true;
    this.#owner?.pipeOnEnd();
  }

  #receiveEnd({ flags, payload }: Frame, owner: FramePipeOwner): void {
    const isForGood = (flags & FRAME_FLAGS.FAILED) !== 0;
    const error = payload.length === 0 ? undefined : decodeError(JSON.parse(payload.toString()));
    this.#tellEnd?.({ rc: isForGood ? -1 : 0, ...(error && { error }) });
    this.#isBroken = isForGood;
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    owner.pipeOnEnd();
  }

  /** As a write to a connection that is gone fails. */
  #tellBroken(): void {
    const error = Object.assign(new Error('write EPIPE'), { code: 'EPIPE', errno: -32, syscall: 'write' });
    process.nextTick(() => this.#owner?.pipeOnBroken(error));
  }
}
