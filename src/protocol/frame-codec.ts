// Frames of a framed lane: a header of 12 bytes, big endian, and a payload that only DATA has. Pure functions and one
// decoder over buffers, no sockets. What an offset means and whether it is in order is the lane's business, as is who
// may send which type; here only the form of a frame is checked, by the same rules on both ends.
//
//   type u8 | flags u8 | payload length u32 | offset u48 | payload
import { TlshubError } from '../errors.ts';
import { MAX_FRAME_OFFSET, MAX_FRAME_PAYLOAD_BYTES } from './limits.ts';

/** Bytes of every frame before its payload. */
export const FRAME_HEADER_BYTES = 12;

/** Types of frames. */
export const FRAME_TYPES = {
  /** Either way: bytes of the session; `offset` is the stream offset of the first. */
  DATA: 1,
  /** Either way: every byte before `offset` is consumed (to the daemon) or taken (from it). */
  ACK: 2,
  /** To the daemon: every byte before `offset` has left the window without being consumed for good. */
  CREDIT: 3,
  /** To the daemon, turn mode: the reader waits for one message; `offset` is 0. */
  WANT: 4,
} as const;

/** A value of {@link FRAME_TYPES}. */
export type FrameType = (typeof FRAME_TYPES)[keyof typeof FRAME_TYPES];

/** Bits of the flags; all others are reserved and must be 0. */
export const FRAME_FLAGS = {
  /** DATA only: the last frame of one write, or of one message. */
  END_OF_UNIT: 1,
} as const;

/** A frame as {@link FrameDecoder} gives it. */
export interface Frame {
  readonly type: FrameType;
  /** Bits of {@link FRAME_FLAGS}. */
  readonly flags: number;
  readonly offset: number;
  /** Empty where the type has none; may share memory with the chunk that it came in. */
  readonly payload: Buffer;
}

/** What a frame's header says. */
export interface FrameHeader {
  type: FrameType;
  /** Default 0. */
  flags?: number;
  offset: number;
  /** Length of the payload that follows; default 0. */
  payloadBytes?: number;
}

const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(FRAME_TYPES));
const NO_PAYLOAD = Buffer.alloc(0);
const LENGTH_AT = 2;
const OFFSET_AT = 6;
const OFFSET_BYTES = 6;

/**
 * The header alone, for a payload that is written behind it as a chunk of its own (cork, writev) without a copy.
 * Throws ERR_TLSHUB_PROTOCOL for what a decoder would refuse.
 */
export function encodeFrameHeader({ type, flags = 0, offset, payloadBytes = 0 }: FrameHeader): Buffer {
  const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  writeHeader(header, type, flags, offset, payloadBytes);
  return header;
}

/**
 * A whole frame, header and a copy of the payload. Throws ERR_TLSHUB_PROTOCOL for what a decoder would refuse.
 * @param frame `flags` default to 0 and the payload to none
 */
export function encodeFrame(frame: {
  type: FrameType;
  flags?: number;
  offset: number;
  payload?: Uint8Array;
}): Buffer {
  const { type, flags = 0, offset, payload = NO_PAYLOAD } = frame;
  const whole = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  writeHeader(whole, type, flags, offset, payload.length);
  whole.set(payload, FRAME_HEADER_BYTES);
  return whole;
}

/** Payloads up to this are copied behind their header: that is cheaper than two chunks. */
const COPIED_BYTES = 4 * 1024;

/** Where frames are written to: a net.Socket. */
interface FrameSink {
  cork(): void;
  uncork(): void;
  write(bytes: Buffer): boolean;
}

/** Writes a frame of data, with a copy of the payload or without, whichever is cheaper. */
export function writeDataFrame(
  sink: FrameSink,
  { flags, offset, payload }: { flags: number; offset: number; payload: Buffer },
): void {
  const type = FRAME_TYPES.DATA;
  if (payload.length <= COPIED_BYTES) {
    sink.write(encodeFrame({ type, flags, offset, payload }));
    return;
  }
  sink.cork();
  sink.write(encodeFrameHeader({ type, flags, offset, payloadBytes: payload.length }));
  sink.write(payload);
  sink.uncork();
}

function writeHeader(
  into: Buffer,
  type: FrameType,
  flags: number,
  offset: number,
  payloadBytes: number,
): void {
  if (!Number.isInteger(offset) || offset < 0) refuse(`${offset} is no offset`);
  checkHeader(type, flags, payloadBytes, offset);
  into[0] = type;
  into[1] = flags;
  into.writeUInt32BE(payloadBytes, LENGTH_AT);
  into.writeUIntBE(offset, OFFSET_AT, OFFSET_BYTES);
}

/**
 * Cuts a byte stream into frames. It holds at most one unfinished header or payload, and while {@link next} answers
 * frames, the chunk that was pushed last. After an error every further `next` throws the same.
 */
export class FrameDecoder {
  /** The chunk pushed last, from its first byte that is not used up. */
  #chunk: Buffer = NO_PAYLOAD;
  /** The header of the frame at hand, whole when {@link #headerBytes} says so. */
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  /** A payload that began in an earlier chunk. */
  #payload: Buffer | undefined;
  #payloadBytes = 0;

  /**
   * Takes bytes from the stream; {@link next} must have answered `undefined` before the following `push`, else it
   * throws an Error, since the bytes would pile up here.
   */
  push(chunk: Buffer): void {
    if (this.#chunk.length > 0) throw new Error('frames of the previous chunk are left to be taken');
    this.#chunk = chunk;
  }

  /**
   * The next frame, or `undefined` when more bytes are needed. A payload that lies whole in a chunk is not copied.
   * Throws ERR_TLSHUB_PROTOCOL, as soon as the header is there, for an unknown type, a reserved flag, a payload that
   * is too long or that the type must not have, an offset over the limit, and a WANT with an offset.
   */
  next(): Frame | undefined {
    if (!this.#fillHeader()) return undefined;
    const type = this.#header.readUInt8(0);
    const flags = this.#header.readUInt8(1);
    const length = this.#header.readUInt32BE(LENGTH_AT);
    const offset = this.#header.readUIntBE(OFFSET_AT, OFFSET_BYTES);
    checkHeader(type, flags, length, offset);
    const payload = this.#takePayload(length);
    if (payload === undefined) return undefined;
    this.#headerBytes = 0;
    return { type, flags, offset, payload };
  }

  /** Bytes of an unfinished frame that are held, header included. More than 0 at the stream's end: it was cut. */
  get pendingBytes(): number {
    return this.#headerBytes + this.#payloadBytes + this.#chunk.length;
  }

  #fillHeader(): boolean {
    const missing = FRAME_HEADER_BYTES - this.#headerBytes;
    if (missing > 0) {
      this.#headerBytes += this.#take(missing).copy(this.#header, this.#headerBytes);
    }
    return this.#headerBytes === FRAME_HEADER_BYTES;
  }

  #takePayload(length: number): Buffer | undefined {
    if (this.#payload === undefined) {
      if (length <= this.#chunk.length) return length === 0 ? NO_PAYLOAD : this.#take(length);
      if (this.#chunk.length === 0) return undefined;
      this.#payload = Buffer.allocUnsafeSlow(length);
    }
    this.#payloadBytes += this.#take(length - this.#payloadBytes).copy(this.#payload, this.#payloadBytes);
    if (this.#payloadBytes < length) return undefined;
    const payload = this.#payload;
    this.#payload = undefined;
    this.#payloadBytes = 0;
    return payload;
  }

  /** Up to `bytes` bytes of the chunk, which begins behind them from now on. */
  #take(bytes: number): Buffer {
    const taken = this.#chunk.subarray(0, bytes);
    this.#chunk = taken.length === this.#chunk.length ? NO_PAYLOAD : this.#chunk.subarray(bytes);
    return taken;
  }
}

function checkHeader(type: number, flags: number, length: number, offset: number): asserts type is FrameType {
  if (!isFrameType(type)) refuse(`${type} is no type of frame`);
  if ((flags & ~allowedFlags(type)) !== 0) refuse(`reserved flags are set (${flags})`);
  if (length > MAX_FRAME_PAYLOAD_BYTES) refuse(`a payload is longer than ${MAX_FRAME_PAYLOAD_BYTES} bytes`);
  if (type !== FRAME_TYPES.DATA && length > 0) refuse(`a frame of type ${type} has no payload`);
  if (type === FRAME_TYPES.WANT && offset !== 0) refuse('WANT has an offset');
  if (offset + length > MAX_FRAME_OFFSET) refuse('an offset is over the limit');
}

function isFrameType(type: number): type is FrameType {
  return KNOWN_TYPES.has(type);
}

function allowedFlags(type: FrameType): number {
  return type === FRAME_TYPES.DATA ? FRAME_FLAGS.END_OF_UNIT : 0;
}

function refuse(why: string): never {
  throw new TlshubError('ERR_TLSHUB_PROTOCOL', why);
}
