// tls.attach: a socket on a session that another process opened and left in the daemon.
import { TlshubError } from '../errors.ts';
import { socketDirectory } from '../link/socket-path.ts';
import type { TlshubSocket } from './connect.ts';
import { checkWait } from './shared-options.ts';
import { SharedSocket } from './shared-socket.ts';

/** Options of {@link attach}. */
export interface AttachOptions {
  /** Milliseconds to wait while another process holds the session; 0 fails at once (0). */
  wait?: number;
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
 * Takes over a session by its handle: `secureConnect` is emitted when it is ours, then come the bytes that were left
 * unread, then live ones. The `error` event has ERR_TLSHUB_HANDLE_INVALID, _STALE or _UNKNOWN, or
 * ERR_TLSHUB_SESSION_BUSY. Throws ERR_TLSHUB_INVALID_OPTION.
 * @param handle what `detach()` answered
 * @param options how the socket behaves
 * @param listener added to `secureConnect`
 */
export function attach(handle: string, options: AttachOptions = {}, listener?: () => void): TlshubSocket {
  if (typeof handle !== 'string')
    throw new TlshubError('ERR_TLSHUB_INVALID_OPTION', 'the handle must be a string');
  const {
    wait = 0,
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
      socket: { noDelay, keepAlive, keepAliveInitialDelay },
    },
    stream: { allowHalfOpen, highWaterMark, signal } as object,
    rejectUnauthorized: true,
  });
  if (listener !== undefined) socket.once('secureConnect', listener);
  return socket as unknown as TlshubSocket;
}
