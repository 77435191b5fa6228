// TLS in this process behind a socket that was meant to be shared: used when no daemon can be had and the application
// allows it. The same options, the same verification; bytes, events and errors pass through unchanged.
import type { TLSSocket } from 'node:tls';
import { refreshTimeout } from './lane-handle.ts';
import type { SharedSocket } from './shared-socket.ts';
import type { Transport, TransportCallback } from './transport.ts';

/** Events that the application may listen to and that only the inner socket can emit. */
const FORWARDED_EVENTS = [
  'lookup',
  'connectionAttempt',
  'connectionAttemptFailed',
  'connectionAttemptTimeout',
  'connect',
  'ready',
  'OCSPResponse',
  'keylog',
  'session',
] as const;

/** Ties a TLS socket of this process to the outer socket that the application holds. */
export class InProcessTransport implements Transport {
  readonly inner: TLSSocket;
  readonly #outer: SharedSocket;

  constructor(outer: SharedSocket, inner: TLSSocket) {
    this.inner = inner;
    this.#outer = outer;
    for (const name of FORWARDED_EVENTS) {
      inner.on(name as 'keylog', (...args) => {
        (outer as { connecting: boolean }).connecting = inner.connecting;
        outer.emit(name, ...args);
      });
    }
    inner.on('secureConnect', () => {
      outer.authorized = inner.authorized;
      outer.authorizationError = inner.authorizationError as unknown as string | null;
      outer.alpnProtocol = inner.alpnProtocol as string | false | null;
      outer.servername = (inner as { servername?: string | false }).servername ?? null;
      outer.secureConnecting = false;
      outer.emit('secureConnect');
    });
    inner.on('data', (chunk: Buffer) => {
      refreshTimeout(outer);
      if (!outer.push(chunk)) inner.pause();
    });
    inner.on('end', () => outer.push(null));
    inner.on('error', (error) => outer.destroy(error));
    inner.on('close', () => outer.destroy());
  }

  get bytesRead(): number {
    return this.inner.bytesRead;
  }

  get bytesWritten(): number {
    return this.inner.bytesWritten;
  }

  /** TLS in this process has no window that would have to move on. */
  noteConsumed(): void {}

  resume(): void {
    this.inner.resume();
  }

  write(chunk: Buffer | string, encoding: BufferEncoding, callback: TransportCallback): void {
    refreshTimeout(this.#outer);
    this.inner.write(chunk, encoding, callback);
  }

  writev(
    chunks: readonly { chunk: Buffer | string; encoding: BufferEncoding }[],
    callback: TransportCallback,
  ): void {
    refreshTimeout(this.#outer);
    this.inner.cork();
    for (const [index, { chunk, encoding }] of chunks.entries()) {
      if (index === chunks.length - 1) this.inner.write(chunk, encoding, callback);
      else this.inner.write(chunk, encoding);
    }
    this.inner.uncork();
  }

  end(callback: TransportCallback): void {
    this.inner.end(() => callback());
  }

  ref(): void {
    this.inner.ref();
  }

  unref(): void {
    this.inner.unref();
  }

  destroy(error: Error | null): void {
    if (!this.inner.destroyed) this.inner.destroy(error ?? undefined);
  }
}
