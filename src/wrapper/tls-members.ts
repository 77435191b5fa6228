// The members of tls.TLSSocket on a shared socket: read from what the daemon sent at open, asked of the daemon where
// they act on the session, or answered by the TLS socket in this process after a fallback.
import { TLSSocket } from 'node:tls';
import { codeOf, TlshubError } from '../errors.ts';
import { socketPath } from '../link/socket-path.ts';
import { callBlocking } from './blocking-call.ts';
import type { RemoteTls } from './remote-tls.ts';
import type { SharedSocket } from './shared-socket.ts';

/** Methods that only read. */
const READERS = [
  'getPeerCertificate',
  'getPeerX509Certificate',
  'getCertificate',
  'getX509Certificate',
  'getCipher',
  'getProtocol',
  'getEphemeralKeyInfo',
  'getFinished',
  'getPeerFinished',
  'getSharedSigalgs',
  'getSession',
  'getTLSTicket',
  'isSessionReused',
] as const satisfies readonly (keyof TLSSocket & keyof RemoteTls)[];

/** What a reader answers before the session is open. */
const BEFORE_OPEN: Readonly<Record<(typeof READERS)[number], unknown>> = {
  getPeerCertificate: {},
  getCertificate: {},
  getX509Certificate: undefined,
  getPeerX509Certificate: undefined,
  getCipher: undefined,
  getProtocol: null,
  getEphemeralKeyInfo: {},
  getFinished: undefined,
  getPeerFinished: undefined,
  getSharedSigalgs: [],
  getSession: undefined,
  getTLSTicket: undefined,
  isSessionReused: false,
};

/** Readers that answer `undefined` after the socket is closed; the others answer `null`. */
const UNDEFINED_AFTER_CLOSE: ReadonlySet<string> = new Set(['getPeerX509Certificate', 'getX509Certificate']);

type Reader = (...args: unknown[]) => unknown;

/** Puts the members on the prototype of the shared socket; called once, when that class is defined. */
export function installTlsMembers(prototype: SharedSocket): void {
  for (const name of READERS) {
    define(prototype, name, function read(this: SharedSocket, ...args: unknown[]) {
      const source = (this.localTls ?? (this.destroyed ? undefined : this.remoteTls)) as
        | Record<typeof name, Reader>
        | undefined;
      if (source !== undefined) return source[name](...args);
      if (!this.destroyed) return BEFORE_OPEN[name];
      return UNDEFINED_AFTER_CLOSE.has(name) ? undefined : null;
    });
  }
  for (const [name, method] of Object.entries(METHODS)) define(prototype, name, method);
  for (const [name, get] of Object.entries(GETTERS)) {
    Object.defineProperty(prototype, name, { configurable: true, get });
  }
}

function define(prototype: object, name: string, value: unknown): void {
  Object.defineProperty(prototype, name, { configurable: true, writable: true, value });
}

/** An address of the session's TCP connection; the lane's own means nothing to an application. */
function address(member: 'Address' | 'Port' | 'Family', side: 'local' | 'remote') {
  return function get(this: SharedSocket): unknown {
    const name = `${side}${member}` as const;
    if (this.localTls !== undefined) return this.localTls[name];
    // net.Socket remembers the peer's address after the end, not its own.
    if (side === 'local' && this.destroyed) return undefined;
    return this.remoteTls?.info[name] ?? undefined;
  };
}

const GETTERS: Readonly<Record<string, (this: SharedSocket) => unknown>> = {
  localAddress: address('Address', 'local'),
  localPort: address('Port', 'local'),
  localFamily: address('Family', 'local'),
  remoteAddress: address('Address', 'remote'),
  remotePort: address('Port', 'remote'),
  remoteFamily: address('Family', 'remote'),
  pending() {
    return this.connecting || this.destroyed;
  },
  bytesRead() {
    return this.receivedBytes;
  },
  bytesWritten() {
    return this.sentBytes;
  },
};

const METHODS = {
  address(this: SharedSocket): object {
    const { localAddress, localPort, localFamily } = this;
    return localAddress === undefined ? {} : { address: localAddress, family: localFamily, port: localPort };
  },

  setNoDelay(this: SharedSocket, noDelay = true): SharedSocket {
    this.localTls?.setNoDelay(noDelay);
    this.applySettings({ noDelay: Boolean(noDelay) });
    return this;
  },

  setKeepAlive(this: SharedSocket, enable = false, initialDelayMs = 0): SharedSocket {
    this.localTls?.setKeepAlive(enable, initialDelayMs);
    this.applySettings({
      keepAlive: Boolean(enable),
      keepAliveInitialDelay: Math.trunc(initialDelayMs) || 0,
    });
    return this;
  },

  setMaxSendFragment(this: SharedSocket, size: number): boolean {
    if (this.localTls !== undefined) return this.localTls.setMaxSendFragment(size);
    if (!Number.isInteger(size) || size < 512 || size > 16_384 || this.remoteTls === undefined) return false;
    this.tellDaemon('set', { maxSendFragment: size });
    return true;
  },

  disableRenegotiation(this: SharedSocket): void {
    if (this.localTls !== undefined) this.localTls.disableRenegotiation();
    // TLS 1.3 has no renegotiation to disable (RFC 8446 §4.1.2).
    else if (this.remoteTls?.info.protocol !== 'TLSv1.3')
      this.tellDaemon('set', { disableRenegotiation: true });
  },

  renegotiate(
    this: SharedSocket,
    options: { rejectUnauthorized?: boolean; requestCert?: boolean },
    callback?: (error: Error | null) => void,
  ): boolean | undefined {
    if (this.localTls !== undefined) return this.localTls.renegotiate(options, callback ?? (() => {}));
    if (this.destroyed) return undefined;
    const { link, lane } = this.lease;
    const { rejectUnauthorized, requestCert } = options ?? {};
    link.call('renegotiate', { lane, rejectUnauthorized, requestCert }).then(
      () => callback?.(null),
      (error: Error) => callback?.(error),
    );
    return true;
  },

  enableTrace(this: SharedSocket): void {
    if (this.localTls !== undefined) this.localTls.enableTrace();
    else
      process.emitWarning('enableTrace() has no effect on a shared session', {
        code: 'ERR_TLSHUB_UNSUPPORTED',
      });
  },

  setServername(this: SharedSocket): void {
    throw new TlshubError(
      'ERR_TLSHUB_UNSUPPORTED',
      'give `servername` to connect: a shared session has its own',
    );
  },

  setSession(this: SharedSocket): void {
    throw new TlshubError('ERR_TLSHUB_UNSUPPORTED', 'the daemon keeps the tickets and resumes by itself');
  },

  exportKeyingMaterial(this: SharedSocket, length: number, label: string, context?: Buffer): Buffer {
    if (this.localTls !== undefined) {
      return (this.localTls.exportKeyingMaterial as Reader)(length, label, context) as Buffer;
    }
    checkExport(this.remoteTls !== undefined && !this.destroyed, [length, label, context]);
    const known = this.remoteTls?.knownKeyingMaterial(length, label, context);
    if (known !== undefined) return known;
    const { link, lane } = this.lease;
    const reply = callBlocking(socketPath(link.directory, link.shard), 'export', {
      process: link.processId,
      lane,
      length,
      label,
      context: context === undefined ? null : Buffer.from(context).toString('base64'),
    });
    return Buffer.from(String(reply.material), 'base64');
  },
} as const;

/**
 * Throws what node:tls throws for arguments of exportKeyingMaterial that are wrong, or too early.
 * @param established whether the session is open
 */
function checkExport(established: boolean, args: unknown[]): void {
  try {
    Reflect.apply(TLSSocket.prototype.exportKeyingMaterial, {}, args);
  } catch (error) {
    // It checks the arguments before it looks for the session, which is not there.
    if (!established || codeOf(error) !== 'ERR_TLS_INVALID_STATE') throw error;
  }
}
