// Leaving a session in the daemon with its unread bytes. The daemon stops delivering and says how much it delivered;
// what of that the application has not read goes back over the lane, so the next process continues at the exact byte.
import { TlshubError } from '../errors.ts';
import { MAX_UNREAD_BYTES } from '../protocol/limits.ts';
import type { DaemonLink } from './daemon-link.ts';
import { unreadBytesOf } from './lane-handle.ts';
import type { SharedSocket } from './shared-socket.ts';

/** Bytes that may be on their way in the lane on top of those that the stream holds. */
const IN_FLIGHT_BYTES = 512 * 1024;

/**
 * Detaches a socket's session and closes the socket. Answers the handle. Rejects with ERR_TLSHUB_NOT_DETACHABLE.
 * @param socket open, with all its writes flushed
 * @param link the link of its lane
 * @param lane the lane's number
 */
export async function detachSocket(socket: SharedSocket, link: DaemonLink, lane: number): Promise<string> {
  refuseIfImpossible(socket);
  socket.pause();
  const arrived = collectArrivals(socket);
  const { delivered } = await link.call('detach', { lane, sent: socket.sentBytes });
  // Not before: a daemon that is busy goes on delivering to who takes everything.
  await arrived.until(Number(delivered));
  const unread = Buffer.concat([...takeBuffered(socket), ...arrived.chunks]);
  const handed = link.call('detached', { lane, unread: unread.length });
  if (unread.length > 0) socket.write(unread);
  const { handle } = await handed;
  return String(handle);
}

function refuseIfImpossible(socket: SharedSocket): void {
  const refuse = (why: string) => {
    throw new TlshubError('ERR_TLSHUB_NOT_DETACHABLE', why);
  };
  if (socket.writableEnded) refuse('the socket has ended its side');
  // Half a character may wait in the decoder, with an empty stream.
  if (socket.readableEncoding !== null && unreadBytesOf(socket) > 0) {
    refuse('unread bytes were decoded by setEncoding(); read them first');
  }
  if (socket.readableLength + IN_FLIGHT_BYTES > MAX_UNREAD_BYTES)
    refuse('too many bytes are unread; read some first');
}

/** Collects what still arrives, apart from the stream: its buffer may be full, and it may decode. */
function collectArrivals(socket: SharedSocket) {
  const chunks: Buffer[] = [];
  let check: (() => void) | undefined;
  socket.divert((chunk) => {
    chunks.push(chunk);
    check?.();
    return check !== undefined;
  });
  const until = (delivered: number) =>
    new Promise<void>((resolve, reject) => {
      const socketOnClose = () =>
        reject(new TlshubError('ERR_TLSHUB_NOT_DETACHABLE', 'the socket closed meanwhile'));
      socket.once('close', socketOnClose);
      check = () => {
        if (socket.receivedBytes < delivered) return;
        socket.off('close', socketOnClose);
        resolve();
      };
      socket._read(0);
      check();
    });
  return { chunks, until };
}

/** What the stream holds, without giving it to the application. */
function takeBuffered(socket: SharedSocket): Buffer[] {
  socket.removeAllListeners('data');
  socket.removeAllListeners('readable');
  const chunks: Buffer[] = [];
  for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) chunks.push(chunk);
  return chunks;
}
