// A plain HTTP client with one kept connection: sends a GET, waits for the whole answer, tells the time. It parses one
// answer and then only counts bytes, so that what is in the middle is what is busy.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { httpAnswerBytes } from '../load.ts';

/** A connection of the client. */
export class KeepAlive {
  readonly #socket: Socket;
  readonly #request: Buffer;
  readonly #answerBytes: number;

  private constructor(socket: Socket, request: Buffer, answerBytes: number) {
    this.#socket = socket;
    this.#request = request;
    this.#answerBytes = answerBytes;
  }

  /** Connects to a port of 127.0.0.1 and makes the first request. */
  static async open(port: number, path: string): Promise<KeepAlive> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const request = Buffer.from(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    await once(socket, 'connect');
    socket.write(request);
    const answerBytes = await httpAnswerBytes(socket);
    // Who is closed hears it from the next request.
    socket.on('error', () => undefined);
    return new KeepAlive(socket, request, answerBytes);
  }

  /** Connections that are opened a few at a time; closed again when one of them fails. */
  static async openMany(count: number, port: number, path: string): Promise<KeepAlive[]> {
    const opened: KeepAlive[] = [];
    let left = count;
    const worker = async () => {
      while (left-- > 0) opened.push(await KeepAlive.open(port, path));
    };
    const workers = await Promise.allSettled(
      Array.from({ length: Math.min(count, OPENING_AT_ONCE) }, worker),
    );
    const failed = workers.find((outcome) => outcome.status === 'rejected');
    if (failed === undefined) return opened;
    for (const each of opened) each.close();
    throw failed.reason;
  }

  /** One request; answers its milliseconds. */
  request(): Promise<number> {
    return new Promise((resolve, reject) => {
      const start = performance.now();
      let missing = this.#answerBytes;
      const socketOnData = (chunk: Buffer) => {
        missing -= chunk.length;
        if (missing > 0) return;
        leave();
        if (missing === 0) resolve(performance.now() - start);
        else reject(new Error(`an answer has ${-missing} bytes too many`));
      };
      const socketOnClose = () => {
        leave();
        reject(new Error('a connection ended before its answer'));
      };
      const leave = () => {
        this.#socket.off('data', socketOnData);
        this.#socket.off('close', socketOnClose);
      };
      if (this.#socket.destroyed) {
        reject(new Error('a connection ended while it was idle'));
        return;
      }
      this.#socket.on('data', socketOnData);
      this.#socket.on('close', socketOnClose);
      this.#socket.write(this.#request);
    });
  }

  /** Whether the connection has stayed. */
  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  /** Resets the connection, which leaves no port waiting behind. */
  close(): void {
    // Node never closes a handle that is reset while it is being shut down, and then cannot end.
    if (this.#socket.writableEnded) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }
}

/** Connections that are opened at the same time. */
const OPENING_AT_ONCE = 16;

/** How requests are made at a steady rate. */
export interface Pace {
  readonly durationMs: number;
  /** Of all connections together. */
  readonly perSecond: number;
}

/** Requests at a steady rate over kept connections, at most one at a time over each; answers their milliseconds. */
export async function requestAtPace(connections: readonly KeepAlive[], pace: Pace): Promise<number[]> {
  const times: number[] = [];
  const intervalMs = (connections.length * 1000) / pace.perSecond;
  const start = performance.now();
  await Promise.all(
    connections.map(async (connection, index) => {
      // Each has its own place in the interval, so that they do not all come at once.
      let due = start + (intervalMs * index) / connections.length;
      while (due < start + pace.durationMs) {
        await delay(Math.max(0, due - performance.now()));
        times.push(await connection.request());
        due = Math.max(due + intervalMs, performance.now());
      }
    }),
  );
  return times;
}
