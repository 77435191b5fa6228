// Puts a bound socket under its public name, all at once: it is bound and made private under a temporary name, then
// linked into place. A socket on which somebody listens is never removed. Used by listener.ts, under the daemon's lock,
// and by the doors of endpoints, where the lock is the kernel's: only one name can be linked.
import { randomBytes } from 'node:crypto';
import { linkSync, lstatSync, readdirSync, renameSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { codeOf, TlshubError } from '../errors.ts';
import { directoryError } from '../link/private-directory.ts';
import { probeSocket } from '../link/probe-socket.ts';

/** Temporary names: the shard in two digits. As long as the socket's own name, so that it fits wherever that fits. */
const TEMPORARY_NAME = /^\.([0-9a-f]{2})[0-9a-f]{8}$/;

/** A path in the directory under which nothing is yet. */
export function temporaryPath(directory: string, shard = 0): string {
  return join(directory, `.${shard.toString(16).padStart(2, '0')}${randomBytes(4).toString('hex')}`);
}

/** Removes the temporary sockets of a shard that died while it started. Only for the holder of its lock. */
export function removeLeftovers(directory: string, shard = 0): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const owner = entry.isSocket() ? TEMPORARY_NAME.exec(entry.name)?.[1] : undefined;
    if (owner !== undefined && Number.parseInt(owner, 16) === shard)
      removeIfThere(join(directory, entry.name));
  }
}

/** A socket under its public name. */
export class PlacedSocket {
  readonly path: string;
  readonly #inode: number;

  private constructor(path: string, inode: number) {
    this.path = path;
    this.#inode = inode;
  }

  /**
   * Moves a bound socket to its public name; one that nobody listens on is replaced. Rejects with what `inUse` makes when
   * somebody listens there, and with ERR_TLSHUB_DIRECTORY.
   * @param path the public name
   * @param temporary where the socket was bound, in the same directory; the name is gone afterwards
   * @param inUse makes the error for a name on which somebody listens
   * @param shard whose temporary names are used
   */
  static async place(path: string, temporary: string, inUse: () => Error, shard = 0): Promise<PlacedSocket> {
    try {
      const inode = inodeOf(temporary);
      while (!linkIfFree(temporary, path)) await removeStale(path, inUse, shard);
      return new PlacedSocket(path, inode ?? 0);
    } catch (error) {
      // What `inUse` made is as it is to be; whatever else is no error of ours comes from the file system.
      const isOurs = error instanceof TlshubError || codeOf(error) === 'EADDRINUSE';
      throw isOurs ? error : directoryError(error, path);
    } finally {
      removeIfThere(temporary);
    }
  }

  /** True while the public name still leads to this socket. */
  get current(): boolean {
    return inodeOf(this.path) === this.#inode;
  }

  /** Removes the public name, unless it leads to another socket by now. */
  remove(): void {
    if (this.current) removeIfThere(this.path);
  }
}

function linkIfFree(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

async function removeStale(path: string, inUse: () => Error, shard: number): Promise<void> {
  const stale = lstatSync(path, { throwIfNoEntry: false });
  if (stale === undefined) return;
  if (!stale.isSocket()) {
    throw new TlshubError('ERR_TLSHUB_DIRECTORY', `${path} is in the way and is no socket: remove it`);
  }
  if ((await probeSocket(path)) === 'listening') throw inUse();
  // Where the host offers no lock, another daemon may have placed its socket since the probe: take the name away first,
  // then look what it was.
  const aside = temporaryPath(dirname(path), shard);
  renameSync(path, aside);
  if (inodeOf(aside) !== stale.ino) linkIfFree(aside, path);
  removeIfThere(aside);
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}
