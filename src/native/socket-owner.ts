// Whose a TCP connection on this host is: asked of the Linux kernel for one socket by its addresses (sock_diag(7)),
// which takes about 20 µs however many sockets there are; reading /proc/net/tcp takes milliseconds. No state but the
// netlink socket. Used by the daemon for the doors of endpoints.
import { isIPv4, isIPv6 } from 'node:net';
import { TlshubError } from '../errors.ts';
import { declare, openLibrary } from './libc.ts';

/** One end of a TCP connection. */
export interface TcpEnd {
  /** IP address. */
  readonly address: string;
  readonly port: number;
}

interface Netlink {
  readonly fd: number;
  send(fd: number, message: Buffer, length: number, flags: number): number;
  recv(fd: number, message: Buffer, length: number, flags: number): number;
}

const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
/** SOCK_RAW, SOCK_CLOEXEC, SOCK_NONBLOCK: the kernel answers before `send` returns. */
const SOCKET_TYPE = 3 | 0o2000000 | 0o4000;
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
const IPPROTO_TCP = 6;
const ALL_STATES = 0xffff_ffff;
const ANY_COOKIE = 0xffff_ffff;
const HEADER_BYTES = 16;
const REQUEST_BYTES = HEADER_BYTES + 56;
const ANSWER_BYTES = 4_096;
/** Offsets in inet_diag_msg behind the header (linux/inet_diag.h). */
const STATE_AT = HEADER_BYTES + 1;
const UID_AT = HEADER_BYTES + 64;
const INODE_AT = HEADER_BYTES + 68;
/** ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LISTEN (net/tcp_states.h). */
const LISTEN = 10;
const OWNED_STATES: ReadonlySet<number> = new Set([1, 4, 5, 8, LISTEN]);

let netlink: Netlink | undefined;
let lastSequence = 0;

/**
 * The user id of the process that made a TCP socket of this host, or `undefined` when there is none, or no process has it
 * any more: the kernel shows those as root's. Throws ERR_TLSHUB_PEER_CREDENTIALS where the host does not tell.
 * @param local the socket's own end
 * @param remote the end that it is connected to; port 0 of a socket that listens
 */
export function tcpSocketUid(local: TcpEnd, remote: TcpEnd): number | undefined {
  netlink ??= openNetlink();
  const answer = ask(netlink, requestFor(local, remote));
  const state = answer?.[STATE_AT] ?? 0;
  // For a connection that is gone the kernel answers with who listens on its port (inet_lookup).
  if (answer === undefined || !OWNED_STATES.has(state) || (state === LISTEN) !== (remote.port === 0))
    return undefined;
  return answer.readUInt32LE(INODE_AT) === 0 ? undefined : answer.readUInt32LE(UID_AT);
}

function openNetlink(): Netlink {
  if (process.platform !== 'linux') throw untold();
  try {
    const { library } = openLibrary();
    const socket = declare<(domain: number, type: number, protocol: number) => number>(
      library,
      'int socket(int domain, int type, int protocol)',
    );
    const fd = socket(AF_NETLINK, SOCKET_TYPE, NETLINK_SOCK_DIAG);
    if (fd < 0) throw untold();
    return {
      fd,
      send: declare(library, 'long send(int fd, const void *message, size_t length, int flags)'),
      recv: declare(library, 'long recv(int fd, void *message, size_t length, int flags)'),
    };
  } catch (cause) {
    throw cause instanceof TlshubError ? cause : untold(cause);
  }
}

/** The kernel's answer to a request; `undefined` when there is no such socket. */
function ask({ fd, send, recv }: Netlink, request: Buffer): Buffer | undefined {
  if (send(fd, request, request.length, 0) !== request.length) throw untold();
  for (;;) {
    const answer = Buffer.alloc(ANSWER_BYTES);
    const length = recv(fd, answer, answer.length, 0);
    if (length < HEADER_BYTES) throw untold();
    // What an interrupted question left behind is not the answer to this one.
    if (answer.readUInt32LE(8) !== lastSequence) continue;
    return answer.readUInt16LE(4) === SOCK_DIAG_BY_FAMILY && length >= INODE_AT + 4 ? answer : undefined;
  }
}

/** inet_diag_req_v2 for exactly one socket; numbers in the byte order of the host, addresses in that of the network. */
function requestFor(local: TcpEnd, remote: TcpEnd): Buffer {
  lastSequence = (lastSequence + 1) >>> 0;
  const request = Buffer.alloc(REQUEST_BYTES);
  request.writeUInt32LE(REQUEST_BYTES, 0);
  request.writeUInt16LE(SOCK_DIAG_BY_FAMILY, 4);
  request.writeUInt16LE(NLM_F_REQUEST, 6);
  request.writeUInt32LE(lastSequence, 8);
  request[HEADER_BYTES] = isIPv6(local.address) ? AF_INET6 : AF_INET;
  request[HEADER_BYTES + 1] = IPPROTO_TCP;
  request.writeUInt32LE(ALL_STATES, HEADER_BYTES + 4);
  request.writeUInt16BE(local.port, HEADER_BYTES + 8);
  request.writeUInt16BE(remote.port, HEADER_BYTES + 10);
  bytesOf(local.address).copy(request, HEADER_BYTES + 12);
  bytesOf(remote.address).copy(request, HEADER_BYTES + 28);
  request.writeUInt32LE(ANY_COOKIE, HEADER_BYTES + 48);
  request.writeUInt32LE(ANY_COOKIE, HEADER_BYTES + 52);
  return request;
}

/** An IP address as the network has it; of IPv6 only the loopback and the unspecified address are asked for. */
function bytesOf(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  const bytes = Buffer.alloc(16);
  if (address === '::1') bytes[15] = 1;
  else if (address !== '::') throw untold();
  return bytes;
}

function untold(cause?: unknown): TlshubError {
  return new TlshubError(
    'ERR_TLSHUB_PEER_CREDENTIALS',
    'this host does not tell whose a TCP connection is: listen on a Unix socket instead',
    { cause },
  );
}
