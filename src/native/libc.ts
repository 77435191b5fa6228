// The few calls of the C library that Node has no API for, made through koffi. koffi is loaded at the first call, since
// loading takes about 11 ms that most processes never need. Pure functions over descriptors and paths: no state, no
// policy. Used by the daemon (peer credentials, lock, core dumps) and by the wrapper's starter (lock).
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import type { KoffiFunc, LibraryHandle } from 'koffi';
import { messageOf, TlshubError } from '../errors.ts';

/** Who is at the other end of a Unix socket, as the kernel recorded it at connect. */
export interface PeerCredentials {
  /** Effective user id. */
  readonly uid: number;
  /** Effective group id. */
  readonly gid: number;
  /** Process id, for the log only; `null` when the host does not tell it. */
  readonly pid: number | null;
}

type Descriptor = number;
type GetSockOpt = (
  fd: Descriptor,
  level: number,
  option: number,
  value: Buffer,
  length: Uint32Array,
) => number;
type GetPeerEid = (fd: Descriptor, uid: Uint32Array, gid: Uint32Array) => number;
type Prctl = (option: number, ...typedArguments: (string | number)[]) => number;

interface Libc {
  errno(): number;
  flock(fd: Descriptor, operation: number): number;
  mkfifo(path: string, mode: number): number;
  getrlimit(resource: number, limits: Buffer): number;
  setrlimit(resource: number, limits: Buffer): number;
  getsockopt: GetSockOpt | undefined;
  getpeereid: GetPeerEid | undefined;
  prctl: Prctl | undefined;
}

const SOL_SOCKET = 1;
/** asm/socket.h: the generic number, and that of the one architecture with a koffi build that differs. */
const SO_PEERCRED = process.arch === ('ppc64' as string) ? 21 : 17;
const UCRED_BYTES = 12;
/** What the kernel answers for a socket without a known peer: (uid_t) -1. */
const NO_UID = 0xffff_ffff;
const LOCK_EX = 2;
const LOCK_NB = 4;
const PR_SET_DUMPABLE = 4;
const RLIMIT_CORE = 4;
const RLIMIT_NOFILE = process.platform === 'darwin' ? 8 : 7;
/** Room for two rlim_t of 64 bits. */
const RLIMIT_BYTES = 16;
const WIDE_RLIMIT = !['arm', 'ia32'].includes(process.arch);

let loaded: Libc | undefined;

function libc(): Libc {
  loaded ??= load();
  return loaded;
}

function load(): Libc {
  const { platform, arch } = process;
  if (platform !== 'linux' && platform !== 'darwin') {
    throw new TlshubError('ERR_TLSHUB_PEER_CREDENTIALS', `tlshub does not support ${platform}`);
  }
  try {
    const { koffi, library } = openLibrary();
    return {
      errno: () => koffi.errno(),
      flock: declare(library, 'int flock(int fd, int operation)'),
      mkfifo: declare(library, 'int mkfifo(const char *path, uint32_t mode)'),
      getrlimit: declare(library, 'int getrlimit(int resource, void *limits)'),
      setrlimit: declare(library, 'int setrlimit(int resource, void *limits)'),
      ...(platform === 'linux'
        ? {
            getsockopt: declare<GetSockOpt>(
              library,
              'int getsockopt(int fd, int level, int option, void *value, uint32_t *length)',
            ),
            prctl: declare<Prctl>(library, 'int prctl(int option, ...)'),
            getpeereid: undefined,
          }
        : {
            getpeereid: declare<GetPeerEid>(library, 'int getpeereid(int fd, uint32_t *uid, uint32_t *gid)'),
            getsockopt: undefined,
            prctl: undefined,
          }),
    };
  } catch (cause) {
    throw new TlshubError(
      'ERR_TLSHUB_PEER_CREDENTIALS',
      `the native library koffi cannot be loaded on ${platform}-${arch} with Node ${process.version}, so the identity ` +
        'of other processes cannot be checked: install tlshub again with its optional dependencies ' +
        `(npm ci --include=optional), for this platform (${messageOf(cause)})`,
      { cause },
    );
  }
}

/** koffi, and the C library by it. Throws what koffi throws where it cannot be loaded. */
export function openLibrary(): { koffi: typeof import('koffi'); library: LibraryHandle } {
  const koffi: typeof import('koffi') = createRequire(import.meta.url)('koffi');
  return { koffi, library: koffi.load(null) };
}

/**
 * A function of the C library.
 * @param definition in C
 */
export function declare<Signature extends (...parameters: never[]) => number>(
  library: LibraryHandle,
  definition: string,
): Signature {
  return library.func(definition) as KoffiFunc<Signature>;
}

/** An error as Node's own system calls give it, made of errno; must be called right after the failed call. */
function systemError(syscall: string, path?: string): NodeJS.ErrnoException {
  const errno = -libc().errno();
  const code = getSystemErrorName(errno);
  const where = path === undefined ? '' : ` '${path}'`;
  return Object.assign(new Error(`${code}: ${syscall}${where}`), { code, errno, syscall, path });
}

/**
 * The credentials of the process at the other end of a connected Unix socket (SO_PEERCRED of unix(7); getpeereid(3)
 * on macOS). Throws ERR_TLSHUB_PEER_CREDENTIALS when they cannot be had.
 * @param fd descriptor of the socket
 */
export function peerCredentials(fd: number): PeerCredentials {
  const { getsockopt, getpeereid } = libc();
  if (getsockopt !== undefined) {
    const value = Buffer.alloc(UCRED_BYTES);
    const length = Uint32Array.of(UCRED_BYTES);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length) !== 0) throw unidentified('getsockopt');
    if (length[0] !== UCRED_BYTES) throw unidentified();
    const pid = value.readInt32LE(0);
    // A process of another pid namespace has the pid 0 here.
    return identified(value.readUInt32LE(4), value.readUInt32LE(8), pid > 0 ? pid : null);
  }
  const uid = new Uint32Array(1);
  const gid = new Uint32Array(1);
  if (getpeereid === undefined || getpeereid(fd, uid, gid) !== 0) throw unidentified('getpeereid');
  return identified(uid[0], gid[0], null);
}

function identified(uid: number | undefined, gid: number | undefined, pid: number | null): PeerCredentials {
  if (uid === undefined || gid === undefined || uid === NO_UID) throw unidentified();
  return { uid, gid, pid };
}

function unidentified(syscall?: string): TlshubError {
  const options = syscall === undefined ? undefined : { cause: systemError(syscall) };
  return new TlshubError('ERR_TLSHUB_PEER_CREDENTIALS', undefined, options);
}

/**
 * Takes the exclusive lock of an open file without waiting (flock(2)); it is freed when the last descriptor of this
 * opening is closed, thus also by the death of the process. False when another opening holds it.
 * Throws a system error when the file system cannot lock.
 * @param fd descriptor of the file
 */
export function tryLock(fd: number): boolean {
  const { flock, errno } = libc();
  if (flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const name = getSystemErrorName(-errno());
  if (name === 'EAGAIN' || name === 'EWOULDBLOCK') return false;
  throw systemError('flock');
}

/**
 * Makes a named pipe (mkfifo(3)). Throws a system error with `code`, such as EEXIST.
 * @param path where
 * @param mode permission bits before the umask
 */
export function makeFifo(path: string, mode: number): void {
  if (libc().mkfifo(path, mode) !== 0) throw systemError('mkfifo', path);
}

/**
 * Forbids core files of this process, which would hold private keys (PR_SET_DUMPABLE of prctl(2) on Linux, which also
 * keeps other processes of the user from reading its memory; RLIMIT_CORE everywhere). Throws a system error.
 */
export function forbidCoreDumps(): void {
  const { prctl, setrlimit } = libc();
  const zero = ['unsigned long', 0] as const;
  if (prctl !== undefined && prctl(PR_SET_DUMPABLE, ...zero, ...zero, ...zero, ...zero) !== 0) {
    throw systemError('prctl');
  }
  if (setrlimit(RLIMIT_CORE, Buffer.alloc(RLIMIT_BYTES)) !== 0) throw systemError('setrlimit');
}

/** The number of descriptors this process may have open now (Node raises it to the hard limit at its start). */
export function descriptorLimit(): number {
  const limits = Buffer.alloc(RLIMIT_BYTES);
  if (libc().getrlimit(RLIMIT_NOFILE, limits) !== 0) throw systemError('getrlimit');
  const soft = WIDE_RLIMIT ? limits.readBigUInt64LE(0) : BigInt(limits.readUInt32LE(0));
  // Infinity is written as the largest number.
  return soft > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(soft);
}
