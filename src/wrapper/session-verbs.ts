// The verbs of a shared socket that node:tls does not have: giving the session back to the pool, and leaving it in the
// daemon for another process. shared-socket.ts puts them on its prototype.
import { TlshubError } from '../errors.ts';
import { detachSocket } from './detach.ts';
import type { SharedSocket } from './shared-socket.ts';

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
}

const VERBS = {
  async release(this: SharedSocket): Promise<void> {
    if (this.localTls !== undefined) {
      this.end();
      return;
    }
    const { link, lane } = this.lease;
    await flushed(this);
    const reply = await link.call('release', { lane, sent: this.sentBytes, received: consumedBytes(this) });
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
    const handle = await detachSocket(this, link, lane);
    this.giveUp();
    this.destroy();
    return handle;
  },
} as const satisfies Record<string, (this: SharedSocket) => unknown>;

/** Puts the verbs on the prototype of the shared socket; called once, when that class is defined. */
export function installSessionVerbs(prototype: SharedSocket): void {
  for (const [name, value] of Object.entries(VERBS)) {
    Object.defineProperty(prototype, name, { configurable: true, writable: true, value });
  }
}

/** Bytes that the application has taken from the stream. A half-decoded character counts as not taken. */
function consumedBytes(socket: SharedSocket): number {
  const { decoder } = (socket as unknown as { _readableState: { decoder?: { lastNeed?: number } | null } })
    ._readableState;
  return socket.receivedBytes - socket.readableLength - (decoder?.lastNeed ?? 0);
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
