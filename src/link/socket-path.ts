// Where the daemon's socket is: the one rule that wrapper, daemon and command line share. Pure; nothing is created or
// looked at here (private-directory.ts does that).
import { tmpdir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { TlshubError } from '../errors.ts';
import { MAX_SOCKET_PATH_BYTES } from '../protocol/limits.ts';

/** Name of the socket in its directory. No other name made there for a socket may be longer. */
export const SOCKET_NAME = 'tlshub.sock';

/** Name of the socket of one of several daemon processes (shards); the first has {@link SOCKET_NAME}. */
export function socketName(shard: number): string {
  return shard === 0 ? SOCKET_NAME : `tlshub.s${shard}`;
}

/** sun_path is 4 bytes shorter on macOS (unix(4)). */
const MAX_PATH_BYTES = process.platform === 'darwin' ? MAX_SOCKET_PATH_BYTES - 4 : MAX_SOCKET_PATH_BYTES;

/** The user id that owns what this process makes, and that other processes are compared with. */
export function ownUid(): number {
  // Absent on Windows only, which package.json excludes.
  return process.geteuid?.() ?? -1;
}

/**
 * The absolute directory of the socket: `TLSHUB_DIR` (against the working directory), else `tlshub` in
 * `XDG_RUNTIME_DIR` (only an absolute one counts, as its specification says), else `tlshub-UID` in the directory for
 * temporary files.
 * @param env environment to read, this process's by default
 */
export function socketDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const { TLSHUB_DIR: own, XDG_RUNTIME_DIR: runtime } = env;
  if (own !== undefined && own !== '') return resolve(own);
  if (runtime !== undefined && isAbsolute(runtime)) return join(runtime, 'tlshub');
  return join(tmpdir(), `tlshub-${ownUid()}`);
}

/**
 * The path of the socket. Throws ERR_TLSHUB_SOCKET_PATH when it is longer than a Unix socket allows (unix(7)).
 * @param directory the absolute directory of the socket
 * @param shard which of the directory's daemon processes; default the first
 */
export function socketPath(directory: string, shard = 0): string {
  const path = join(directory, socketName(shard));
  // All or none: a directory in which only some of the sockets fit would fail later.
  const bytes = Buffer.byteLength(join(directory, SOCKET_NAME));
  if (bytes > MAX_PATH_BYTES) {
    throw new TlshubError(
      'ERR_TLSHUB_SOCKET_PATH',
      `the path of the socket, ${path}, has ${bytes} bytes; a Unix socket allows ${MAX_PATH_BYTES}: ` +
        'set TLSHUB_DIR to a shorter path',
    );
  }
  return path;
}
