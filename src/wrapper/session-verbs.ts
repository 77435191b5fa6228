// The verbs of a shared socket that node:tls does not have: giving the session back to the pool, and leaving it in the
// daemon for another process. shared-socket.ts puts them on its prototype.
import { resolve } from 'node:path';
import { TlshubError } from '../errors.ts';
import { MAX_STATE_BYTES, MAX_TIMER_MS } from '../protocol/limits.ts';
import { flawOfName } from '../protocol/session-name.ts';
import { detachSocket } from './detach.ts';
import type { SharedSocket } from './shared-socket.ts';
import { checkWait } from './sharing-options.ts';

/** What the verbs are called, on a shared socket. */
export interface SessionVerbs {
  /**
   * Gives the session back, warm, for another process; the socket is closed. When there is a doubt about any byte the
   * session is closed instead and `sharing.reason` says why. A socket that is not shared is ended. Rejects with
   * ERR_TLSHUB_NOT_LEASED before the session is open and after it has ended.
   */
  release(): Promise<void>;
  /** As `release`, at once and without an answer: for a process that is exiting. */
  releaseAtExit(): void;
  /**
   * Leaves the session in the daemon, with the bytes that were not read; the socket is closed. Answers the handle by
   * which another process of the same user takes the session over, once. Rejects with ERR_TLSHUB_NOT_LEASED or
   * ERR_TLSHUB_NOT_DETACHABLE.
   */
  detach(): Promise<string>;
  /**
   * Named sessions with `commit: 'manual'`: everything that was taken from the stream is consumed; resolves when the
   * daemon knows. Rejects with ERR_TLSHUB_NOT_LEASED, and ERR_TLSHUB_INVALID_OPTION for bytes that were not taken.
   * @param offset only the bytes before this offset in the peer's stream (`sharing.resumedAt` is that of the first)
   */
  commit(offset?: number): Promise<void>;
  /**
   * Named sessions: keeps opaque state of the application with the session, for the next holder's `state`. Rejects
   * with ERR_TLSHUB_INVALID_OPTION when it is over 64 KiB.
   */
  setState(state: Uint8Array): Promise<void>;
  /**
   * Gives the session a name. A pooled or handed-over session becomes a named one when this socket releases it. Rejects
   * with ERR_TLSHUB_NAME_INVALID or ERR_TLSHUB_NAME_IN_USE.
   * @param linger milliseconds that it stays without a holder; default the daemon's
   */
  setName(name: string, linger?: number): Promise<void>;
  /**
   * Sessions of a server: gives the session, with what is unread, to another worker, now or when one comes; that gets
   * the event `adopt`. Rejects with ERR_TLSHUB_NOT_LEASED, or ERR_TLSHUB_NOT_DETACHABLE when it does not survive.
   * @param state as with `setState`
   */
  handOff(state?: Uint8Array): Promise<void>;
  /**
   * Leaves the session to a command, which the daemon starts when bytes arrive, the peer closes, the session fails or
   * the time is over; this process may exit. Rejects as `detach` does, and with ERR_TLSHUB_SESSION_BUSY while another
   * process holds the session or waits for it.
   */
  park(options: ParkOptions): Promise<void>;
}

/** What a session is parked with. */
export interface ParkOptions {
  /** Program and arguments; no shell is involved. It finds TLSHUB_HANDLE and TLSHUB_REASON in its environment. */
  run: [string, ...string[]];
  /** Wires the session to the command's standard input and output (false). */
  stdio?: boolean;
  /** Milliseconds after which the command is started without a byte; the session stays usable. Default never. */
  timeout?: number;
  /** State for the command to find, as with `setState`. */
  state?: Uint8Array;
  /** Working directory of the command; default this process's. */
  cwd?: string;
}

const VERBS = {
  async release(this: SharedSocket): Promise<void> {
    if (this.localTls !== undefined) {
      this.end();
      return;
    }
    const { link, lane } = this.lease;
    await flushed(this);
    const reply = await giveAway(this, (received) =>
      link.call('release', { lane, sent: this.sentBytes, received }),
    );
    if (reply.pooled !== true) this.sharing.reason = String(reply.reason);
    this.giveUp();
    this.destroy();
  },

  releaseAtExit(this: SharedSocket): void {
    if (!this.isLeased || this.writableLength > 0) return;
    const { link, lane } = this.lease;
    link.tell('release', { lane, sent: this.sentBytes, received: consumedBytes(this) });
    this.giveUp();
  },

  async detach(this: SharedSocket): Promise<string> {
    if (this.localTls !== undefined) {
      throw new TlshubError('ERR_TLSHUB_NOT_DETACHABLE', `the session is not shared: ${this.sharing.reason}`);
    }
    const { link, lane } = this.lease;
    await flushed(this);
    const handle =
      this.framed === undefined
        ? await detachSocket(this, link, lane)
        : await giveAway(this, async (received) => {
            const reply = await link.call('detach', { lane, sent: this.sentBytes, received });
            return String(reply.handle);
          });
    this.giveUp();
    this.destroy();
    return handle;
  },

  async commit(this: SharedSocket, given?: number): Promise<void> {
    const { link, lane } = this.lease;
    const { framed } = this;
    if (framed === undefined)
      throw new TlshubError('ERR_TLSHUB_UNSUPPORTED', 'only named sessions are committed');
    const offset = given ?? framed.consumedOffset;
    if (!Number.isSafeInteger(offset) || offset < 0 || offset > framed.consumedOffset)
      throw new TlshubError(
        'ERR_TLSHUB_INVALID_OPTION',
        `the offset must be at most ${framed.consumedOffset}`,
      );
    if (framed.isCommitted(offset)) return;
    framed.noteCommitting(offset);
    await link.call('commit', { lane, offset });
    framed.noteCommitted(offset);
  },

  async setState(this: SharedSocket, state: Uint8Array): Promise<void> {
    const { link, lane } = this.lease;
    const bytes = checkState(state);
    await link.call('setState', { lane, state: bytes.toString('base64') });
    this.state = bytes;
  },

  async setName(this: SharedSocket, name: string, linger?: number): Promise<void> {
    const { link, lane } = this.lease;
    const flaw = typeof name === 'string' ? flawOfName(name) : 'a name must be a string';
    if (flaw !== undefined) throw new TlshubError('ERR_TLSHUB_NAME_INVALID', flaw);
    await link.call('setName', {
      lane,
      name,
      ...(linger !== undefined && { linger: checkWait(linger, 'linger') }),
    });
    this.sharing.name = name;
  },

  async handOff(this: SharedSocket, state?: Uint8Array): Promise<void> {
    if (this.localTls !== undefined)
      throw new TlshubError('ERR_TLSHUB_NOT_DETACHABLE', `the session is not shared: ${this.sharing.reason}`);
    const { link, lane } = this.lease;
    if (this.framed === undefined) {
      const why = 'the sessions of this server do not outlive it: listen for "adopt", or say `survive: true`';
      throw new TlshubError('ERR_TLSHUB_NOT_DETACHABLE', why);
    }
    if (state !== undefined) await this.setState(state);
    await flushed(this);
    await giveAway(this, (received) => link.call('handOff', { lane, sent: this.sentBytes, received }));
    this.giveUp();
    this.destroy();
  },

  async park(this: SharedSocket, options: ParkOptions): Promise<void> {
    const order = checkPark(options);
    if (this.localTls !== undefined)
      throw new TlshubError('ERR_TLSHUB_NOT_DETACHABLE', `the session is not shared: ${this.sharing.reason}`);
    const { link, lane } = this.lease;
    if (this.framed === undefined) {
      const handle = await this.detach();
      await link.call('park', { handle, ...order });
      return;
    }
    await flushed(this);
    await giveAway(this, (received) => link.call('park', { lane, sent: this.sentBytes, received, ...order }));
    this.giveUp();
    this.destroy();
  },
} as const;

/** Puts the verbs on the prototype of the shared socket; called once, when that class is defined. */
export function installSessionVerbs(prototype: SharedSocket): void {
  for (const [name, value] of Object.entries(VERBS)) {
    Object.defineProperty(prototype, name, { configurable: true, writable: true, value });
  }
}

function checkState(state: unknown): Buffer {
  if (!(state instanceof Uint8Array) || state.byteLength > MAX_STATE_BYTES) {
    throw new TlshubError(
      'ERR_TLSHUB_INVALID_OPTION',
      `the state must be at most ${MAX_STATE_BYTES} bytes in a Buffer`,
    );
  }
  return Buffer.from(state);
}

function checkPark({ run, stdio = false, timeout, state, cwd = process.cwd() }: ParkOptions) {
  const isCommand = Array.isArray(run) && run.length > 0 && run.every((part) => typeof part === 'string');
  if (!isCommand || run[0] === '') {
    throw new TlshubError(
      'ERR_TLSHUB_INVALID_OPTION',
      '"run" must be a program and its arguments, all strings',
    );
  }
  if (timeout !== undefined && !(Number.isInteger(timeout) && timeout >= 0 && timeout <= MAX_TIMER_MS)) {
    throw new TlshubError(
      'ERR_TLSHUB_INVALID_OPTION',
      `"timeout" must be a number of milliseconds up to ${MAX_TIMER_MS}`,
    );
  }
  return {
    run: [...run],
    stdio: Boolean(stdio),
    timeout: timeout ?? null,
    cwd: resolve(cwd),
    ...(state !== undefined && { state: checkState(state).toString('base64') }),
  };
}

/** What the daemon may count as consumed: on a raw lane bytes, on a framed one the offset in the session. */
function consumedBytes(socket: SharedSocket): number {
  return socket.framed?.committedOffset ?? socket.receivedBytes - socket.unreadBytes;
}

/**
 * Makes the call that gives the session up. What comes on a framed lane meanwhile stays in it: the daemon gives it to
 * the next holder, so this application must not get it too. A refused call leaves the socket as it was.
 */
async function giveAway<Reply>(
  socket: SharedSocket,
  call: (received: number) => Promise<Reply>,
): Promise<Reply> {
  const { framed } = socket;
  if (framed === undefined) return call(consumedBytes(socket));
  const wasFlowing = socket.readableFlowing === true;
  framed.hold(true);
  socket.pause();
  // What is written from now on is behind the count that the daemon is told, and must not reach it.
  socket.cork();
  try {
    return await call(consumedBytes(socket));
  } catch (error) {
    framed.hold(false);
    socket.uncork();
    if (!socket.destroyed) readOn(socket, wasFlowing);
    throw error;
  }
}

/** Tells a reader of what is in its stream, which it could not take meanwhile. */
function readOn(socket: SharedSocket, wasFlowing: boolean): void {
  const flows = wasFlowing || socket.readableFlowing === true;
  // A stream that was told to flow meanwhile takes no second telling.
  socket.pause();
  if (flows) socket.resume();
  else if (socket.readableLength > 0) socket.emit('readable');
}

function flushed(socket: SharedSocket): Promise<void> {
  if (socket.writableLength === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    socket.write('', (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}
