// Paths of Unix sockets that node:net can connect to. Pure; the wrapper shares no other, and the daemon takes no other
// from a client: for one that libuv refuses at once, tls.connect with a `servername` throws and then emits an `error`
// that nobody can listen to (seen in Node 22 to 26), which would end the process.
import { MAX_SOCKET_PATH_BYTES } from './limits.ts';

/** macOS has four bytes fewer for it (sys/un.h). */
const MAX_BYTES = process.platform === 'darwin' ? MAX_SOCKET_PATH_BYTES - 4 : MAX_SOCKET_PATH_BYTES;

/**
 * True for a path that fits a Unix socket's address. Only at its beginning may it have a zero byte, for a name in
 * Linux's abstract namespace (unix(7)).
 */
export function fitsUnixSocket(path: string): boolean {
  return (
    path.length > (path.startsWith('\0') ? 1 : 0) &&
    path.indexOf('\0', 1) === -1 &&
    Buffer.byteLength(path) <= MAX_BYTES
  );
}
