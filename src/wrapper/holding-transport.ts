// The transport of a socket whose session is not open yet: it keeps the calls of the stream machinery until it is, so
// that no byte of the application leaves before its peer was accepted.
import type { Socket } from 'node:net';
import { laneCount } from './lane-handle.ts';
import type { LaneOpening } from './lane-opening.ts';
import type { Transport, TransportCallback } from './transport.ts';

/** The methods of a stream that are called again when the session is open. */
interface HeldStream extends Socket {
  _write(chunk: unknown, encoding: BufferEncoding, callback: TransportCallback): void;
  _writev(chunks: unknown, callback: TransportCallback): void;
  _final(callback: TransportCallback): void;
}

/** Keeps calls. */
export class HoldingTransport implements Transport {
  readonly bytesRead = 0;
  /** Bytes of the write that waits. */
  heldBytes = 0;
  readonly #outer: HeldStream;
  readonly #opening: LaneOpening;
  #calls: { run: () => void; forget: () => void }[] = [];

  /**
   * @param outer the application's socket
   * @param opening does not keep the process alive when the socket does not
   */
  constructor(outer: Socket, opening: LaneOpening) {
    this.#outer = outer as HeldStream;
    this.#opening = opening;
  }

  /** As net.Socket counts before it is connected: what the stream holds behind the write that waits. */
  get bytesWritten(): number {
    return laneCount(this.#outer, 'bytesWritten');
  }

  resume(): void {
    this.#hold(() => this.#outer._read(0));
  }

  noteConsumed(): void {}

  write(chunk: Buffer | string, encoding: BufferEncoding, callback: TransportCallback): void {
    this.heldBytes += Buffer.byteLength(chunk, encoding);
    this.#hold(() => this.#outer._write(chunk, encoding, callback), callback);
  }

  writev(
    chunks: readonly { chunk: Buffer | string; encoding: BufferEncoding }[],
    callback: TransportCallback,
  ): void {
    for (const { chunk, encoding } of chunks) this.heldBytes += Buffer.byteLength(chunk, encoding);
    this.#hold(() => this.#outer._writev(chunks, callback), callback);
  }

  end(callback: TransportCallback): void {
    this.#hold(() => this.#outer._final(callback));
  }

  destroy(): void {
    this.#calls = [];
    this.#opening.abort();
  }

  ref(): void {
    this.#opening.reference(true);
  }

  unref(): void {
    this.#opening.reference(false);
  }

  /** Makes the calls that were kept; the socket has its real transport by now. */
  run(): void {
    this.heldBytes = 0;
    for (const { run, forget } of this.#calls.splice(0)) {
      forget();
      run();
    }
  }

  /** A callback learns of a `close` that comes first, as with net.Socket. */
  #hold(run: () => void, callback?: TransportCallback): void {
    const socketOnClose = () => callback?.(closedBeforeOpen());
    if (callback !== undefined) this.#outer.once('close', socketOnClose);
    this.#calls.push({ run, forget: () => this.#outer.off('close', socketOnClose) });
  }
}

/** The error that a write gets when its socket closes before it is connected (Node, ERR_SOCKET_CLOSED_BEFORE_CONNECTION). */
function closedBeforeOpen(): Error {
  const error = new Error('Socket closed before the connection was established');
  return Object.assign(error, { code: 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION' });
}
