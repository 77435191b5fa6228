// Writes of the holders of one named session to its peer: the bytes of one write() call are never interleaved with
// another's. A call that fits into a holder's window is sent only when it is whole, so a holder that dies within it
// leaves nothing behind; a longer one holds the others off while it streams.
import type { TLSSocket } from 'node:tls';
import { FRAME_WINDOW_BYTES } from '../../protocol/limits.ts';
import type { FramedHolder } from './framed-holder.ts';

interface Pending {
  parts: Buffer[];
  bytes: number;
  /** The write() call is whole. */
  complete: boolean;
}

/** Orders the writes; one object per named session. */
export class WriteQueue {
  readonly #tls: TLSSocket;
  /** What each holder has sent of the call it is making, and the calls that are whole, in order. */
  readonly #calls = new Map<FramedHolder, Pending[]>();
  /** Holders with a call that may be sent, in the order in which it became so. */
  readonly #ready: FramedHolder[] = [];
  /** Whose call is being streamed. */
  #streaming: FramedHolder | undefined;
  readonly #idleWaiters: (() => void)[] = [];
  #bytes = 0;

  constructor(tls: TLSSocket) {
    this.#tls = tls;
    tls.on('drain', () => this.#send());
  }

  /** Bytes that wait to be sent. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a part of a write() call. */
  add(holder: FramedHolder, part: Buffer, complete: boolean): void {
    const calls = this.#calls.get(holder) ?? [];
    this.#calls.set(holder, calls);
    let call = calls.at(-1);
    if (call === undefined || call.complete) {
      call = { parts: [], bytes: 0, complete: false };
      calls.push(call);
    }
    const wasReady = isReady(call);
    call.parts.push(part);
    call.bytes += part.length;
    call.complete = complete;
    this.#bytes += part.length;
    if (!wasReady && isReady(call) && this.#streaming !== holder) this.#ready.push(holder);
    this.#send();
  }

  /**
   * A holder has left. Its whole calls are still sent, the one it was within is dropped. Answers false when a part of
   * that one is sent already: the peer has then got half a write.
   */
  remove(holder: FramedHolder): boolean {
    const calls = this.#calls.get(holder);
    const last = calls?.at(-1);
    const halfSent = this.#streaming === holder && last?.complete !== true;
    if (last !== undefined && !last.complete) {
      this.#bytes -= last.bytes;
      calls?.pop();
      // Its place in the order of ready calls was the last one of this holder's.
      if (isReady(last) && !halfSent) this.#ready.splice(this.#ready.lastIndexOf(holder), 1);
    }
    if (calls?.length === 0) this.#calls.delete(holder);
    if (halfSent) this.#streaming = undefined;
    this.#send();
    return !halfSent;
  }

  /** Runs `then` when everything that may be sent is sent. */
  whenIdle(then: () => void): void {
    if (this.#isIdle()) then();
    else this.#idleWaiters.push(then);
  }

  #isIdle(): boolean {
    return this.#ready.length === 0 && (this.#streaming === undefined || this.#tls.destroyed);
  }

  #send(): void {
    while (!this.#tls.destroyed && !this.#tls.writableNeedDrain) {
      this.#streaming ??= this.#ready.shift();
      if (this.#streaming === undefined || !this.#sendPart(this.#streaming)) break;
    }
    if (!this.#isIdle()) return;
    for (const then of this.#idleWaiters.splice(0)) then();
  }

  /** Sends one part of the call that is streamed; answers false when more has to come first. */
  #sendPart(holder: FramedHolder): boolean {
    const calls = this.#calls.get(holder);
    const call = calls?.[0];
    const part = call?.parts.shift();
    if (call !== undefined && part !== undefined) {
      call.bytes -= part.length;
      this.#bytes -= part.length;
      this.#tls.write(part);
      holder.takeWritten(part.length);
    }
    if (call === undefined || call.parts.length > 0) return call !== undefined;
    if (!call.complete) return false;
    calls?.shift();
    if (calls?.length === 0) this.#calls.delete(holder);
    this.#streaming = undefined;
    return true;
  }
}

/** A call may be sent when it is whole, or too long to wait for. */
function isReady(call: Pending): boolean {
  return call.complete || call.bytes >= FRAME_WINDOW_BYTES;
}
