// The one place that touches Node's stream handles: moves the handle of a connected Unix socket to another
// net.Socket, so that the application's socket *is* the lane, with native backpressure, and native readers (http2)
// find a real handle on it. It relies on two things that Node 20 to 26 have in common: a socket keeps its handle in
// `_handle`, and the handle names its socket in a property of its own.
import { Socket } from 'node:net';

/** What is used of a native stream handle. */
export interface StreamHandle {
  reading: boolean;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readStop(): number;
  close(): void;
  ref(): void;
  unref(): void;
}

type WithHandle = { _handle: StreamHandle | null };

/** The native handle of a socket, if it has one now. */
export function handleOf(socket: Socket): StreamHandle | null {
  return (socket as unknown as WithHandle)._handle;
}

/**
 * Stops a connected socket from reading and takes its handle away; the socket is of no use afterwards.
 * Throws when Node's internals are not as expected.
 */
export function takeHandle(carrier: Socket): StreamHandle {
  const handle = handleOf(carrier);
  if (handle === null) throw new Error('the socket has no handle');
  handle.readStop();
  handle.reading = false;
  (carrier as unknown as WithHandle)._handle = null;
  carrier.removeAllListeners();
  carrier.on('error', () => {});
  // Without a handle it holds nothing that would have to be let go of.
  return handle;
}

/**
 * Makes `socket` the owner of a handle that was taken from `carrier`.
 * @param carrier the socket that had the handle
 */
export function giveHandle(socket: Socket, handle: StreamHandle, carrier: Socket): void {
  const owned = handle as unknown as Record<symbol, unknown>;
  const ownerSymbol = Object.getOwnPropertySymbols(handle).find((symbol) => owned[symbol] === carrier);
  if (ownerSymbol === undefined) throw new Error('the handle does not name its socket');
  owned[ownerSymbol] = socket;
  (socket as unknown as WithHandle)._handle = handle;
}

/** Stops a socket's handle from reading; `_read` starts it again. */
export function stopReading(socket: Socket): void {
  const handle = handleOf(socket);
  if (handle?.reading !== true) return;
  handle.reading = false;
  handle.readStop();
}

/** Restarts a socket's idle timer, as bytes on a handle do (`net.Socket` does it in the same, undocumented, way). */
export function refreshTimeout(socket: Socket): void {
  (socket as unknown as { _unrefTimer?: () => void })._unrefTimer?.();
}

/** Node's own count of a socket's bytes; the members of that name answer for the session, without its lines. */
export function laneCount(socket: Socket, name: 'bytesRead' | 'bytesWritten'): number {
  return (Reflect.get(Socket.prototype, name, socket) as number | undefined) ?? 0;
}

/** Bytes in a socket's stream that the application has not taken; a half-decoded character counts as not taken. */
export function unreadBytesOf(socket: Socket): number {
  const { decoder } = (socket as unknown as { _readableState: { decoder?: { lastNeed?: number } | null } })
    ._readableState;
  return socket.readableLength + (decoder?.lastNeed ?? 0);
}
