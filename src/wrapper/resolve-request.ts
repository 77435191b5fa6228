// Turns the options of tls.connect into a session key, or into the reason why the request cannot be shared. Never
// throws: whatever node:tls might refuse is left to node:tls. Everything that the daemon needs to know is in the
// key, the defaults of this process included; what the wrapper applies itself is beside it.
import net from 'node:net';
import { resolve as resolvePath } from 'node:path';
import tls, { type ConnectionOptions, type PeerCertificate } from 'node:tls';
import { encodeAlpn } from '../protocol/alpn.ts';
import type { SessionKey } from '../protocol/session-key.ts';
import { fitsUnixSocket } from '../protocol/unix-path.ts';
import { describeContext, EMPTY_CONTEXT, isUnshareable, type Options, refuseOptions } from './context-key.ts';
import { bytesOf, isIpAddress } from './options.ts';
import {
  defaultRejectUnauthorized,
  lookupObstacle,
  nodeFunctions,
  processObstacle,
} from './process-settings.ts';
import { createSecureContext, describeSecureContext } from './secure-context.ts';

/** What the wrapper applies by itself; absent means that the application did not set it. */
export interface LocalOptions {
  allowHalfOpen: boolean;
  highWaterMark: number | undefined;
  onread: unknown;
  /** Milliseconds of idleness; never 0. */
  timeout: number | undefined;
  signal: AbortSignal | undefined;
  /** The application's own check of the peer's name; absent when node:tls checks it (in the daemon). */
  checkServerIdentity: ((hostname: string, cert: PeerCertificate) => Error | undefined) | undefined;
  /** The name to hand to it. */
  identity: string;
  rejectUnauthorized: boolean;
  /** As the application gave them: node:tls repeats them in its errors. */
  requested: { host: unknown; port: unknown; path: unknown; localAddress: unknown };
}

/** Settings of the TCP connection that each lease sets anew. */
export interface SocketSettings {
  noDelay?: boolean;
  keepAlive?: boolean;
  /** Milliseconds. */
  keepAliveInitialDelay?: number;
}

/** A request that can be shared. */
export interface SharedRequest {
  shared: true;
  key: SessionKey;
  /**
   * The certificates named by `key.ca`, or `undefined` when they cannot be sent: then only a daemon that knows the
   * hash already can serve the request.
   */
  caBlob: () => Buffer | undefined;
  local: LocalOptions;
  socket: SocketSettings;
}

/** A request that cannot. */
export interface UnshareableRequest {
  shared: false;
  /** One sentence for `socket.sharing.reason`. */
  reason: string;
}

/**
 * The session key of a call of tls.connect, or why it cannot be shared. Never throws.
 * @param options as tls.connect takes them; `shared` is not looked at
 * @param contextName of a context of the daemon's; the options have passed refuseOwnContext then
 */
export function resolveRequest(
  options: ConnectionOptions,
  contextName: string | null = null,
): SharedRequest | UnshareableRequest {
  try {
    // Only own enumerable options count, as in node:tls; getters are asked once.
    return resolveOptions({ ...options }, contextName);
  } catch (error) {
    return unshareable(`the options cannot be read: ${(error as Error).message}`);
  }
}

function resolveOptions(options: Options, contextName: string | null): SharedRequest | UnshareableRequest {
  const refused =
    processObstacle() ??
    refuseUndefined(options) ??
    refuseOptions(options, options.secureContext ? 'not context' : 'all') ??
    refuseTarget(options);
  if (refused !== undefined) return unshareable(refused);
  const context = contextName === null ? contextOf(options) : EMPTY_CONTEXT;
  if (isUnshareable(context)) return unshareable(context.reason);

  const check = options.checkServerIdentity ?? tls.checkServerIdentity;
  const isCustomCheck = check !== nodeFunctions.checkServerIdentity;
  const rejectUnauthorized = rejects(options);
  const path = (options.path as string) || null;
  const { key: part } = context;
  // Spelt out, because a spread of so many properties takes longer than all the rest of this hot path.
  const key: SessionKey = {
    host: (options.host as string) || (path === null ? 'localhost' : null),
    port: path === null ? Number(options.port) : null,
    path: path === null ? null : absolute(path),
    family: familyOf(options.family),
    hints: (options.hints as number) || null,
    localAddress: (options.localAddress as string) || null,
    localPort: (options.localPort as number) || null,
    autoSelectFamily:
      (options.autoSelectFamily as boolean | null | undefined) ?? net.getDefaultAutoSelectFamily(),
    autoSelectFamilyAttemptTimeout: attemptTimeoutMs(options.autoSelectFamilyAttemptTimeout),
    servername: (options.servername as string) || null,
    ALPNProtocols: alpn(options.ALPNProtocols),
    rejectUnauthorized,
    checkServerIdentity: isCustomCheck,
    requestOCSP: Boolean(options.requestOCSP),
    minDHSize: (options.minDHSize as number | undefined) ?? 1024,
    context: contextName,
    ca: context.ca.sha256,
    cert: part.cert,
    key: part.key,
    pfx: part.pfx,
    passphrase: part.passphrase,
    crl: part.crl,
    dhparam: part.dhparam,
    ciphers: part.ciphers,
    sigalgs: part.sigalgs,
    ecdhCurve: part.ecdhCurve,
    minVersion: part.minVersion,
    maxVersion: part.maxVersion,
    secureProtocol: part.secureProtocol,
    secureOptions: part.secureOptions,
    honorCipherOrder: part.honorCipherOrder,
    sessionIdContext: part.sessionIdContext,
    sessionTimeout: part.sessionTimeout,
    ticketKeys: part.ticketKeys,
    allowPartialTrustChain: part.allowPartialTrustChain,
    certificateCompression: part.certificateCompression,
  };
  const local: LocalOptions = {
    allowHalfOpen: Boolean(options.allowHalfOpen),
    highWaterMark: (options.highWaterMark as number | null | undefined) ?? undefined,
    onread: options.onread,
    timeout: (options.timeout as number) || undefined,
    signal: (options.signal as AbortSignal) || undefined,
    checkServerIdentity: isCustomCheck ? (check as LocalOptions['checkServerIdentity']) : undefined,
    identity: (options.servername as string) || (options.host as string) || 'localhost',
    rejectUnauthorized,
    requested: {
      host: options.host,
      port: options.port,
      path: options.path,
      localAddress: options.localAddress,
    },
  };
  return { shared: true, key, caBlob: context.ca.blob, local, socket: socketSettings(options) };
}

function unshareable(reason: string): UnshareableRequest {
  return { shared: false, reason };
}

/** Options that node:tls reads as given when they are `undefined`; it throws then. */
function refuseUndefined(options: Options): string | undefined {
  for (const name of ['checkServerIdentity', 'minDHSize']) {
    if (options[name] === undefined && Object.hasOwn(options, name)) {
      return `option "${name}" has a value that is left to node:tls`;
    }
  }
  return undefined;
}

/** Where the connection goes must be plain, and this process must not have its own way of getting there. */
function refuseTarget(options: Options): string | undefined {
  if (options.path) {
    // One that only fits as it was given, relative to this process's directory, is left to node:tls as well.
    return fitsUnixSocket(absolute(options.path as string))
      ? undefined
      : 'the absolute path does not fit a Unix socket';
  }
  if (options.port === undefined) return 'there is neither a port nor a path';
  return isIpAddress((options.host as string) || 'localhost') ? undefined : lookupObstacle();
}

function contextOf(options: Options): ReturnType<typeof describeContext> {
  if (options.secureContext) return describeSecureContext(options.secureContext);
  if (
    tls.createSecureContext !== nodeFunctions.createSecureContext &&
    tls.createSecureContext !== createSecureContext
  ) {
    return { reason: 'tls.createSecureContext was replaced in this process' };
  }
  return describeContext(options);
}

/** As node:tls: the variable counts only where the option is not given, and only `false` turns the check off. */
function rejects(options: Options): boolean {
  const byDefault = defaultRejectUnauthorized();
  return Object.hasOwn(options, 'rejectUnauthorized') ? options.rejectUnauthorized !== false : byDefault;
}

/** Node raises shorter ones to this. */
const LEAST_ATTEMPT_TIMEOUT_MS = 10;

function attemptTimeoutMs(given: unknown): number {
  return typeof given === 'number'
    ? Math.max(given, LEAST_ATTEMPT_TIMEOUT_MS)
    : net.getDefaultAutoSelectFamilyAttemptTimeout();
}

function familyOf(family: unknown): SessionKey['family'] {
  if (family === 4 || family === 'IPv4') return 4;
  return family === 6 || family === 'IPv6' ? 6 : 0;
}

/** The daemon runs in another directory. Abstract names (Linux) are no files. */
function absolute(path: string): string {
  return path.startsWith('\0') ? path : resolvePath(path);
}

/**
 * A list of ALPN protocols as it travels; none and an empty one are `null`.
 * @param protocols value of `ALPNProtocols`, plainly valid
 */
export function alpn(protocols: unknown): string | null {
  if (!protocols) return null;
  const list = Array.isArray(protocols) ? encodeAlpn(protocols as string[]) : bytesOf(protocols as DataView);
  return list === undefined || list.byteLength === 0 ? null : Buffer.from(list).toString('base64');
}

function socketSettings(options: Options): SocketSettings {
  const { noDelay, keepAlive, keepAliveInitialDelay: delayMs } = options;
  const settings: SocketSettings = {};
  if (noDelay !== undefined) settings.noDelay = Boolean(noDelay);
  if (keepAlive !== undefined) settings.keepAlive = Boolean(keepAlive);
  if (delayMs !== undefined) settings.keepAliveInitialDelay = Math.max(0, Math.trunc(Number(delayMs)));
  return settings;
}
