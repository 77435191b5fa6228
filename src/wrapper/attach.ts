// tls.attach: a socket on a session that another process opened and left in the daemon.
import { TlshubError } from '../errors.ts';
import { socketDirectory } from '../link/socket-path.ts';
import type { CommitKind } from '../protocol/session-name.ts';
import type { TlshubSocket } from './connect.ts';
import { SharedSocket } from './shared-socket.ts';
import { checkCommit, checkWait } from './sharing-options.ts';

/** Options of {@link attach}. */
export interface AttachOptions {
  /** Milliseconds to wait while another process holds the session; 0 fails at once (0). */
  wait?: number;
  /** Named sessions: when a byte counts as consumed (`auto`). */
  commit?: CommitKind;
  allowHalfOpen?: boolean;
  /** Bytes that the socket buffers before it stops reading. */
  highWaterMark?: number;
  /** Aborting it destroys the socket. */
  signal?: AbortSignal;
  noDelay?: boolean;
  keepAlive?: boolean;
  /** Milliseconds. */
  keepAliveInitialDelay?: number;
}

/**
 * Takes over a session by its handle, or joins one by its name: `secureConnect` is emitted when it is ours, then come the bytes that were left
 * unread, then live ones. The `error` event has ERR_TLSHUB_HANDLE_INVALID, _STALE or _UNKNOWN, or
 * ERR_TLSHUB_SESSION_BUSY. Throws ERR_TLSHUB_INVALID_OPTION.
 * @param handle what `detach()` answered, or the name of a named session
 * @param options how the socket behaves
 * @param listener added to `secureConnect`
 */
export function attach(handle: string, options: AttachOptions = {}, listener?: () => void): TlshubSocket {
  if (typeof handle !== 'string')
    throw new TlshubError('ERR_TLSHUB_INVALID_OPTION', 'the handle must be a string');
  const {
    wait = 0,
    commit,
    noDelay,
    keepAlive,
    keepAliveInitialDelay,
    allowHalfOpen,
    highWaterMark,
    signal,
  } = options;
  const socket = new SharedSocket({
    directory: socketDirectory(),
    target: {
      call: 'attach',
      handle,
      waitMs: checkWait(wait, 'wait'),
      commit: commit === undefined ? undefined : checkCommit(commit),
      socket: { noDelay, keepAlive, keepAliveInitialDelay },
    },
    stream: { allowHalfOpen, highWaterMark, signal } as object,
    rejectUnauthorized: true,
  });
  if (listener !== undefined) socket.once('secureConnect', listener);
  return socket as unknown as TlshubSocket;
}
