// The lock that lets one process at a time start a daemon. It is flock on a named pipe: the holder has the pipe open for
// writing, so all who wait with it open for reading learn at once when the holder is done, or dead; the kernel does both.
// Waiting takes no thread and no timer and can be given up, which a blocking flock cannot: it would keep the process
// from exiting. Used by start-daemon.ts only.
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { codeOf, TlshubError } from '../errors.ts';
import { directoryError } from '../link/private-directory.ts';
import { makeFifo, tryLock } from '../native/libc.ts';

const { O_RDWR, O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;

/** The held lock. */
export class StartLock {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Takes the lock when it is free; otherwise waits until its holder has given it up and answers `undefined`: the
   * caller looks what the holder has achieved, and asks again if need be.
   * Rejects with ERR_TLSHUB_DIRECTORY, ERR_TLSHUB_PEER_CREDENTIALS (no native calls), or the signal's reason.
   * @param path where the named pipe is or is made, in a private directory
   * @param signal gives up the waiting
   */
  static async takeOrWait(path: string, signal: AbortSignal): Promise<StartLock | undefined> {
    try {
      signal.throwIfAborted();
      makePipe(path);
      const free = StartLock.#take(path);
      if (free !== undefined) return free;
      const reader = openPipe(path, O_RDONLY);
      // Asked again now that its end will not be missed: the holder may have gone before the pipe was open.
      const freed = StartLock.#take(path);
      if (freed !== undefined) {
        closeSync(reader);
        return freed;
      }
      await writersGone(reader, signal);
      return undefined;
    } catch (error) {
      throw error instanceof TlshubError || signal.aborted ? error : directoryError(error, path);
    }
  }

  /** Frees the lock and wakes who waits for it. */
  release(): void {
    closeSync(this.#fd);
  }

  static #take(path: string): StartLock | undefined {
    // Open for writing before it is locked: whoever finds it locked can rely on a writer.
    const fd = openPipe(path, O_RDWR);
    try {
      if (tryLock(fd)) return new StartLock(fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
    return undefined;
  }
}

function makePipe(path: string): void {
  try {
    makeFifo(path, 0o600);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

function openPipe(path: string, access: number): number {
  const fd = openSync(path, access | O_NONBLOCK | O_NOFOLLOW);
  if (fstatSync(fd).isFIFO()) return fd;
  closeSync(fd);
  throw new TlshubError('ERR_TLSHUB_DIRECTORY', `${path} is in the way and is no named pipe: remove it`);
}

/** Resolves when no process has the pipe open for writing; takes over the descriptor. */
function writersGone(fd: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const reader = new Socket({ fd, readable: true, writable: false });
    const signalOnAbort = () => reader.destroy(signal.reason);
    signal.addEventListener('abort', signalOnAbort, { once: true });
    reader.once('error', reject);
    reader.once('close', () => {
      signal.removeEventListener('abort', signalOnAbort);
      resolve();
    });
    reader.resume();
  });
}
