// Writes the head of an HTTP message to a client, with what there is of its body, as one piece where that is possible.
// Used by http-exchange.ts and http-connection.ts.
import type { Socket } from 'node:net';
import { scratchFor, writeBytes } from '../direct-bytes.ts';

/**
 * Writes a head and a part of its body; answers what `write` does.
 * @param client a plain socket
 * @param head in latin1
 * @param bytes hold the part; good only until this returns
 * @param from where in `bytes` it begins
 * @param end where it ends
 */
export function writeHead(client: Socket, head: string, bytes: Buffer, from: number, end: number): boolean {
  const joined = scratchFor(head.length + end - from);
  if (joined === undefined) {
    writeBytes(client, Buffer.from(head, 'latin1'));
    return writeBytes(client, bytes.subarray(from, end));
  }
  joined.write(head, 0, 'latin1');
  if (end > from) bytes.copy(joined, head.length, from, end);
  return writeBytes(client, joined);
}
