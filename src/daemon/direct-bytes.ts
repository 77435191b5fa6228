// Bytes of sockets without copies and without what Node's streams cost. One landing buffer serves all sockets of the
// process: a reader gets a view of it and must be done with it when it returns, so an idle socket holds no buffer. The
// only file that knows how node:net sets up its option `onread`; on a Node where that was never tried, streams do it all.
import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** Takes bytes of a socket as they come. They are good only until it returns; see {@link keepBytes}. */
export type BytesReader = (bytes: Buffer) => void;

/** The last major version of Node on which all that this file relies on was found to hold. */
const LAST_TRIED_NODE = 26;
/** What libuv reads at once; node:tls decrypts a quarter of it at once. */
const LANDING_BYTES = 64 * 1024;
/** Length of the blocks for bytes that wait to be written: the longest TLS record (RFC 8446 §5.1). */
const BLOCK_BYTES = 16 * 1024;
/** Fewer bytes than this get memory of their own length. */
const SMALL_BYTES = 4 * 1024;
/** A record's content behind a head of HTTP. */
const SCRATCH_BYTES = 48 * 1024;
/** More free blocks are not kept. */
const MAX_FREE_BLOCKS = 64;

const READER: unique symbol = Symbol('reader');

interface DirectSocket extends Socket {
  [READER]?: BytesReader | undefined;
  _handle: { readonly fd?: number; useUserBuffer?(buffer: Buffer): void } | null;
}

/** The properties in which a socket keeps its `onread`. */
interface OnreadKeys {
  readonly buffer: symbol;
  readonly callback: symbol;
}

const keys = findOnreadKeys();
const landing = Buffer.allocUnsafeSlow(LANDING_BYTES);
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
/** Blocks that are used again: new ones for each wait would keep the garbage collector busy. */
const freeBlocks: Buffer[] = [];

/**
 * Gives the bytes of a socket to `reader`, in the place of a listener of `data`. The socket is paused: `resume` begins.
 * `pause`, `end` and all else are as always, but that what node:tls has decrypted already comes in spite of `pause`.
 */
export function startReader(socket: Socket, reader: BytesReader): void {
  stopReader(socket);
  landDirectly(socket);
  (socket as DirectSocket)[READER] = reader;
  // What waits in the stream comes first, and where nothing lands directly everything comes this way.
  socket.on('data', socketOnData);
  socket.pause();
}

/**
 * Gives the bytes of a socket to `reader` from now on, in the place of another reader if it has one, and reads: without
 * the pause between two readers, which costs two system calls.
 */
export function readOn(socket: Socket, reader: BytesReader): void {
  const direct = socket as DirectSocket;
  if (direct[READER] === undefined) startReader(socket, reader);
  else direct[READER] = reader;
  if (socket.readableFlowing !== true) socket.resume();
}

/** The reader of a socket, if it has one, gets nothing more. The socket is paused, and its stream keeps what comes. */
export function stopReader(socket: Socket): void {
  const direct = socket as DirectSocket;
  if (direct[READER] === undefined) return;
  direct[READER] = undefined;
  socket.off('data', socketOnData);
  holdBytes(socket);
}

/**
 * Cuts a socket that is gone from all that listened to it. Node's handle of a socket is kept for longer than new objects
 * are, with the socket; what hangs on that would be moved about in memory once or twice before it is found to be garbage.
 */
export function forgetSocket(socket: Socket): void {
  (socket as DirectSocket)[READER] = undefined;
  socket.removeAllListeners();
  socket.on('error', ignoreError);
}

/** Pauses a socket without a reader: its stream fills up, and its end is noticed while nothing waits before it. */
export function holdBytes(socket: Socket): void {
  socket.pause();
  // With `onread`, pausing stops the handle at once; a stream would read on until it is full.
  socket.read(0);
}

/** Bytes of a reader, to be kept. */
export function keepBytes(bytes: Buffer): Buffer {
  if (keys === undefined) return bytes;
  // Not from Node's pool: a few bytes that are kept for long would hold a whole block of it.
  const kept = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(kept);
  return kept;
}

/**
 * Memory for bytes that are made up of others and written at once; like those of a reader they are good only until the
 * next ones are. Undefined when there are more than fit.
 */
export function scratchFor(bytes: number): Buffer | undefined {
  if (bytes > SCRATCH_BYTES) return undefined;
  return keys === undefined ? Buffer.allocUnsafe(bytes) : scratch.subarray(0, bytes);
}

/**
 * Writes bytes of a reader to a plain socket. Answers as `write`: false while the socket wants no more.
 * @param socket not TLS, and nobody writes to its descriptor but its stream
 * @param onWritten called when those that had to wait have left, or cannot
 */
export function writeBytes(socket: Socket, bytes: Buffer, onWritten?: () => void): boolean {
  if (keys === undefined) return socket.write(bytes, onWritten);
  const written = isQuiet(socket) ? tryWrite((socket as DirectSocket)._handle?.fd ?? -1, bytes) : 0;
  if (written === bytes.length) return true;
  return writeCopy(socket, written === 0 ? bytes : bytes.subarray(written), onWritten);
}

/**
 * Writes bytes of a reader to a TLS connection. Answers as `write`.
 * @param onWritten called when they have left, or cannot
 */
export function encryptBytes(tls: TLSSocket, bytes: Buffer, onWritten?: () => void): boolean {
  // With nothing before them node:tls encrypts, or copies, all of them before `write` returns.
  if (keys === undefined || isQuiet(tls)) return tls.write(bytes, onWritten);
  return writeCopy(tls, bytes, onWritten);
}

/** True when a write reaches the handle before it returns, for nothing waits before it. */
function isQuiet(socket: Socket): boolean {
  return socket.writableLength === 0 && socket.writableCorked === 0 && socket.writable;
}

/** Bytes that the kernel took. */
function tryWrite(fd: number, bytes: Buffer): number {
  if (fd < 0) return 0;
  try {
    return writeSync(fd, bytes);
  } catch {
    // It is full, or broken: the stream waits, or tells what is wrong.
    return 0;
  }
}

function writeCopy(socket: Socket, bytes: Buffer, onWritten?: () => void): boolean {
  if (bytes.length < SMALL_BYTES || bytes.length > BLOCK_BYTES)
    return socket.write(keepBytes(bytes), onWritten);
  const block = freeBlocks.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
  bytes.copy(block);
  return socket.write(block.subarray(0, bytes.length), (error) => {
    // After a failure the stream may hold on to it.
    if (!error && freeBlocks.length < MAX_FREE_BLOCKS) freeBlocks.push(block);
    onWritten?.();
  });
}

/** Sets the socket up as its option `onread` would have, had there been one when Node made it. */
function landDirectly(socket: Socket): void {
  const { _handle: handle } = socket as DirectSocket;
  if (keys === undefined || handle?.useUserBuffer === undefined) return;
  const fields = socket as unknown as Record<symbol, unknown>;
  if (fields[keys.buffer] !== null) return;
  fields[keys.buffer] = landing;
  fields[keys.callback] = socketOnLanding;
  handle.useUserBuffer(landing);
}

function ignoreError(): void {}

function socketOnData(this: DirectSocket, bytes: Buffer): void {
  this[READER]?.(bytes);
}

/** Node's `onread.callback`, called with the socket as `this`; false stops the reading. */
function socketOnLanding(this: DirectSocket, length: number): boolean {
  const bytes = landing.subarray(0, length);
  const reader = this[READER];
  if (reader === undefined || this.readableLength > 0) return this.push(keepBytes(bytes));
  reader(bytes);
  return this.readableFlowing === true;
}

function findOnreadKeys(): OnreadKeys | undefined {
  const major = Number.parseInt(process.versions.node, 10);
  // On Windows a read is under way before its bytes are there, so sockets cannot share a buffer.
  if (major > LAST_TRIED_NODE || process.platform === 'win32') return undefined;
  const symbols = Object.getOwnPropertySymbols(new Socket());
  const find = (name: string) => symbols.find(({ description }) => description === name);
  const buffer = find('kBuffer');
  const callback = find('kBufferCb');
  return buffer === undefined || callback === undefined ? undefined : { buffer, callback };
}
