// One client of a raw endpoint: opens a session for it alone and moves bytes between the two until both sides have ended.
// ALWAYS: the end of one side is the end of one direction; a failure of one is a reset of the other. NEVER: the session
// serves another client afterwards. Made by endpoint.ts for each connection.
import type { Socket } from 'node:net';
import { encryptBytes, startReader, stopReader, writeBytes } from '../direct-bytes.ts';
import type { Occupant, Session } from '../session.ts';
import type { EndpointConnection, EndpointCounts, EndpointTarget } from './endpoint-target.ts';
import { resetClient } from './reset.ts';

/** Milliseconds in which what one side has sent must leave for the other, when the connection has failed. */
const SETTLE_MS = 5_000;

/**
 * Serves one client of an endpoint of kind `raw`. What it sends before its session is open waits, bounded by the
 * socket's buffers.
 * @param client connected, half-open ones allowed, not read yet
 * @param onClose called once, when the client is gone
 */
export function serveRaw(
  client: Socket,
  target: EndpointTarget,
  onClose: (counts: EndpointCounts) => void,
): EndpointConnection {
  const connection = new RawConnection(client, target);
  client.once('close', () => onClose({ requests: 0 }));
  return connection;
}

class RawConnection implements EndpointConnection, Occupant {
  readonly #client: Socket;
  readonly #target: EndpointTarget;
  readonly #abandoned = new AbortController();
  #session: Session | undefined;
  #bytesToClient = 0;
  #timer: NodeJS.Timeout | undefined;
  /** What is done when nothing waits to be written any more. */
  #whenWritten: (() => void) | undefined;

  constructor(client: Socket, target: EndpointTarget) {
    this.#client = client;
    this.#target = target;
    client.on('close', this.#clientOnClose);
    void this.#open();
  }

  get bytesToClient(): number {
    return this.#bytesToClient;
  }

  /** A raw connection has no place at which it could be interrupted: it goes on until one side ends it. */
  drain(): void {}

  destroy(): void {
    this.#abandoned.abort();
    this.#session?.close('its endpoint was closed', 'abrupt');
    resetClient(this.#client);
  }

  sessionOnPeerEnd(): void {
    this.#client.end();
  }

  sessionOnClose(error: Error | undefined): void {
    const session = this.#session;
    clearTimeout(this.#timer);
    this.#session = undefined;
    const isClean = error === undefined && session?.peerEnded === true && session.tls.writableEnded;
    if (isClean) this.#client.destroySoon();
    else this.#fail();
  }

  sessionOnLeave(): void {
    const { tls } = this.#session ?? {};
    if (tls === undefined) return;
    stopReader(tls);
    tls.off('drain', this.#tlsOnDrain);
  }

  async #open(): Promise<void> {
    let session: Session;
    try {
      ({ session } = await this.#target.lease({ abandoned: this.#abandoned.signal, fresh: true }));
    } catch {
      // The target has logged and counted it.
      resetClient(this.#client);
      return;
    }
    if (this.#client.destroyed) {
      session.close('its client is gone', 'abrupt');
      return;
    }
    const { tls } = session;
    const client = this.#client;
    // It may have failed before anybody answered for it.
    if (tls.destroyed) {
      resetClient(client);
      return;
    }
    this.#session = session;
    session.occupy(this);
    startReader(tls, this.#tlsOnBytes);
    tls.on('drain', this.#tlsOnDrain);
    client.on('drain', () => tls.resume());
    const clientOnEnd = () => {
      if (!tls.destroyed) tls.end();
    };
    // A client may have ended its side while it waited.
    if (client.readableEnded) clientOnEnd();
    else client.on('end', clientOnEnd);
    startReader(client, this.#clientOnBytes);
    client.resume();
    tls.resume();
    if (session.peerEnded) this.sessionOnPeerEnd();
  }

  readonly #clientOnBytes = (bytes: Buffer) => {
    const session = this.#session;
    if (session === undefined) return;
    session.countToPeer(bytes.length, true);
    if (!encryptBytes(session.tls, bytes, this.#onWritten)) this.#client.pause();
  };

  readonly #onWritten = () => this.#whenWritten?.();

  readonly #tlsOnDrain = () => {
    this.#client.resume();
  };

  readonly #tlsOnBytes = (bytes: Buffer) => {
    this.#session?.countFromPeer(bytes.length);
    this.#bytesToClient += bytes.length;
    if (!writeBytes(this.#client, bytes, this.#onWritten)) this.#session?.tls.pause();
  };

  readonly #clientOnClose = () => {
    clearTimeout(this.#timer);
    this.#abandoned.abort();
    const session = this.#session;
    if (session === undefined) return;
    // Where both sides have ended in order the session ends by itself.
    if (session.peerEnded && session.tls.writableEnded) {
      session.close('both sides ended', 'orderly');
      return;
    }
    // What the client had sent still leaves, as from the kernel's buffers of a process that died.
    this.#afterWriting(session.tls, () => session.close('its client is gone', 'abrupt'));
  };

  /** The session is over without an end in order: the client gets what has come for it, then a reset. */
  #fail(): void {
    this.#client.resume();
    this.#afterWriting(this.#client, () => resetClient(this.#client));
  }

  #afterWriting(stream: Socket, run: () => void): void {
    const check = () => {
      if (stream.writableLength > 0 && !stream.destroyed) return;
      this.#whenWritten = undefined;
      clearTimeout(this.#timer);
      run();
    };
    this.#timer = setTimeout(run, SETTLE_MS);
    this.#whenWritten = check;
    check();
  }
}
