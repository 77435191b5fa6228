// The directory of the socket: made private, or checked to be so, before anything in it is trusted. Whoever can write
// there, or can put another directory in its place, could take the daemon's place, so every doubt is a refusal.
// Called by the wrapper before it connects, by the starter and by the daemon.
import { lstatSync, mkdirSync, realpathSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { codeOf, messageOf, TlshubError } from '../errors.ts';
import { ownUid } from './socket-path.ts';

const OWNER_BITS = 0o700;
const OTHERS_BITS = 0o077;
const GROUP_WRITE = 0o020;
const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;
const ROOT_UID = 0;

/** Milliseconds for which the way to a directory that was found private is not looked at again. */
const KNOWN_MS = 1_000;

const ELSEWHERE = 'or set TLSHUB_DIR to a directory of your own';

/** What to do about the failures that the file system reports. */
const ADVICE: Readonly<Record<string, string>> = {
  EACCES: `it is not writable for uid ${ownUid()}: change its permissions, ${ELSEWHERE}`,
  EPERM: `it is not writable for uid ${ownUid()}: change its permissions, ${ELSEWHERE}`,
  EROFS: 'its file system is read-only: set TLSHUB_DIR to a directory on another one',
  ENOSPC: 'its file system is full: make room there, or set TLSHUB_DIR to a directory on another one',
  EDQUOT: 'your quota there is used up: make room, or set TLSHUB_DIR to a directory on another file system',
  ENOENT: `its parent directory does not exist: make that first (mkdir -p), ${ELSEWHERE}`,
  ENOTDIR: 'a part of the path is no directory: set TLSHUB_DIR to a directory of your own',
  ELOOP: 'a part of the path is a loop of symbolic links: set TLSHUB_DIR to a directory of your own',
  ENAMETOOLONG: 'the path is too long: set TLSHUB_DIR to a shorter one',
  EMFILE: 'this process has no descriptors left: raise "ulimit -n"',
  ENFILE: 'the system has no descriptors left',
};

/**
 * Makes the directory with mode 0700, or checks one that is there, as {@link checkPrivateDirectory} does.
 * Throws ERR_TLSHUB_DIRECTORY with what to do about it. The parent must exist.
 * @param directory absolute path
 */
export function ensurePrivateDirectory(directory: string): void {
  checkAncestors(directory);
  try {
    mkdirSync(directory, { mode: OWNER_BITS });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw directoryError(error, directory);
  }
  checkItself(directory, lstatSync(directory));
}

/** Directories that this process found private, and when it looked at the whole way to them last. */
const known = new Map<string, { stats: Stats; checkedAtMs: number }>();

/**
 * As {@link checkPrivateDirectory}, for who asks often: the way to a directory is looked at once a second, the directory
 * itself each time. Only we and the superuser could make that way unsafe, and what stands at its end is still ours.
 * @param directory absolute path
 */
export function recheckPrivateDirectory(directory: string): boolean {
  const before = known.get(directory);
  if (before !== undefined && performance.now() - before.checkedAtMs < KNOWN_MS) {
    const stats = lstatSync(directory, { throwIfNoEntry: false });
    if (stats !== undefined && isSame(stats, before.stats)) return true;
  }
  known.delete(directory);
  const checkedAtMs = performance.now();
  const stats = checkedStats(directory);
  if (stats !== undefined) known.set(directory, { stats, checkedAtMs });
  return stats !== undefined;
}

/** The same directory with the same owner and mode, which was checked; a new one may have the number of one removed. */
function isSame(stats: Stats, before: Stats): boolean {
  return (
    stats.ino === before.ino &&
    stats.dev === before.dev &&
    stats.mode === before.mode &&
    stats.uid === before.uid
  );
}

/**
 * True when the directory is there and private, false when it does not exist. It is private when it is a real
 * directory (no symbolic link), ours, closed to all others (mode 0700), and no other user may rename a directory on
 * the way to it. Throws ERR_TLSHUB_DIRECTORY with what to do otherwise.
 * @param directory absolute path
 */
export function checkPrivateDirectory(directory: string): boolean {
  return checkedStats(directory) !== undefined;
}

function checkedStats(directory: string): Stats | undefined {
  let stats: Stats;
  try {
    stats = lstatSync(directory);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw directoryError(error, directory);
  }
  checkItself(directory, stats);
  checkAncestors(directory);
  return stats;
}

/**
 * An ERR_TLSHUB_DIRECTORY that tells what to do about a failed operation in the directory.
 * @param cause the error of the operation
 * @param path what the operation was about
 */
export function directoryError(cause: unknown, path: string): TlshubError {
  const advice = ADVICE[codeOf(cause) ?? ''] ?? messageOf(cause);
  return new TlshubError('ERR_TLSHUB_DIRECTORY', `cannot use ${path}: ${advice}`, { cause });
}

function refuse(directory: string, why: string): never {
  throw new TlshubError('ERR_TLSHUB_DIRECTORY', `refusing to use ${directory}: ${why}`);
}

function checkItself(directory: string, stats: Stats): void {
  if (stats.isSymbolicLink())
    refuse(directory, 'it is a symbolic link; set TLSHUB_DIR to the directory itself');
  if (!stats.isDirectory()) refuse(directory, `it is not a directory; remove it, ${ELSEWHERE}`);
  if (stats.uid !== ownUid()) {
    refuse(directory, `it belongs to uid ${stats.uid}, not to ${ownUid()}; remove it, ${ELSEWHERE}`);
  }
  if ((stats.mode & OTHERS_BITS) !== 0 || (stats.mode & OWNER_BITS) !== OWNER_BITS) {
    const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
    refuse(directory, `its mode is ${mode}, not 0700; run: chmod 700 ${quoted(directory)}`);
  }
}

/** Checks the way to the directory as it is written and as it is resolved: both can lead elsewhere later. */
function checkAncestors(directory: string): void {
  const parent = dirname(directory);
  try {
    for (const ancestor of new Set([...ancestorsOf(parent), ...ancestorsOf(realpathSync(parent))])) {
      checkAncestor(directory, ancestor, lstatSync(ancestor));
    }
  } catch (error) {
    throw error instanceof TlshubError ? error : directoryError(error, directory);
  }
}

function checkAncestor(directory: string, ancestor: string, stats: Stats): void {
  if (stats.uid !== ROOT_UID && stats.uid !== ownUid()) {
    refuse(
      directory,
      `${ancestor} belongs to uid ${stats.uid}, who could replace it; set TLSHUB_DIR elsewhere`,
    );
  }
  // Links have no mode of their own; in a sticky directory only the owner may rename an entry.
  if (stats.isSymbolicLink() || (stats.mode & STICKY) !== 0) return;
  // A group with our own number is the one that many systems make for each user alone.
  const sharedGroup = stats.gid !== ownUid() && (stats.mode & GROUP_WRITE) !== 0;
  if (sharedGroup || (stats.mode & OTHERS_WRITE) !== 0) {
    refuse(directory, `other users may write to ${ancestor} and could replace it; set TLSHUB_DIR elsewhere`);
  }
}

function ancestorsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [path] : [...ancestorsOf(parent), path];
}

function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
