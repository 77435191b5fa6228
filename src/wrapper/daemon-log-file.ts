// The file that a started daemon logs to, from the starter's side: opened before the daemon runs, rotated when it has
// grown, and read for the last words of a daemon that ended early. Used by spawn-daemon.ts and the doctor.
import { closeSync, constants, fstatSync, openSync, readSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { directoryError } from '../link/private-directory.ts';

/** Name of the log in the directory of the socket; the one before it has `.1` behind its name. */
export const LOG_NAME = 'daemon.log';

/** Bytes from which a log is put aside at the next start. */
const ROTATE_BYTES = 5 * 1024 * 1024;
/** Bytes at the end of the log in which the last line is looked for. */
const TAIL_BYTES = 16 * 1024;
const MAX_SHOWN_CHARACTERS = 500;
const { O_RDWR, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;

/** An open log. */
export interface OpenLog {
  readonly fd: number;
  /** Its size when it was opened, in bytes: what follows is this daemon's. */
  readonly startBytes: number;
}

/**
 * Opens the log for appending, private (0600), and puts one of over 5 MiB aside first.
 * Throws ERR_TLSHUB_DIRECTORY.
 * @param directory a private directory
 */
export function openDaemonLog(directory: string): OpenLog {
  const path = join(directory, LOG_NAME);
  try {
    let log = openForAppending(path);
    if (log.startBytes > ROTATE_BYTES) {
      closeSync(log.fd);
      renameSync(path, `${path}.1`);
      log = openForAppending(path);
    }
    return log;
  } catch (error) {
    throw directoryError(error, path);
  }
}

function openForAppending(path: string): OpenLog {
  const fd = openSync(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  return { fd, startBytes: fstatSync(fd).size };
}

/**
 * What the log has got since it was opened that best tells why a daemon ended: its last event, or the first line of
 * text that names an error. Shortened; `undefined` when there is nothing.
 */
export function lastWords(log: OpenLog): string | undefined {
  const { size } = fstatSync(log.fd);
  const start = Math.max(log.startBytes, size - TAIL_BYTES);
  const tail = Buffer.alloc(Math.max(0, size - start));
  readSync(log.fd, tail, 0, tail.length, start);
  const lines = tail
    .toString('utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const last = lines.at(-1);
  if (last === undefined) return undefined;
  const words = eventText(last) ?? lines.find((line) => /^tlshub: |error/i.test(line)) ?? last;
  return words.replace(/^tlshub: /, '').slice(0, MAX_SHOWN_CHARACTERS);
}

/** The message of a log event, with that of its error. */
function eventText(line: string): string | undefined {
  try {
    const { msg, err } = JSON.parse(line) as { msg?: unknown; err?: { message?: unknown } };
    return [msg, err?.message].filter((part) => typeof part === 'string').join(': ') || undefined;
  } catch {
    return undefined;
  }
}
