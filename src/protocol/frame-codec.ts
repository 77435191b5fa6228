// Frames of a framed lane: a header of 12 bytes, big endian, and a payload where the type has one; on a trunk the number of
// the lane comes before the header. Pure functions and one decoder over buffers, no sockets. What an offset means and
// whether it is in order is the lane's business, as is who may send which type; here only the form is checked.
//
//   [ lane u32 ] | type u8 | flags u8 | payload length u32 | offset u48 | payload
import { TlshubError } from '../errors.ts';
import { MAX_FRAME_OFFSET, MAX_FRAME_PAYLOAD_BYTES } from './limits.ts';

/** Bytes of every frame before its payload; on a trunk the lane's number comes first. */
export const FRAME_HEADER_BYTES = 12;
const LANE_BYTES = 4;

/** Bytes of a trunk's frame before its payload. */
export const TRUNK_HEADER_BYTES = LANE_BYTES + FRAME_HEADER_BYTES;

/** Largest number of a lane that a trunk's frame can carry. */
export const MAX_TRUNK_LANE = 2 ** 32 - 1;

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
  /** Trunk, to the worker: a session, if it is taken; the payload is JSON, in as many frames as it needs; `offset` is 0. */
  OFFER: 5,
  /** Trunk, to the daemon: the session is the worker's, if it is still offered to it; `offset` is 0. */
  TAKE: 6,
  /** Trunk, either way: the sender's side of the lane ends; `offset` is what it has sent, the payload an error or none. */
  END: 7,
  /** Trunk, to the daemon: nothing more comes of the lane; `offset` is 0. */
  CLOSE: 8,
  /** Trunk, to the daemon: the payload is the session's state from now on; `offset` is 0. */
  STATE: 9,
} as const;

/** A value of {@link FRAME_TYPES}. */
export type FrameType = (typeof FRAME_TYPES)[keyof typeof FRAME_TYPES];

/** Bits of the flags; all others are reserved and must be 0. */
export const FRAME_FLAGS = {
  /** DATA and OFFER: the last frame of one write, of one message, or of one description. */
  END_OF_UNIT: 1,
  /** END: not in order. */
  FAILED: 2,
} as const;

/** A frame as {@link FrameDecoder} gives it. */
export interface Frame {
  /** On a trunk; 0 elsewhere. */
  readonly lane: number;
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

interface Rule {
  flags: number;
  hasPayload: boolean;
  hasOffset: boolean;
}

/** What a frame of each type may have. */
const RULES: readonly (Rule | undefined)[] = [
  undefined,
  { flags: FRAME_FLAGS.END_OF_UNIT, hasPayload: true, hasOffset: true },
  { flags: 0, hasPayload: false, hasOffset: true },
  { flags: 0, hasPayload: false, hasOffset: true },
  { flags: 0, hasPayload: false, hasOffset: false },
  { flags: FRAME_FLAGS.END_OF_UNIT, hasPayload: true, hasOffset: false },
  { flags: 0, hasPayload: false, hasOffset: false },
  { flags: FRAME_FLAGS.FAILED, hasPayload: true, hasOffset: true },
  { flags: 0, hasPayload: false, hasOffset: false },
  { flags: 0, hasPayload: true, hasOffset: false },
];
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
  at = 0,
): void {
  if (!Number.isInteger(offset) || offset < 0) refuse(`${offset} is no offset`);
  checkHeader(type, flags, payloadBytes, offset, at > 0);
  into[at] = type;
  into[at + 1] = flags;
  into.writeUInt32BE(payloadBytes, at + LENGTH_AT);
  into.writeUIntBE(offset, at + OFFSET_AT, OFFSET_BYTES);
}

/** Writes a trunk's header into a buffer. Throws ERR_TLSHUB_PROTOCOL for what a decoder would refuse. */
export function writeTrunkHeader(
  into: Buffer,
  at: number,
  { lane, type, flags, offset }: { lane: number; type: FrameType; flags: number; offset: number },
  payloadBytes: number,
): void {
  into.writeUInt32BE(lane, at);
  // Behind the lane: that is where the header of a trunk is.
  writeHeader(into, type, flags, offset, payloadBytes, at + LANE_BYTES);
}

/**
 * Cuts a byte stream into frames. It holds at most one unfinished header or payload, and while {@link next} answers
 * frames, the chunk that was pushed last. After an error every further `next` throws the same.
 */
export class FrameDecoder {
  readonly #laneBytes: number;
  readonly #headerLength: number;
  /** The chunk pushed last, and how much of it is used up. */
  #chunk: Buffer = NO_PAYLOAD;
  #at = 0;
  /** The header of the frame at hand where it came in several chunks, and how much of it is there. */
  #gathered: Buffer | undefined;
  #headerBytes = 0;
  /** What the header says, once it is whole. */
  #lane = 0;
  #type = 0;
  #flags = 0;
  #length = 0;
  #offset = 0;
  /** A payload that began in an earlier chunk. */
  #payload: Buffer | undefined;
  #payloadBytes = 0;

  /** @param of a lane with a connection of its own (default), or of a trunk, with the types of its own */
  constructor(of: 'lane' | 'trunk' = 'lane') {
    this.#laneBytes = of === 'trunk' ? LANE_BYTES : 0;
    this.#headerLength = this.#laneBytes + FRAME_HEADER_BYTES;
  }

  /**
   * Takes bytes from the stream; {@link next} must have answered `undefined` before the following `push`, else it
   * throws an Error, since the bytes would pile up here.
   */
  push(chunk: Buffer): void {
    if (this.#at < this.#chunk.length) throw new Error('frames of the previous chunk are left to be taken');
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * The next frame, or `undefined` when more bytes are needed. A payload that lies whole in a chunk is not copied.
   * Throws ERR_TLSHUB_PROTOCOL, as soon as the header is there, for an unknown type, a reserved flag, a payload that
   * is too long or that the type must not have, an offset over the limit, and one where the type has none.
   */
  next(): Frame | undefined {
    if (!this.#findHeader()) return undefined;
    const [lane, type, flags, length, offset] = [
      this.#lane,
      this.#type,
      this.#flags,
      this.#length,
      this.#offset,
    ];
    checkHeader(type, flags, length, offset, this.#laneBytes > 0);
    const payload = this.#takePayload(length);
    if (payload === undefined) return undefined;
    this.#headerBytes = 0;
    return { lane, type, flags, offset, payload };
  }

  /** Bytes of an unfinished frame that are held, header included. More than 0 at the stream's end: it was cut. */
  get pendingBytes(): number {
    return this.#headerBytes + this.#payloadBytes + this.#chunk.length - this.#at;
  }

  #findHeader(): boolean {
    const missing = this.#headerLength - this.#headerBytes;
    if (missing === 0) return true;
    const here = this.#chunk.length - this.#at;
    if (here === 0) {
      // Nothing of a chunk that is used up is kept.
      this.#chunk = NO_PAYLOAD;
      this.#at = 0;
      return false;
    }
    if (this.#headerBytes === 0 && here >= missing) {
      this.#readHeader(this.#chunk, this.#at);
    } else {
      this.#gathered ??= Buffer.alloc(this.#headerLength);
      this.#chunk.copy(this.#gathered, this.#headerBytes, this.#at);
      if (here >= missing) this.#readHeader(this.#gathered, 0);
    }
    const taken = Math.min(missing, here);
    this.#headerBytes += taken;
    this.#at += taken;
    return taken === missing;
  }

  #readHeader(from: Buffer, start: number): void {
    if (this.#laneBytes > 0) this.#lane = from.readUInt32BE(start);
    const at = start + this.#laneBytes;
    this.#type = from[at] ?? 0;
    this.#flags = from[at + 1] ?? 0;
    this.#length = from.readUInt32BE(at + LENGTH_AT);
    this.#offset = from.readUIntBE(at + OFFSET_AT, OFFSET_BYTES);
  }

  #takePayload(length: number): Buffer | undefined {
    if (this.#payload === undefined) {
      if (length === 0) return NO_PAYLOAD;
      const here = this.#chunk.length - this.#at;
      if (length <= here) return this.#take(length);
      if (here === 0) return undefined;
      this.#payload = Buffer.allocUnsafeSlow(length);
    }
    this.#payloadBytes += this.#take(length - this.#payloadBytes).copy(this.#payload, this.#payloadBytes);
    if (this.#payloadBytes < length) return undefined;
    const payload = this.#payload;
    this.#payload = undefined;
    this.#payloadBytes = 0;
    return payload;
  }

  /** Up to `bytes` bytes of the chunk, which goes on behind them. */
  #take(bytes: number): Buffer {
    const taken = this.#chunk.subarray(this.#at, this.#at + bytes);
    this.#at += taken.length;
    return taken;
  }
}

function checkHeader(
  type: number,
  flags: number,
  length: number,
  offset: number,
  ofTrunk: boolean,
): asserts type is FrameType {
  const rule = RULES[type];
  if (rule === undefined || (type > FRAME_TYPES.WANT && !ofTrunk)) refuse(`${type} is no type of frame`);
  if ((flags & ~rule.flags) !== 0) refuse(`reserved flags are set (${flags})`);
  if (length > MAX_FRAME_PAYLOAD_BYTES) refuse(`a payload is longer than ${MAX_FRAME_PAYLOAD_BYTES} bytes`);
  if (!rule.hasPayload && length > 0) refuse(`a frame of type ${type} has no payload`);
  if (!rule.hasOffset && offset !== 0) refuse(`${nameOf(type)} has an offset`);
  if (offset + length > MAX_FRAME_OFFSET) refuse('an offset is over the limit');
}

function nameOf(type: number): string {
  const [name] = Object.entries(FRAME_TYPES).find(([, value]) => value === type) ?? [];
  return String(name);
}

function refuse(why: string): never {
  throw new TlshubError('ERR_TLSHUB_PROTOCOL', why);
}
