// Finds out whether a daemon listens on a socket, without saying a word to it. Used by the daemon before it removes a
// stale socket, by the starter and by the doctor.
import { connect } from 'node:net';
import { codeOf } from '../errors.ts';

/** What stands behind the path of a socket. */
export type SocketState = 'listening' | 'stale' | 'absent';

/** connect(2): nobody listens, or the file is no socket. */
const STALE_CODES: ReadonlySet<string | undefined> = new Set(['ECONNREFUSED', 'ENOTSOCK']);
/** connect(2): somebody listens, but its queue is full or its descriptors are used up. */
const BUSY_CODES: ReadonlySet<string | undefined> = new Set(['EAGAIN', 'ECONNRESET', 'EPIPE']);

/**
 * `listening` when a process accepts connections there, `stale` when none does, `absent` when there is no file.
 * Rejects with the system error when it cannot be told (EACCES, EMFILE, …).
 * @param path path of the socket
 */
export function probeSocket(path: string): Promise<SocketState> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve('listening');
    });
    socket.once('error', (error) => {
      const code = codeOf(error);
      if (code === 'ENOENT') resolve('absent');
      else if (STALE_CODES.has(code)) resolve('stale');
      else if (BUSY_CODES.has(code)) resolve('listening');
      else reject(error);
    });
  });
}
