// Reads the files of the configuration, and only those that nobody else can have put there: a file that other users may
// write to could give them our trust, and a key that they may read is no secret. What is checked is what is read: the
// open file, not its path. Called by load-contexts.ts.
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { codeOf, messageOf, TlshubError } from '../../errors.ts';
import { ownUid } from '../../link/socket-path.ts';

const GROUP_WRITE = 0o020;
const OTHERS_WRITE = 0o002;
const GROUP_BITS = 0o070;
const OTHERS_BITS = 0o007;
const ROOT_UID = 0;

/** Longest file that is read, in bytes: more than the CA list of any system. */
const MAX_FILE_BYTES = 8 * 1024 * 1024;

/** What may be read of a file by others: `secret` files not at all. */
export type FileKind = 'secret' | 'public';

const ADVICE: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: `uid ${ownUid()} may not read it`,
  ENOTDIR: 'a part of the path is no directory',
  ELOOP: 'a part of the path is a loop of symbolic links',
};

/**
 * The contents of a file that belongs to us or to root, and that no one else may write to; symbolic links are followed.
 * One that is `secret` may not be read by others either; the group may when the file belongs to root. Throws
 * ERR_TLSHUB_CONFIG with what to do.
 * @param path absolute
 */
export function readGuardedFile(path: string, kind: FileKind): Buffer {
  let descriptor: number;
  try {
    // A named pipe would hold the daemon up.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw refusal(path, ADVICE[codeOf(error) ?? ''] ?? messageOf(error));
  }
  try {
    check(path, kind, fstatSync(descriptor));
    return readFileSync(descriptor);
  } catch (error) {
    throw error instanceof TlshubError ? error : refusal(path, messageOf(error));
  } finally {
    closeSync(descriptor);
  }
}

function check(path: string, kind: FileKind, stats: Stats): void {
  if (!stats.isFile()) throw refusal(path, 'it is not a file');
  if (stats.uid !== ownUid() && stats.uid !== ROOT_UID)
    throw refusal(path, `it belongs to uid ${stats.uid}, not to ${ownUid()} or root`);
  // A group with our own number is the one that many systems make for each user alone.
  const ownGroup = stats.gid === ownUid();
  const mayWrite = OTHERS_WRITE | (ownGroup ? 0 : GROUP_WRITE);
  if ((stats.mode & mayWrite) !== 0)
    throw refusal(path, `other users may write to it (mode ${modeOf(stats)}); run: chmod go-w ${path}`);
  const mayRead = OTHERS_BITS | (ownGroup || stats.uid === ROOT_UID ? 0 : GROUP_BITS);
  if (kind === 'secret' && (stats.mode & mayRead) !== 0)
    throw refusal(path, `other users may read it (mode ${modeOf(stats)}); run: chmod go= ${path}`);
  if (stats.size > MAX_FILE_BYTES) throw refusal(path, `it is longer than ${MAX_FILE_BYTES} bytes`);
}

function modeOf(stats: Stats): string {
  return (stats.mode & 0o777).toString(8).padStart(4, '0');
}

function refusal(path: string, why: string): TlshubError {
  return new TlshubError('ERR_TLSHUB_CONFIG', `cannot use ${path}: ${why}`);
}
