// Opens TLS connections to peers: the only file of the daemon that calls tls.connect. It records what node:tls
// emitted on the way, so that the wrapper can emit the same, and answers the connection or Node's own error.
import { X509Certificate } from 'node:crypto';
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import { TlshubError } from '../errors.ts';
import type { OpenEvent, TlsInfo, WireError } from '../protocol/messages.ts';
import { type ContextKey, contextFields, type SessionKey } from '../protocol/session-key.ts';
import { encodeError } from '../protocol/wire-error.ts';
import type { BlobStore } from './blob-store.ts';
import { toConnectOptions, toSecureContextOptions } from './connect-options.ts';
import { keyWithContext } from './contexts/context-use.ts';
import type { ResolvedContext } from './contexts/contexts.ts';
import { clearOpensslErrors } from './openssl-errors.ts';
import type { SessionOrigin } from './session.ts';
import { type TicketCache, ticketName } from './ticket-cache.ts';
import { describeTls, peerChain } from './tls-info.ts';

/** Contexts kept for keys that were used last; making one with a long CA list takes tens of milliseconds. */
const MAX_CACHED_CONTEXTS = 256;

/** What a secure context is made of. */
const CONTEXT_FIELDS = Object.keys(contextFields) as (keyof ContextKey)[];

/** A failed open: Node's error as it travels. */
export class OpenFailure extends Error {
  readonly wire: WireError;

  constructor(wire: WireError) {
    super(wire.message);
    this.name = 'OpenFailure';
    this.wire = wire;
  }
}

/** Told at once of what node:tls emits while a session is opened. */
export type OnOpenEvent = (event: OpenEvent) => void;

/** An open connection with its description. */
export type OpenedUpstream = Pick<SessionOrigin, 'tls' | 'info' | 'openEvents'>;

interface Attempt {
  tls: TLSSocket;
  key: SessionKey;
  owner: string;
  events: OpenEvent[];
  resolve(opened: OpenedUpstream): void;
  reject(failure: OpenFailure): void;
}

/** Makes connections, with contexts and tickets remembered per session key. */
export class Upstream {
  readonly #blobs: BlobStore;
  readonly #tickets: TicketCache;
  readonly #connectTimeoutMs: number;
  readonly #contexts = new Map<string, SecureContext>();

  constructor(options: { blobs: BlobStore; tickets: TicketCache; connectTimeoutMs: number }) {
    this.#blobs = options.blobs;
    this.#tickets = options.tickets;
    this.#connectTimeoutMs = options.connectTimeoutMs;
  }

  /** True when the CA list that the key names is held; otherwise the wrapper has to send it first. */
  knowsTrust(key: SessionKey): boolean {
    return this.#blobs.get(key.ca) !== undefined;
  }

  /**
   * Connects, shakes hands and verifies. Rejects with {@link OpenFailure}.
   * @param key what to connect to, and how
   * @param owner session key and uid as one text; a ticket of the same owner is used to resume
   * @param onOpenEvent told of the events on the way
   * @param context what the key's `context` stands for
   */
  open(
    key: SessionKey,
    owner: string,
    onOpenEvent: OnOpenEvent,
    context?: ResolvedContext,
  ): Promise<OpenedUpstream> {
    const events: OpenEvent[] = [];
    let tls: TLSSocket;
    try {
      tls = connect(this.#connectOptions(key, owner, context));
    } catch (error) {
      return Promise.reject(new OpenFailure(encodeError(error as Error)));
    } finally {
      clearOpensslErrors();
    }
    const stopRecording = recordEvents(tls, (event) => {
      events.push(event);
      onOpenEvent(event);
    });
    // From the handshake on the lane is the session's own; a renegotiation may bring an event again. Listeners that stayed
    // would keep what the first lane was made of as long as the session lives.
    tls.once('secureConnect', stopRecording);
    return new Promise((resolve, reject) => this.#awaitSecure({ tls, key, owner, events, resolve, reject }));
  }

  #awaitSecure(attempt: Attempt): void {
    const { tls, key, owner, events, resolve, reject } = attempt;
    let info: TlsInfo | undefined;
    let pendingTicket: Buffer | undefined;
    const timer = setTimeout(() => tls.destroy(connectTimeout(key)), this.#connectTimeoutMs);
    const socketOnClose = () => fail(new Error('the connection closed'));
    const fail = (error: Error) => {
      clearTimeout(timer);
      tls.off('close', socketOnClose);
      const cert = (error as { cert?: Parameters<typeof peerChain>[0] }).cert;
      const wire = encodeError(error, cert && peerChain(cert));
      const { authorizationError } = tls;
      reject(new OpenFailure({ ...wire, ...(authorizationError && { authorizationError }) }));
    };
    tls.once('error', fail);
    tls.once('close', socketOnClose);
    tls.on('session', (ticket) => {
      if (info === undefined) pendingTicket = ticket;
      else this.#keepTicket(owner, ticket, info);
    });
    tls.once('secureConnect', () => {
      try {
        info = describeTls(tls);
      } catch (error) {
        tls.destroy(error as Error);
        return;
      }
      clearTimeout(timer);
      tls.off('error', fail);
      tls.off('close', socketOnClose);
      if (pendingTicket !== undefined) this.#keepTicket(owner, pendingTicket, info);
      resolve({ tls, info, openEvents: events });
    });
  }

  #keepTicket(owner: string, ticket: Buffer, info: TlsInfo): void {
    info.ticket = ticketName(ticket).toString('base64');
    const [peer] = info.peerChain;
    const validTo = peer === undefined ? Number.POSITIVE_INFINITY : validToMs(peer);
    this.#tickets.put(owner, ticket, validTo);
  }

  #connectOptions(asked: SessionKey, owner: string, context?: ResolvedContext): ConnectionOptions {
    const key = context === undefined ? asked : keyWithContext(asked, context);
    const ca = context?.ca ?? this.#blobs.get(key.ca);
    if (ca === undefined) throw new TlshubError('ERR_TLSHUB_BLOB_MISSING');
    const session = this.#tickets.get(owner);
    return {
      ...toConnectOptions(key),
      secureContext: this.#context(key, ca, context?.version),
      ...(session && { session }),
    };
  }

  /** Many keys differ only in where they lead to: what is equal in full serves them all. */
  #context(key: SessionKey, ca: Buffer | 'bundled', version?: ResolvedContext['version']): SecureContext {
    const text = JSON.stringify([version, ca === 'bundled', ...CONTEXT_FIELDS.map((field) => key[field])]);
    const known = this.#contexts.get(text);
    if (known !== undefined) return known;
    const context = createSecureContext(toSecureContextOptions(key, ca));
    this.#contexts.set(text, context);
    const [oldest] = this.#contexts.keys();
    if (this.#contexts.size > MAX_CACHED_CONTEXTS && oldest !== undefined) this.#contexts.delete(oldest);
    return context;
  }
}

/** When a certificate (DER in base64) expires, in milliseconds since 1970. */
function validToMs(certificate: string): number {
  return Date.parse(new X509Certificate(Buffer.from(certificate, 'base64')).validTo);
}

/** The arguments of what node:tls emits on the way, as they travel. */
const RECORDED: { readonly [Name in OpenEvent[0]]: (args: readonly unknown[]) => unknown[] } = {
  lookup: ([error, address, family, host]) => [
    error ? encodeError(error as Error) : error,
    ...[address, family, host],
  ],
  connectionAttempt: (args) => args.slice(0, 3),
  connectionAttemptFailed: ([address, port, family, error]) => [
    ...[address, port, family],
    encodeError(error as Error),
  ],
  connectionAttemptTimeout: (args) => args.slice(0, 3),
  connect: () => [],
  OCSPResponse: ([response]) => [response instanceof Buffer ? response.toString('base64') : null],
};

/** Tells of them; answers what ends that. */
function recordEvents(tls: TLSSocket, tell: OnOpenEvent): () => void {
  const recorders = (Object.keys(RECORDED) as OpenEvent[0][]).map((name) => {
    const socketOnEvent = (...args: unknown[]) => tell([name, RECORDED[name](args)]);
    tls.on(name as string, socketOnEvent);
    return () => tls.off(name, socketOnEvent);
  });
  return () => {
    for (const stop of recorders) stop();
  };
}

/** The error that the kernel's own, much longer, time-out gives (net.Socket, `connect ETIMEDOUT`). */
function connectTimeout(key: SessionKey): Error {
  const where = key.path ?? `${key.host}:${key.port}`;
  return Object.assign(new Error(`connect ETIMEDOUT ${where}`), {
    errno: -110,
    code: 'ETIMEDOUT',
    syscall: 'connect',
    ...(key.path === null ? { address: key.host, port: key.port } : { address: key.path }),
  });
}
