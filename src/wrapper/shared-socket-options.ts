// What a shared socket is made from; connect.ts and attach.ts fill it in.
import type { SocketConstructorOpts } from 'node:net';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { LaneTarget } from './lane-opening.ts';
import type { OnRead } from './on-read.ts';
import type { RemoteTls } from './remote-tls.ts';

/** The application's own check of the peer's certificate, with the name that node:tls would give it. */
export interface IdentityCheck {
  hostname: string;
  check(hostname: string, certificate: PeerCertificate): Error | undefined;
}

/** What a shared socket is made from. */
export interface SharedSocketOptions {
  directory: string;
  /** What its lane is wanted for; absent when it gets one that is open, by `openOn`. */
  target?: LaneTarget;
  /** Options of net.Socket that the wrapper applies: allowHalfOpen, highWaterMark, signal, readable, writable. */
  stream: SocketConstructorOpts;
  /** `onread` of net.Socket. */
  onread?: OnRead;
  rejectUnauthorized: boolean;
  identity?: IdentityCheck;
  /** Makes the TLS connection in the process instead; absent when that is forbidden or impossible. */
  fallBack?: () => TLSSocket;
  /** Called once when it is destroyed, before `close`: a server counts its connections so. */
  onDestroyed?: () => void;
}

/** Codes of tlshub that mean: this host cannot share now. They allow TLS in the process. */
export const ALLOWS_FALLBACK: ReadonlySet<string | undefined> = new Set([
  'ERR_TLSHUB_BLOB_MISSING',
  'ERR_TLSHUB_CONFIG',
  'ERR_TLSHUB_DAEMON_LOST',
  'ERR_TLSHUB_DAEMON_UNREACHABLE',
  'ERR_TLSHUB_DIRECTORY',
  'ERR_TLSHUB_DRAINING',
  'ERR_TLSHUB_LIMIT',
  'ERR_TLSHUB_OTHER_SHARD',
  'ERR_TLSHUB_PEER_CREDENTIALS',
  'ERR_TLSHUB_SOCKET_PATH',
  'ERR_TLSHUB_START_FAILED',
  'ERR_TLSHUB_VERSION',
]);

/**
 * What the application's own check says of the peer. node:tls asks it only about a chain that is good, as the daemon
 * has judged.
 * @param identity absent when node:tls checks the name, in the daemon
 */
export function judgeIdentity(identity: IdentityCheck | undefined, tls: RemoteTls): Error | undefined {
  if (identity === undefined || tls.info.authorizationError !== null) return undefined;
  const certificate = tls.getPeerCertificate(true) as unknown as PeerCertificate;
  return identity.check(identity.hostname, certificate) ?? undefined;
}
