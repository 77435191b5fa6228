// How the frames of one holder travel: on a Unix socket of its own (own-lane.ts), or on the trunk of a worker
// (../server/trunk-lane.ts). What the frames mean is framed-holder.ts.
import type { Frame } from '../../protocol/frame-codec.ts';
import type { WireError } from '../../protocol/messages.ts';
import type { HolderEnd, LaneHolder } from '../lane.ts';

/** Who is told what comes on a lane. */
export interface FramedLaneOwner {
  /** A frame. What it throws is a fault of the holder: `laneOnFault` follows, and no further frame. */
  laneOnFrame(frame: Frame): void;
  laneOnFault(error: Error): void;
  /** All frames that came together were told. */
  laneOnPause(): void;
  /** It is not backed up any more. */
  laneOnDrain(): void;
  /** The holder ends its side of the stream. */
  holderOnEnd(end: 'clean' | 'abrupt'): void;
  /** Nothing more comes. */
  laneOnEnd(): void;
  /** It is gone, both ways. */
  laneOnClose(): void;
}

/** One lane that carries frames. */
export interface FramedLane {
  readonly holder: LaneHolder;
  /** How the holder said its side ended. */
  holderEnd: HolderEnd | undefined;
  /** Bytes that wait on it, both directions, as far as they are told apart from those of other lanes. */
  readonly bufferedBytes: number;
  /** The other end does not keep up: nothing should be sent until `laneOnDrain`. */
  readonly isBackedUp: boolean;
  /** Nothing more comes. */
  readonly hasEnded: boolean;
  /** It shares a trunk: our side can be heard to the very end, and acknowledgements may be rare. */
  readonly isOnTrunk: boolean;
  start(owner: FramedLaneOwner): void;
  sendData(flags: number, offset: number, payload: Buffer): void;
  sendAck(offset: number): void;
  /** Tells the holder that our side ends, behind all that was sent; −1 for good, and at most once. */
  sendEnd(rc: 0 | -1, bytes: number, error?: WireError): void;
  /** Takes nothing in, and takes it in again. */
  pause(): void;
  resume(): void;
  /** The holder is done with: what still comes is dropped. */
  leave(): void;
}
