// Writes the head of an HTTP message with what there is of its body, as one piece where that is cheaper than two. Used by
// http-exchange.ts.
import type { Writable } from 'node:stream';

/** Bytes up to which copying head and body together costs less than writing two pieces. */
const MAX_JOINED_BYTES = 16 * 1024;

/**
 * Writes a head and a part of its body; answers what `write` does.
 * @param head in latin1
 * @param bytes hold the part
 * @param from where in `bytes` it begins
 * @param end where it ends
 */
export function writeHead(socket: Writable, head: string, bytes: Buffer, from: number, end: number): boolean {
  const bodyBytes = end - from;
  if (bodyBytes === 0) return socket.write(head, 'latin1');
  if (bodyBytes > MAX_JOINED_BYTES) {
    socket.cork();
    socket.write(head, 'latin1');
    const flushed = socket.write(bytes.subarray(from, end));
    socket.uncork();
    return flushed;
  }
  const joined = Buffer.allocUnsafe(head.length + bodyBytes);
  joined.write(head, 0, 'latin1');
  bytes.copy(joined, head.length, from, end);
  return socket.write(joined);
}
