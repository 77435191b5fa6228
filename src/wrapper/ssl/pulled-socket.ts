// A socket whose bytes are pulled: paused mode, exact lengths, looking ahead without consuming, and one place that knows
// how the socket stands (open, ended by the peer, failed). It asks the stream for bytes only while somebody waits for
// some, uses nothing but the public interface of net.Socket, and knows nothing of return codes.
import type { TlshubSocket } from '../connect.ts';
import type { Patience } from './patience.ts';

const NOTHING = Buffer.alloc(0);

/** The pulled form of one socket. */
export class PulledSocket {
  readonly socket: TlshubSocket;
  /** Bytes that were looked at, when the stream was destroyed already: such a one takes nothing back. */
  #ahead: Buffer = NOTHING;
  #open: boolean;
  #failure: Error | undefined;
  readonly #wakes = new Set<() => void>();

  /**
   * @param socket nobody else may read from it or end it
   * @param open true when the handshake is done
   */
  constructor(socket: TlshubSocket, open: boolean) {
    this.socket = socket;
    this.#open = open;
    // The peer's end must leave our side open, as SSL_read(3) leaves it.
    socket.allowHalfOpen = true;
    if (socket.readableFlowing === true) socket.pause();
    const wakeAll = () => {
      for (const wake of [...this.#wakes]) wake();
    };
    socket.once('secureConnect', () => {
      this.#open = true;
      wakeAll();
    });
    socket.on('end', wakeAll);
    socket.on('finish', wakeAll);
    socket.on('error', (error) => {
      this.#failure ??= error;
      wakeAll();
    });
    socket.on('close', () => {
      if (!(socket.readableEnded && socket.writableFinished)) this.#failure ??= closedError();
      wakeAll();
    });
    if (socket.destroyed) this.#failure = socket.errored ?? closedError();
  }

  /** The handshake is done. */
  get open(): boolean {
    return this.#open;
  }

  /** Why the socket is of no use any more; what came before it can still be read. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** The peer has ended its side, and all that came before is consumed. */
  get ended(): boolean {
    return this.socket.readableEnded && this.#ahead.length === 0;
  }

  /** Our side's end has been sent. */
  get finished(): boolean {
    return this.socket.writableFinished;
  }

  /** Bytes that can be taken without waiting. */
  get pendingBytes(): number {
    return this.#ahead.length + this.socket.readableLength;
  }

  /** Up to `max` of the bytes that are there, not consumed; empty when there are none. */
  look(max: number): Buffer {
    if (!this.socket.destroyed) {
      const bytes = this.#fromStream(max);
      // At once, so that who asks the stream, or takes the session over, still finds them there.
      if (bytes.length > 0) this.socket.unshift(bytes);
      return bytes;
    }
    const more = this.#fromStream(max - this.#ahead.length);
    if (more.length > 0) this.#ahead = Buffer.concat([this.#ahead, more]);
    return this.#ahead.subarray(0, max);
  }

  /** As {@link look}, and consumed. */
  take(max: number): Buffer {
    if (this.#ahead.length === 0) return this.#fromStream(max);
    const bytes = this.look(max);
    this.#ahead = this.#ahead.subarray(bytes.length);
    return bytes;
  }

  /** Waits until the handshake is done or has failed; false when the time is up first. */
  untilOpen(patience: Patience): Promise<boolean> {
    return this.#until(patience, () => this.#open);
  }

  /** Waits until our end has been sent or the socket has failed; false when the time is up first. */
  untilFinished(patience: Patience): Promise<boolean> {
    return this.#until(patience, () => this.finished);
  }

  /** Waits until there are bytes, the peer has ended, or the socket has failed; false when the time is up first. */
  untilReadable(patience: Patience): Promise<boolean> {
    return this.#until(
      patience,
      () => this.pendingBytes > 0 || this.ended,
      (wake) => {
        this.socket.on('readable', wake);
        // In turn mode a message comes only to who asks.
        this.socket.read(0);
        return () => this.socket.off('readable', wake);
      },
    );
  }

  /** Hands bytes to the stream; settles, with an error or none, when they have left it. */
  write(bytes: Uint8Array): Promise<Error | undefined> {
    return new Promise((resolve) => {
      this.socket.write(bytes, (error) => resolve(error ?? undefined));
    });
  }

  #fromStream(max: number): Buffer {
    const bytes = Math.min(max, this.socket.readableLength);
    return (bytes > 0 ? (this.socket.read(bytes) as Buffer | null) : null) ?? NOTHING;
  }

  async #until(
    patience: Patience,
    done: () => boolean,
    listen: (wake: () => void) => () => void = () => () => {},
  ): Promise<boolean> {
    while (!done() && this.#failure === undefined) {
      const woken = await patience.until((wake) => {
        this.#wakes.add(wake);
        const unlisten = listen(wake);
        return () => {
          this.#wakes.delete(wake);
          unlisten();
        };
      });
      if (!woken) return done() || this.#failure !== undefined;
    }
    return true;
  }
}

/** As Node's own for a socket that is closed (Node docs, ERR_SOCKET_CLOSED). */
function closedError(): Error {
  return Object.assign(new Error('Socket is closed'), { code: 'ERR_SOCKET_CLOSED' });
}
