// How much of a session is in a socket's stream and was not taken by the application, also where the stream holds texts
// (`setEncoding`) and counts characters. Asked by framed-transport.ts, which tells the daemon what is consumed.
import type { SharedSocket } from './shared-socket.ts';

/** What is used of a readable stream's state. */
interface ReadableState {
  buffer: Iterable<Buffer | string | null>;
  decoder?: { lastNeed?: number; lastTotal?: number } | null;
}

/** Bytes of the session that are in the socket's stream and that the application has not taken. */
export function untakenBytes(socket: SharedSocket): number {
  const { readableEncoding: encoding } = socket;
  if (encoding === null) return socket.readableLength;
  const { buffer, decoder } = (socket as unknown as { _readableState: ReadableState })._readableState;
  // The bytes of a character that is not whole yet.
  let bytes = (decoder?.lastTotal ?? 0) - (decoder?.lastNeed ?? 0);
  for (const text of buffer) if (text !== null) bytes += Buffer.byteLength(text, encoding);
  return bytes;
}
