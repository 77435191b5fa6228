// Connections to the daemon's socket, for links and lanes alike: only through a directory that nobody else could have
// made, for private keys travel on them. And what a connection that failed means.
import { connect, type Socket } from 'node:net';
import { codeOf } from '../errors.ts';
import { recheckPrivateDirectory } from '../link/private-directory.ts';
import { socketPath } from '../link/socket-path.ts';

/** How often a daemon may go away under an opening before that is an error. */
export const MAX_ATTEMPTS = 4;

/** Milliseconds before the second attempt at a daemon that is too busy to accept; each further one waits longer. */
const BUSY_PAUSE_MS = 10;

const NO_DAEMON_CODES: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ECONNREFUSED']);
const BROKEN_CODES: ReadonlySet<string | undefined> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ERR_TLSHUB_DAEMON_LOST',
]);
/** The daemon's backlog is full (unix(7)). */
const BUSY_CODE = 'EAGAIN';

/** How to connect. */
export interface DaemonSocketOptions {
  /** As for net.connect. */
  allowHalfOpen?: boolean;
  /** Which of the directory's daemon processes; default the first. */
  shard?: number;
  /** The directory was found private for the link that is open to the same daemon; default false. */
  checked?: boolean;
}

/**
 * Connects to the socket in a directory. Throws ERR_TLSHUB_DIRECTORY when the directory is not private and
 * ERR_TLSHUB_SOCKET_PATH; other failures are events of the socket.
 */
export function connectToDaemon(directory: string, options: DaemonSocketOptions = {}): Socket {
  const { checked = false, shard, ...rest } = options;
  if (!checked) recheckPrivateDirectory(directory);
  return connect({ path: socketPath(directory, shard), ...rest });
}

/** True when no daemon listens on the socket. */
export function meansNoDaemon(error: unknown): boolean {
  return NO_DAEMON_CODES.has(codeOf(error));
}

/** True when the daemon went away under the connection, or had no room for it: the next attempt may succeed. */
export function meansTryAgain(error: unknown): boolean {
  return BROKEN_CODES.has(codeOf(error)) || codeOf(error) === BUSY_CODE;
}

/** Waits where that helps: after a refusal for lack of room. */
export async function pauseIfBusy(error: unknown, attempt: number): Promise<void> {
  if (codeOf(error) !== BUSY_CODE) return;
  await new Promise((resolve) => setTimeout(resolve, BUSY_PAUSE_MS * attempt));
}
