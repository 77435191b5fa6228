// Writing to a trunk, at both ends: the frames of all its lanes that are made in one turn of the event loop leave in one
// write. An acknowledgement goes behind the answer: who dies between them gets the question again, and can see (by
// `writtenAt`) that the answer left.
import type { Socket } from 'node:net';
import { type FrameType, TRUNK_HEADER_BYTES, writeTrunkHeader } from '../protocol/frame-codec.ts';

/** A frame of a lane. */
export interface LaneFrame {
  lane: number;
  type: FrameType;
  flags: number;
  offset: number;
}

/** Payloads up to this are copied behind their header: that is cheaper than a chunk of their own. */
const COPIED_BYTES = 4 * 1024;
const BLOCK_BYTES = 64 * 1024;
/** A frame with a payload that is copied has room in what is left of a block, or a new one is begun. */
const MIN_ROOM_BYTES = TRUNK_HEADER_BYTES + COPIED_BYTES;

/** Frames one after the other. */
class Batch {
  readonly #parts: Buffer[] = [];
  /** The block that is filled now, from the first byte that was not given away, and how much of that is used. */
  #block = Buffer.alloc(0);
  #used = 0;
  bytes = 0;

  add(frame: LaneFrame, payload: Buffer | undefined): void {
    const length = payload?.length ?? 0;
    if (this.#block.length - this.#used < MIN_ROOM_BYTES) {
      this.#cut();
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    }
    writeTrunkHeader(this.#block, this.#used, frame, length);
    this.#used += TRUNK_HEADER_BYTES;
    this.bytes += TRUNK_HEADER_BYTES + length;
    if (payload === undefined) return;
    if (length <= COPIED_BYTES) {
      this.#block.set(payload, this.#used);
      this.#used += length;
    } else {
      this.#cut();
      this.#parts.push(payload);
    }
  }

  /** Everything that was added since; it may be kept. */
  take(): Buffer[] {
    this.#cut();
    this.bytes = 0;
    return this.#parts.splice(0);
  }

  #cut(): void {
    if (this.#used === 0) return;
    this.#parts.push(this.#block.subarray(0, this.#used));
    this.#block = this.#block.subarray(this.#used);
    this.#used = 0;
  }
}

/** Writes the frames of one trunk. */
export class TrunkWriter {
  readonly #socket: Socket;
  readonly #batch = new Batch();
  #dueNotes: (() => void)[] = [];
  #written: (() => void)[] = [];
  #isDue = false;

  /** @param socket the trunk */
  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Bytes that wait to be written, or for the other end to read. */
  get waitingBytes(): number {
    return this.#batch.bytes + this.#socket.writableLength;
  }

  /** Sends a frame; its payload must not be changed afterwards. */
  send(frame: LaneFrame, payload?: Buffer): void {
    this.#batch.add(frame, payload);
    this.#schedule();
  }

  /** Runs `note` before the next write. */
  beforeWrite(note: () => void): void {
    this.#dueNotes.push(note);
    this.#schedule();
  }

  /** Runs `then` when the system has everything that was sent so far. */
  afterWritten(then: () => void): void {
    this.#written.push(then);
    this.#schedule();
  }

  /** Writes now what there is. */
  readonly flush = (): void => {
    this.#isDue = false;
    const notes = this.#dueNotes;
    if (notes.length > 0) this.#dueNotes = [];
    for (const note of notes) note();
    const parts = this.#batch.take();
    const socket = this.#socket;
    // A write behind its end would destroy it, and with it what the other end has sent.
    if (!socket.writable) return;
    if (parts.length > 1) socket.cork();
    for (const part of parts) socket.write(part);
    if (parts.length > 1) socket.uncork();
    const written = this.#written;
    if (written.length === 0) return;
    this.#written = [];
    const tell = (error?: Error | null) => {
      if (!error) for (const then of written) then();
    };
    if (socket.writableLength === 0) tell();
    else socket.write('', tell);
  };

  #schedule(): void {
    // A note that is due for the write under way adds to it.
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(this.flush);
  }
}
