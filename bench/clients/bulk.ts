// Many bytes one way over one connection, as the body of an HTTP request or response. It works on any stream: a plain
// socket to a middle, or a lease of the wrapper. The pieces that it sends are always the same buffer.
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { PATHS } from '../peers/origin.ts';

const PIECE = Buffer.alloc(64 * 1024);
const HEAD_END = '\r\n\r\n';

/** Fetches the origin's large body and counts it; rejects when it is not as long as said. */
export async function bulkDown(stream: Duplex, bytes: number): Promise<void> {
  stream.write(`GET ${PATHS.down} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  let head = '';
  let received = 0;
  await untilDone(stream, (chunk) => {
    received += chunk.length;
    if (!head.includes(HEAD_END)) {
      head += chunk.toString('latin1');
      if (!head.includes(HEAD_END)) return false;
      if (!head.includes(`\r\nContent-Length: ${bytes}\r\n`))
        throw new Error(`answered: ${head.slice(0, 300)}`);
    }
    const expected = head.indexOf(HEAD_END) + HEAD_END.length + bytes;
    // Only its start is needed from here on.
    head = head.slice(0, head.indexOf(HEAD_END) + HEAD_END.length);
    return received >= expected;
  });
}

/**
 * Sends a large body that the origin swallows. It answers before it has read it all, so a second request follows the
 * body: its answer says that the body has arrived.
 */
export async function bulkUp(stream: Duplex, bytes: number): Promise<void> {
  let text = '';
  const answered = untilDone(stream, (chunk) => {
    text += chunk.toString('latin1');
    return text.split('HTTP/1.1 200 ').length > 2;
  });
  // What goes wrong is heard below, and sending may fail first.
  answered.catch(() => undefined);
  stream.write(`POST ${PATHS.up} HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${bytes}\r\n\r\n`);
  for (let left = bytes; left > 0; left -= PIECE.length) {
    const piece = left >= PIECE.length ? PIECE : PIECE.subarray(0, left);
    if (!stream.write(piece)) await Promise.race([once(stream, 'drain'), answered]);
  }
  stream.write(`GET ${PATHS.small} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  await answered;
}

/** Reads until the predicate holds; rejects when the stream ends or fails before. */
function untilDone(stream: Duplex, isDone: (chunk: Buffer) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = (then: () => void) => {
      stream.off('data', streamOnData);
      stream.off('close', streamOnClose);
      stream.off('error', streamOnError);
      then();
    };
    const streamOnData = (chunk: Buffer) => {
      try {
        if (isDone(chunk)) leave(resolve);
      } catch (error) {
        leave(() => reject(error));
      }
    };
    const streamOnClose = () =>
      leave(() => reject(new Error('the connection ended before all bytes had come')));
    const streamOnError = (error: Error) => leave(() => reject(error));
    stream.on('data', streamOnData);
    stream.on('close', streamOnClose);
    stream.on('error', streamOnError);
  });
}
