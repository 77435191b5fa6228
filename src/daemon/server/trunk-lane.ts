// One lane of a trunk, as the daemon sees it: how the frames of one holder (named/framed-holder.ts) share the connection of
// its process. All that is said of it, its end too, comes in order and on the trunk.
import { TlshubError } from '../../errors.ts';
import { FRAME_FLAGS, FRAME_TYPES, type Frame } from '../../protocol/frame-codec.ts';
import { MAX_FRAME_PAYLOAD_BYTES } from '../../protocol/limits.ts';
import type { WireError } from '../../protocol/messages.ts';
import type { HolderEnd, LaneHolder } from '../lane.ts';
import type { FramedLane, FramedLaneOwner } from '../named/framed-lane.ts';
import type { Trunk } from './trunk.ts';

/** A lane. */
export class TrunkLane implements FramedLane {
  readonly holder: LaneHolder;
  readonly isOnTrunk = true;
  /** What waits on the trunk is bounded for all of its lanes together. */
  readonly bufferedBytes = 0;
  holderEnd: HolderEnd | undefined;
  hasEnded = false;
  /** Called when the worker gives the session back without having looked at it. */
  onReturned: (() => void) | undefined;
  readonly #trunk: Trunk;
  #owner: FramedLaneOwner | undefined;
  #isUntouched = true;
  #mayTake: boolean;
  #endSent: 0 | -1 | undefined;

  /** @param hasSaidTake the frame with which its worker took it has come */
  constructor(trunk: Trunk, holder: LaneHolder, hasSaidTake: boolean) {
    this.#trunk = trunk;
    this.holder = holder;
    this.#mayTake = !hasSaidTake;
  }

  get isBackedUp(): boolean {
    return this.#trunk.isBackedUp(this);
  }

  /** The session is not the worker's after all. */
  refuse(): void {
    this.#trunk.refuse(this.holder.lane);
    this.leave();
  }

  start(owner: FramedLaneOwner): void {
    this.#owner = owner;
  }

  sendData(flags: number, offset: number, payload: Buffer): void {
    this.#send(FRAME_TYPES.DATA, flags, offset, payload);
  }

  sendAck(offset: number): void {
    this.#send(FRAME_TYPES.ACK, 0, offset);
  }

  sendEnd(rc: 0 | -1, bytes: number, error?: WireError): void {
    if (this.#endSent === -1 || this.#endSent === rc) return;
    this.#endSent = rc;
    this.#send(FRAME_TYPES.END, rc === 0 ? 0 : FRAME_FLAGS.FAILED, bytes, error && encoded(error));
  }

  // Its window is all that a worker can send.
  pause(): void {}

  resume(): void {}

  leave(): void {
    this.#trunk.forget(this);
  }

  /** A frame of this lane. */
  receive(frame: Frame): void {
    const owner = this.#owner;
    if (owner === undefined) return;
    if (this.#mayTake && frame.type === FRAME_TYPES.TAKE) {
      this.#mayTake = false;
      return;
    }
    const isUntouched = this.#isUntouched;
    this.#isUntouched = false;
    switch (frame.type) {
      case FRAME_TYPES.END:
        if ((frame.flags & FRAME_FLAGS.FAILED) === 0) owner.holderOnEnd('clean');
        else {
          this.hasEnded = true;
          owner.holderOnEnd('abrupt');
        }
        return;
      case FRAME_TYPES.CLOSE:
        this.hasEnded = true;
        if (isUntouched) this.onReturned?.();
        // Who closes without a word leaves it to others.
        this.holderEnd ??= 'gone';
        owner.laneOnEnd();
        return;
      case FRAME_TYPES.TAKE:
        owner.laneOnFault(new TlshubError('ERR_TLSHUB_PROTOCOL', 'the session was taken before'));
        return;
      default:
        owner.laneOnFrame(frame);
        owner.laneOnPause();
    }
  }

  /** The worker reads again. */
  trunkOnDrain(): void {
    this.#owner?.laneOnDrain();
  }

  /** The trunk is gone. */
  trunkOnClose(): void {
    this.hasEnded = true;
    this.holderEnd ??= 'gone';
    this.#owner?.laneOnClose();
  }

  #send(type: Frame['type'], flags: number, offset: number, payload?: Buffer): void {
    this.#trunk.writer.send({ lane: this.holder.lane, type, flags, offset }, payload);
  }
}

/** An error that is too long for a frame loses what is only for people. */
function encoded(error: WireError): Buffer {
  const whole = Buffer.from(JSON.stringify(error));
  if (whole.length <= MAX_FRAME_PAYLOAD_BYTES) return whole;
  return Buffer.from(JSON.stringify({ message: error.message.slice(0, 1_000), code: error.code }));
}
