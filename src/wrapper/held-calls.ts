// Calls of the stream machinery that wait until the session is open: no byte of the application may leave before its
// peer was accepted.
import type { Socket } from 'node:net';

type Callback = (error?: Error | null) => void;

/** The calls that wait, in order. */
export class HeldCalls {
  readonly #socket: Socket;
  #calls: { run: () => void; forget: () => void }[] = [];
  /** Bytes of the write that waits; what follows it is in the stream's own buffer. */
  bytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /**
   * Keeps a call. Its callback learns of a `close` that comes first, as with net.Socket.
   * @param bytes that the call would write
   */
  hold(run: () => void, callback?: Callback, bytes = 0): void {
    const socketOnClose = () => callback?.(closedBeforeOpen());
    if (callback !== undefined) this.#socket.once('close', socketOnClose);
    this.bytes += bytes;
    this.#calls.push({ run, forget: () => this.#socket.off('close', socketOnClose) });
  }

  /** Makes the calls. */
  run(): void {
    this.bytes = 0;
    for (const { run, forget } of this.#calls.splice(0)) {
      forget();
      run();
    }
  }

  /** Drops the calls; their callbacks are told by `close`. */
  drop(): void {
    this.#calls = [];
  }
}

/** The error that a write gets when its socket closes before it is connected (Node, ERR_SOCKET_CLOSED_BEFORE_CONNECTION). */
function closedBeforeOpen(): Error {
  const error = new Error('Socket closed before the connection was established');
  return Object.assign(error, { code: 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION' });
}
