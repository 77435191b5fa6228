// The lock that makes a daemon the only one of its directory: flock on a file, held until the process ends. The kernel
// frees it at death, however that comes. Whoever holds it may remove a stale socket; nobody else may. Made by listener.ts.
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { codeOf, TlshubError } from '../errors.ts';
import { directoryError } from '../link/private-directory.ts';
import { tryLock } from '../native/libc.ts';

const lockName = (shard: number) => (shard === 0 ? 'daemon.lock' : `daemon.${shard}.lock`);
const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;

/** The held lock of a directory. */
export class DaemonLock {
  readonly #fd: number;
  readonly #path: string;

  private constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
  }

  /**
   * Takes the lock and writes this process's id into the file, for people. Throws ERR_TLSHUB_ALREADY_RUNNING when
   * another daemon has it, ERR_TLSHUB_DIRECTORY, or ERR_TLSHUB_PEER_CREDENTIALS without native calls.
   * @param directory a private directory
   * @param shard which of the directory's daemon processes; each has a lock of its own
   */
  static take(directory: string, shard = 0): DaemonLock {
    const path = join(directory, lockName(shard));
    for (;;) {
      const fd = openLockFile(path);
      try {
        if (!tryLock(fd)) throw alreadyRunning(directory, shard);
        if (isStillAt(fd, path)) {
          signLock(fd);
          return new DaemonLock(fd, path);
        }
      } catch (error) {
        closeSync(fd);
        throw error instanceof TlshubError ? error : directoryError(error, path);
      }
      // Somebody removed the file between opening and locking: the lock of a file without a name guards nothing.
      closeSync(fd);
    }
  }

  /** False when the lock file was removed or replaced: another daemon may have the directory now. */
  get current(): boolean {
    return isStillAt(this.#fd, this.#path);
  }

  /** Frees the lock. The file stays: removing it would let two daemons lock different files. */
  release(): void {
    closeSync(this.#fd);
  }
}

/** The error of a directory that is taken, naming the process that has it as far as it is known. */
export function alreadyRunning(directory: string, shard = 0): TlshubError {
  const pid = lockHolder(directory, shard);
  const who = pid === undefined ? '' : ` (process ${pid})`;
  return new TlshubError(
    'ERR_TLSHUB_ALREADY_RUNNING',
    `another daemon${who} already serves ${directory}: use that one, or end it with "tlshub stop"`,
  );
}

/** The process id that the last taker of the lock wrote, for messages only. */
export function lockHolder(directory: string, shard = 0): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(join(directory, lockName(shard)), 'utf8'), 10);
    return pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the process id into the lock file, for people. */
function signLock(fd: number): void {
  try {
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`, 0);
  } catch {
    // A full disk. The lock holds without a text.
  }
}

function openLockFile(path: string): number {
  try {
    return openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  } catch (error) {
    throw directoryError(error, path);
  }
}

function isStillAt(fd: number, path: string): boolean {
  try {
    return lstatSync(path).ino === fstatSync(fd).ino;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
