// Writes of the holders of one named session to its peer: the bytes of one write() call are never interleaved with
// another's. A call that fits into a holder's window is sent only when it is whole, so a holder that dies within it
// leaves nothing behind; a longer one holds the others off while it streams.
import type { TLSSocket } from 'node:tls';
import { compactBytes } from '../../link/compact-bytes.ts';
import { FRAME_WINDOW_BYTES } from '../../protocol/limits.ts';

/** Whose calls they are: a framed holder. */
export interface Writer {
  /** That many of its bytes were handed to the connection. */
  takeWritten(bytes: number): void;
}

/** One write() call. */
interface Call {
  readonly writer: Writer;
  /** What of it is here and not yet sent. */
  readonly parts: Buffer[];
  bytes: number;
  /** All of it has come. */
  complete: boolean;
  /** It has its place in the order of calls. */
  queued: boolean;
  /** A part of it is sent. */
  begun: boolean;
}

/** Orders the writes; one object per named session. */
export class WriteQueue {
  readonly #tls: TLSSocket;
  /** The call that each writer is making, where it is not whole. */
  readonly #unfinished = new Map<Writer, Call>();
  /** Calls that may be sent, in the order in which they became so; the first one may be under way. */
  readonly #queue: Call[] = [];
  readonly #idleWaiters: (() => void)[] = [];
  #bytes = 0;
  #sending = false;

  /** @param tls where the calls go */
  constructor(tls: TLSSocket) {
    this.#tls = tls;
    tls.on('drain', () => this.#send());
  }

  /** Bytes that wait to be sent. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a part of a write() call, the last one when `complete` says so. */
  add(writer: Writer, part: Buffer, complete: boolean): void {
    const call = this.#unfinished.get(writer) ?? newCall(writer);
    const isSentAtOnce = complete && this.#queue.length === 0 && this.#tls.writableLength === 0;
    call.parts.push(isSentAtOnce ? part : compactBytes(part));
    call.bytes += part.length;
    call.complete = complete;
    this.#bytes += part.length;
    if (complete) this.#unfinished.delete(writer);
    else this.#unfinished.set(writer, call);
    if (!call.queued && (complete || call.bytes >= FRAME_WINDOW_BYTES)) {
      call.queued = true;
      this.#queue.push(call);
    }
    this.#send();
  }

  /**
   * A writer has left. Its whole calls are still sent, the one it was within is dropped. Answers how many bytes of that
   * were here and are dropped, and whether a part of it is sent already: the peer has then got half a write.
   */
  remove(writer: Writer): { droppedBytes: number; half: boolean } {
    const call = this.#unfinished.get(writer);
    if (call === undefined) return { droppedBytes: 0, half: false };
    this.#unfinished.delete(writer);
    this.#bytes -= call.bytes;
    const place = this.#queue.indexOf(call);
    if (place !== -1) this.#queue.splice(place, 1);
    // After half a write nothing that follows would be understood.
    if (!call.begun) this.#send();
    return { droppedBytes: call.bytes, half: call.begun };
  }

  /** Runs `then` when everything that may be sent is sent, or the connection is gone. */
  whenIdle(then: () => void): void {
    this.#idleWaiters.push(then);
    this.#send();
  }

  #send(): void {
    // A writer that is told of its progress may add the next part.
    if (this.#sending) return;
    this.#sending = true;
    for (let call = this.#queue[0]; call !== undefined && this.#canSend(); call = this.#queue[0]) {
      const part = call.parts.shift();
      if (part !== undefined) this.#sendPart(call, part);
      else if (call.complete) this.#queue.shift();
      else break;
    }
    this.#sending = false;
    if (this.#queue.length > 0 && !this.#tls.destroyed) return;
    for (const then of this.#idleWaiters.splice(0)) then();
  }

  #canSend(): boolean {
    // After the end, which is for all holders, nothing can be sent; who writes still finds the session ended.
    return !this.#tls.destroyed && !this.#tls.writableEnded && !this.#tls.writableNeedDrain;
  }

  #sendPart(call: Call, part: Buffer): void {
    call.begun = true;
    call.bytes -= part.length;
    this.#bytes -= part.length;
    this.#tls.write(part);
    call.writer.takeWritten(part.length);
  }
}

function newCall(writer: Writer): Call {
  return { writer, parts: [], bytes: 0, complete: false, queued: false, begun: false };
}
