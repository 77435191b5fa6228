// One client of an endpoint of kind http: reads its requests, one at a time and in order, hands each to the exchange, and
// ends the connection when HTTP, the client or a timer says so. ALWAYS: a request is answered before the next is read.
// NEVER: bytes that could be understood in two ways go on to an origin. Made by endpoint.ts for each connection.
import type { Socket } from 'node:net';
import { keepBytes, startReader, stopReader, writeBytes } from '../direct-bytes.ts';
import type { Session } from '../session.ts';
import type { EndpointConnection, EndpointCounts, EndpointTarget } from './endpoint-target.ts';
import { answerToBadRequest, connectionLines, encodeAnswer, type HttpAnswer } from './http-answers.ts';
import { BodyReader } from './http-body.ts';
import { Deadline, HTTP_TIMES, type HttpTimes } from './http-deadline.ts';
import { HttpExchange } from './http-exchange.ts';
import type { ExchangeEnd, ExchangeOwner } from './http-exchange-owner.ts';
import { HttpSyntaxError } from './http-fields.ts';
import { findHeadEnd, parseRequestHead, type RequestHead } from './http-head.ts';
import { HttpTunnel } from './http-tunnel.ts';
import { resetClient } from './reset.ts';

const CR = 0x0d;
const LF = 0x0a;

/**
 * Serves a client that speaks HTTP/1.0 or HTTP/1.1 with requests over sessions of the target; the listeners are on the
 * socket when it returns.
 * @param client not read yet
 * @param onClose called once when the connection is gone
 * @param times defaults {@link HTTP_TIMES}
 */
export function serveHttp(
  client: Socket,
  target: EndpointTarget,
  onClose: (counts: EndpointCounts) => void,
  times: HttpTimes = HTTP_TIMES,
): EndpointConnection {
  return new HttpConnection(client, target, onClose, times);
}

class HttpConnection implements EndpointConnection, ExchangeOwner {
  readonly #client: Socket;
  readonly #target: EndpointTarget;
  readonly #exchange: HttpExchange;
  readonly #onClose: (counts: EndpointCounts) => void;
  readonly #times: HttpTimes;
  readonly #deadline = new Deadline(() => this.#deadlineOnPassed());
  readonly #body = new BodyReader();
  /** The request under way, from its head to the end of its response. */
  #request: RequestHead | undefined;
  /** The session takes the request's body. */
  #ready = false;
  /** Beginning of a head. */
  #partial: Buffer | undefined;
  /** Bytes whose turn has not come; the client is not read while there are any. */
  #held: Buffer | undefined;
  /** The session does not take more of the body now. */
  #originIsSlow = false;
  #draining = false;
  #clientEnded = false;
  /** No request is read any more. */
  #closing = false;
  #requests = 0;
  #tunnel: HttpTunnel | undefined;
  /** Of answers of our own, and behind an upgrade. */
  #bytesToClient = 0;

  constructor(
    client: Socket,
    target: EndpointTarget,
    onClose: (counts: EndpointCounts) => void,
    times: HttpTimes,
  ) {
    this.#client = client;
    this.#target = target;
    this.#onClose = onClose;
    this.#times = times;
    this.#exchange = new HttpExchange(client, target, this);
    // A client may end its side behind its last request and still wait for the response.
    client.allowHalfOpen = true;
    client.on('drain', this.#clientOnDrain);
    client.on('end', this.#clientOnEnd);
    client.on('error', this.#clientOnError);
    client.on('close', this.#clientOnClose);
    startReader(client, this.#clientOnBytes);
    client.resume();
    this.#deadline.set(times.idleMs);
  }

  get bytesToClient(): number {
    return this.#bytesToClient + this.#exchange.bytesToClient + (this.#tunnel?.bytesToClient ?? 0);
  }

  drain(): void {
    this.#draining = true;
    if (this.#request !== undefined) this.#exchange.endAfterwards();
    else if (this.#partial === undefined && this.#held === undefined && !this.#closing) this.#close();
  }

  destroy(): void {
    // A cut response must not look whole; one that is whole, the kernel still delivers.
    if (this.#client.writableFinished) this.#client.destroy();
    else resetClient(this.#client);
  }

  exchangeOnReady(): void {
    this.#ready = true;
    this.#unhold();
  }

  exchangeOnDrain(): void {
    this.#originIsSlow = false;
    this.#readOrWait();
  }

  exchangeOnProgress(): void {
    this.#deadline.set(this.#times.silenceMs);
  }

  exchangeOnFailure(answer: HttpAnswer): void {
    this.#answer(answer, !this.#mayGoOn());
  }

  exchangeOnOver(end: ExchangeEnd): void {
    if (end === 'broken') {
      // The length that the client was told is not reached; a proper end would hide it where there was none.
      resetClient(this.#client);
    } else if (end === 'last' || !this.#mayGoOn()) {
      this.#close();
    } else {
      this.#next();
    }
  }

  exchangeOnUpgrade(session: Session, rest: Buffer): void {
    this.#deadline.clear();
    stopReader(this.#client);
    this.#client.off('drain', this.#clientOnDrain);
    this.#client.off('end', this.#clientOnEnd);
    this.#bytesToClient += rest.length;
    if (rest.length > 0) writeBytes(this.#client, rest);
    this.#tunnel = new HttpTunnel(this.#client, session, this.#held);
    this.#held = undefined;
  }

  readonly #clientOnBytes = (chunk: Buffer) => {
    if (this.#held === undefined) this.#consume(chunk, keepBytes);
    else this.#held = Buffer.concat([this.#held, chunk]);
  };

  readonly #clientOnDrain = () => {
    if (this.#request !== undefined) this.#exchange.clientOnDrain();
    else this.#unhold();
  };

  readonly #clientOnEnd = () => {
    this.#clientEnded = true;
    this.#heedEnd();
  };

  // `close` follows and says what there is to say.
  readonly #clientOnError = () => {};

  readonly #clientOnClose = () => {
    this.#deadline.clear();
    this.#exchange.abandon('its client is gone');
    this.#request = undefined;
    this.#onClose({ requests: this.#requests });
  };

  /**
   * Takes what came as far as its turn has come, and holds the rest.
   * @param keep makes bytes of it last
   */
  #consume(chunk: Buffer, keep: (bytes: Buffer) => Buffer): void {
    let at = 0;
    try {
      while (at < chunk.length && !this.#closing) {
        if (this.#request === undefined && !this.#client.writableNeedDrain) {
          at = this.#takeHead(chunk, at, keep);
        } else if (this.#ready && !this.#body.done) {
          at = this.#takeBody(chunk, at);
        } else {
          this.#hold(keep(chunk.subarray(at)));
          return;
        }
      }
    } catch (error) {
      if (!(error instanceof HttpSyntaxError)) throw error;
      this.#refuse(error);
    }
  }

  #takeHead(chunk: Buffer, from: number, keep: (bytes: Buffer) => Buffer): number {
    const before = this.#partial;
    const bytes = before === undefined ? chunk : Buffer.concat([before, chunk]);
    // One empty line before a request is passed over (RFC 9112 §2.2).
    const start = bytes[from] === CR && bytes[from + 1] === LF ? from + 2 : from;
    const end = findHeadEnd(bytes, start, Math.max(0, (before?.length ?? 0) - 2));
    if (end === -1) {
      if (before === undefined) this.#deadline.set(this.#times.headMs);
      this.#partial = before === undefined ? keep(bytes.subarray(from)) : bytes.subarray(from);
      return chunk.length;
    }
    this.#partial = undefined;
    const request = parseRequestHead(bytes, start, end);
    if (this.#target.servesHost?.(request.targetHost ?? request.fields.host ?? '') === false) {
      throw new HttpSyntaxError(
        'this endpoint is asked for by its address, localhost or the name of its target; for other names: keep_host, or a Unix socket',
        421,
      );
    }
    this.#request = request;
    this.#requests += 1;
    this.#ready = false;
    this.#body.begin(request.bodyLength);
    this.#deadline.set(this.#times.silenceMs);
    let next = end - (before?.length ?? 0);
    if (this.#body.done && next < chunk.length) {
      // Before anything is sent: the next bytes that land overwrite these.
      this.#hold(keep(chunk.subarray(next)));
      next = chunk.length;
    }
    this.#ready = this.#exchange.begin(request);
    if (this.#draining) this.#exchange.endAfterwards();
    return next;
  }

  #takeBody(chunk: Buffer, from: number): number {
    const end = this.#body.read(chunk, from);
    const part = from === 0 && end === chunk.length ? chunk : chunk.subarray(from, end);
    this.#deadline.set(this.#times.silenceMs);
    if (!this.#exchange.writeBody(part, this.#body.done)) {
      this.#originIsSlow = true;
      this.#readOrWait();
    }
    return end;
  }

  #hold(bytes: Buffer): void {
    this.#held = bytes;
    this.#readOrWait();
  }

  /** Takes up the bytes whose turn has come. */
  #unhold(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.#consume(held, asItIs);
    this.#readOrWait();
    this.#heedEnd();
  }

  /** Nothing more comes of a client that has ended, once what it had sent is taken. */
  #heedEnd(): void {
    if (!this.#clientEnded || this.#closing || this.#held !== undefined) return;
    if (this.#request === undefined) this.#close();
    else if (!this.#body.done) this.#client.destroy();
  }

  #readOrWait(): void {
    if (this.#held !== undefined || this.#originIsSlow) this.#client.pause();
    else if (this.#client.isPaused()) this.#client.resume();
  }

  /** True when this connection can carry another request after the present one. */
  #mayGoOn(): boolean {
    return this.#request?.keepAlive === true && this.#body.done && !this.#draining;
  }

  /** The exchange is over and the connection goes on. */
  #next(): void {
    this.#request = undefined;
    this.#originIsSlow = false;
    this.#deadline.set(this.#times.idleMs);
    this.#unhold();
  }

  #refuse(error: HttpSyntaxError): void {
    const responding = this.#exchange.responding && this.#request !== undefined;
    this.#exchange.abandon(`the request of its client is malformed: ${error.message}`);
    if (responding) resetClient(this.#client);
    else this.#answer(answerToBadRequest(error.status, error.message), true);
  }

  #answer(answer: HttpAnswer, last: boolean): void {
    const modern = this.#request?.modern ?? true;
    const withBody = this.#request?.method !== 'HEAD';
    const text = encodeAnswer(answer, connectionLines(last, modern), withBody);
    this.#bytesToClient += text.length;
    this.#client.write(text, 'latin1');
    if (last) this.#close();
    else this.#next();
  }

  /**
   * Ends our side behind what was written, and leaves the client time to do the same: closed at once, the connection
   * would be reset by bytes that are still coming, and the client might not see its response (RFC 9112 §9.6).
   */
  #close(): void {
    this.#closing = true;
    this.#request = undefined;
    this.#partial = undefined;
    this.#held = undefined;
    this.#originIsSlow = false;
    this.#deadline.set(this.#times.silenceMs);
    this.#client.end(() => this.#deadline.set(this.#times.closeMs));
    this.#client.resume();
  }

  #deadlineOnPassed(): void {
    if (this.#closing) {
      this.destroy();
    } else if (this.#request !== undefined) {
      const responding = this.#exchange.responding;
      this.#exchange.abandon('nothing came for too long');
      if (responding) resetClient(this.#client);
      else
        this.#answer({ status: 504, text: `ETIMEDOUT: no byte came in ${this.#times.silenceMs} ms` }, true);
    } else if (this.#partial !== undefined) {
      this.#answer(answerToBadRequest(408, `the head was not complete in ${this.#times.headMs} ms`), true);
    } else {
      this.#close();
    }
  }
}

/** Bytes that last already. */
function asItIs(bytes: Buffer): Buffer {
  return bytes;
}
