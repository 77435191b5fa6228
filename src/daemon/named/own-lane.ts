// A framed lane on a Unix socket of its own. How it ends is told on the link (lane.ts), and by the socket's end.
import { keepReading } from '../../link/keep-reading.ts';
import { encodeFrame, FRAME_TYPES, FrameDecoder, writeDataFrame } from '../../protocol/frame-codec.ts';
import type { WireError } from '../../protocol/messages.ts';
import { keepBytes, startReader } from '../direct-bytes.ts';
import type { HolderEnd, Lane, LaneHolder } from '../lane.ts';
import type { FramedLane, FramedLaneOwner } from './framed-lane.ts';

/** Milliseconds that a holder which is done with may take to close its end. */
const CLOSE_MS = 5_000;

/** A lane with frames on it. */
export class OwnLane implements FramedLane {
  readonly isOnTrunk = false;
  readonly #lane: Lane;
  readonly #decoder = new FrameDecoder();
  #isLeft = false;
  #isClosed = false;

  /** @param lane its reply is written, or will be before {@link start} */
  constructor(lane: Lane) {
    this.#lane = lane;
  }

  get holder(): LaneHolder {
    return this.#lane.holder;
  }

  get holderEnd(): HolderEnd | undefined {
    return this.#lane.holderEnd;
  }

  set holderEnd(end: HolderEnd | undefined) {
    this.#lane.holderEnd = end;
  }

  get bufferedBytes(): number {
    return this.#lane.socket.writableLength + this.#lane.socket.readableLength;
  }

  get isBackedUp(): boolean {
    return this.#lane.socket.writableNeedDrain;
  }

  get hasEnded(): boolean {
    return this.#isClosed || this.#lane.socket.readableEnded;
  }

  start(owner: FramedLaneOwner): void {
    const { socket } = this.#lane;
    // Its last acknowledgements count, whatever was being sent to it when it died.
    keepReading(socket, () => {});
    // What of a frame cannot leave at once waits in the queue of writes.
    startReader(socket, (bytes) => this.#receive(keepBytes(bytes), owner));
    socket.on('drain', () => owner.laneOnDrain());
    socket.on('end', () => owner.laneOnEnd());
    socket.on('close', () => {
      this.#isClosed = true;
      owner.laneOnClose();
    });
    socket.resume();
    // A client may have ended its side while it waited for the reply.
    if (socket.readableEnded) owner.laneOnEnd();
  }

  sendData(flags: number, offset: number, payload: Buffer): void {
    writeDataFrame(this.#lane.socket, { flags, offset, payload });
  }

  sendAck(offset: number): void {
    this.#lane.socket.write(encodeFrame({ type: FRAME_TYPES.ACK, offset }));
  }

  sendEnd(rc: 0 | -1, bytes: number, error?: WireError): void {
    this.#lane.sendEnd(rc, bytes, error);
    if (rc === 0) this.#lane.socket.end();
    else this.#lane.socket.destroySoon();
  }

  pause(): void {
    this.#lane.socket.pause();
  }

  resume(): void {
    this.#lane.socket.resume();
  }

  leave(): void {
    this.#isLeft = true;
    const { socket } = this.#lane;
    // What it still says is dropped; a holder that does not read to the end is not waited for.
    socket.resume();
    socket.destroySoon();
    const timer = setTimeout(() => socket.destroy(), CLOSE_MS).unref();
    socket.once('close', () => clearTimeout(timer));
  }

  #receive(chunk: Buffer, owner: FramedLaneOwner): void {
    if (this.#isLeft) return;
    try {
      this.#decoder.push(chunk);
      for (
        let frame = this.#decoder.next();
        frame !== undefined && !this.#isLeft;
        frame = this.#decoder.next()
      ) {
        owner.laneOnFrame(frame);
      }
    } catch (error) {
      owner.laneOnFault(error as Error);
    }
    owner.laneOnPause();
  }
}
