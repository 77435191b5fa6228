// One request on one session, and the response to it: leases the session, sends the request, reads the response by its
// framing and gives the session back at its end. ALWAYS: a session goes back only without doubt about a byte of the
// exchange. NEVER: a request is sent twice, unless that is harmless and nothing of a response had come.
// http-connection.ts makes one for each client, reads the requests and feeds it their bodies.
import type { Socket } from 'node:net';
import { messageOf } from '../../errors.ts';
import { Abandonment } from '../abandonment.ts';
import { encryptBytes, keepBytes, writeBytes } from '../direct-bytes.ts';
import type { Occupant, Session } from '../session.ts';
import type { EndpointTarget } from './endpoint-target.ts';
import {
  answerToBadResponse,
  answerToFailedLease,
  answerToLostSession,
  connectionLines,
  type HttpAnswer,
} from './http-answers.ts';
import { BodyReader, UNTIL_CLOSE } from './http-body.ts';
import type { ExchangeEnd, ExchangeOwner } from './http-exchange-owner.ts';
import { HttpSyntaxError } from './http-fields.ts';
import {
  encodeRequestHead,
  encodeResponseHead,
  findHeadEnd,
  isIdempotent,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from './http-head.ts';
import { writeHead } from './http-write.ts';

/** Why a session serves its client only, from then on. */
const AUTHENTICATED = 'the connection was authenticated, not the request';
const SENT_MORE = 'the peer sent more than its response';

/** The exchanges of one client, one after the other. */
export class HttpExchange implements Occupant {
  readonly #client: Socket;
  readonly #target: EndpointTarget;
  readonly #owner: ExchangeOwner;
  readonly #abandoned = new Abandonment();
  readonly #body = new BodyReader();
  /** The request under way. */
  #request: RequestHead | undefined;
  /** The request's last byte was written. */
  #sent = false;
  #session: Session | undefined;
  /** The session stays with this client between its requests, and is closed with it. */
  #private = false;
  #reused = false;
  #retried = false;
  /** A byte of a response has come. */
  #answered = false;
  /** The beginning of a response's head. */
  #partial: Buffer | undefined;
  #response: ResponseHead | undefined;
  /** The response is complete, and the session still listened to: see {@link #finish}. */
  #finished = false;
  /** The client's connection ends after this response. */
  #last = false;
  /** There is a listener for `drain` on the session. */
  #awaitsDrain = false;

  constructor(client: Socket, target: EndpointTarget, owner: ExchangeOwner) {
    this.#client = client;
    this.#target = target;
    this.#owner = owner;
  }

  /** True when a part of the present response has been given to the client. */
  get responding(): boolean {
    return this.#response !== undefined;
  }

  /** Bytes that the client was given. */
  bytesToClient = 0;

  /** Begins an exchange; the one before it is over. True when the head is sent already: the body may follow. */
  begin(request: RequestHead): boolean {
    this.#request = request;
    this.#sent = request.bodyLength === 0;
    this.#retried = false;
    this.#answered = false;
    this.#partial = undefined;
    this.#response = undefined;
    this.#last = !request.keepAlive;
    const session = this.#session ?? this.#takeIdle();
    if (session === undefined) {
      this.#lease(false);
      return false;
    }
    this.#reused = true;
    this.#send(request, session);
    return true;
  }

  /** The client's connection is to end after this response; it is told so if its head is not sent yet. */
  endAfterwards(): void {
    this.#last = true;
  }

  /**
   * Sends a part of the request's body. False: wait for `exchangeOnDrain`.
   * @param last the body ends with it
   */
  writeBody(part: Buffer, last: boolean): boolean {
    const session = this.#session;
    if (session === undefined) return true;
    session.countToPeer(part.length, true);
    this.#sent = last;
    return encryptBytes(session.tls, part);
  }

  /** The client takes more of the response. */
  clientOnDrain(): void {
    this.#session?.tls.resume();
  }

  /**
   * Ends the exchange under way, if there is one, without a word to the client.
   * @param reason why its session is closed
   */
  abandon(reason: string): void {
    this.#request = undefined;
    this.#abandoned.abort();
    if (this.#finished && !this.#private) return;
    this.#drop(this.#private ? AUTHENTICATED : reason);
  }

  sessionOnPeerEnd(): void {
    if (this.#finished) {
      this.#leave()?.close('the peer ended it behind its response', 'orderly');
      return;
    }
    if (this.#request !== undefined && this.#response?.bodyLength === UNTIL_CLOSE) {
      this.#leave()?.close('its response ended with it', 'orderly');
      this.#over('last');
      return;
    }
    this.#drop('the peer ended it in the middle of an exchange');
    this.#lost(undefined);
  }

  sessionOnClose(error: Error | undefined): void {
    this.#leave();
    if (!this.#finished) this.#lost(error);
  }

  sessionOnLeave(): void {
    if (this.#awaitsDrain) this.#session?.tls.off('drain', this.#tlsOnDrain);
    this.#awaitsDrain = false;
  }

  #takeIdle(): Session | undefined {
    this.#session = this.#target.leaseIdle();
    this.#session?.occupy(this);
    return this.#session;
  }

  #lease(fresh: boolean): void {
    this.#target.lease({ abandoned: this.#abandoned.signal, fresh }).then(this.#onLeased, this.#onNotLeased);
  }

  readonly #onLeased = ({ session, reused }: { session: Session; reused: boolean }) => {
    const request = this.#request;
    if (request === undefined) {
      // The client has gone; no byte of it has touched the session.
      this.#target.release(session);
      return;
    }
    this.#reused = reused;
    if (session.tls.destroyed || session.peerEnded) {
      session.close('the peer has ended it', 'abrupt');
      this.#lost(undefined);
      return;
    }
    this.#session = session;
    session.occupy(this);
    this.#send(request, session);
    this.#owner.exchangeOnReady();
  };

  readonly #onNotLeased = (error: unknown) => {
    if (this.#request === undefined) return;
    this.#fail(answerToFailedLease(error));
  };

  #send(request: RequestHead, session: Session): void {
    const { authority, keepHost } = this.#target;
    const named = request.targetHost ?? request.fields.host;
    const text = encodeRequestHead(request, keepHost && named ? named : authority);
    session.countToPeer(text.length, true);
    if (this.#sent) {
      session.tls.write(text, 'latin1');
      return;
    }
    this.#awaitsDrain = true;
    session.tls.on('drain', this.#tlsOnDrain);
    // What there is of the body goes into the same record.
    session.tls.cork();
    process.nextTick(uncork, session.tls);
    session.tls.write(text, 'latin1');
  }

  readonly #tlsOnDrain = () => this.#owner.exchangeOnDrain();

  readonly sessionOnBytes = (chunk: Buffer) => {
    const request = this.#request;
    this.#session?.countFromPeer(chunk.length);
    if (this.#finished || request === undefined) {
      this.#drop(this.#finished ? SENT_MORE : 'the peer sent bytes between two requests');
      return;
    }
    this.#answered = true;
    this.#owner.exchangeOnProgress();
    try {
      if (this.#response === undefined) this.#takeHeads(request, chunk);
      else this.#takeBody(chunk);
    } catch (error) {
      if (!(error instanceof HttpSyntaxError)) throw error;
      this.#refuse(error);
    }
  };

  /** Interim responses (1xx) come before the one that counts. */
  #takeHeads(request: RequestHead, chunk: Buffer): void {
    const bytes = this.#partial === undefined ? chunk : Buffer.concat([this.#partial, chunk]);
    let seenBytes = this.#partial?.length ?? 0;
    let at = 0;
    this.#partial = undefined;
    while (at < bytes.length) {
      const end = findHeadEnd(bytes, at, seenBytes);
      if (end === -1) {
        this.#partial = keepBytes(bytes.subarray(at));
        return;
      }
      const head = parseResponseHead(bytes, at, end, request.method);
      at = end;
      seenBytes = 0;
      if (head.status === 101) {
        this.#upgrade(request, head, bytes.subarray(at));
        return;
      }
      if (head.status >= 200) {
        this.#respond(request, head, bytes, at);
        return;
      }
      if (request.modern) this.#headToClient(encodeResponseHead(head, '', true), bytes, 0, 0);
    }
  }

  #respond(request: RequestHead, head: ResponseHead, bytes: Buffer, from: number): void {
    const body = this.#body;
    body.begin(head.bodyLength);
    const unchunked = head.fields.chunked && !request.modern;
    // Without a length the client sees the end of the body by the end of its connection.
    if (unchunked || head.bodyLength === UNTIL_CLOSE || !this.#sent) this.#last = true;
    if (unchunked) body.content = [];
    const end = body.done ? from : body.read(bytes, from);
    this.#response = head;
    const text = encodeResponseHead(head, connectionLines(this.#last, request.modern), !unchunked);
    if (body.content === undefined) {
      this.#headToClient(text, bytes, from, end);
    } else {
      this.#headToClient(text, bytes, 0, 0);
      this.#contentToClient(body.content);
    }
    if (body.done) this.#finish(end < bytes.length);
  }

  #takeBody(chunk: Buffer): void {
    const body = this.#body;
    const end = body.read(chunk, 0);
    if (body.content !== undefined) this.#contentToClient(body.content);
    else this.#toClient(end === chunk.length ? chunk : chunk.subarray(0, end));
    if (body.done) this.#finish(end < chunk.length);
  }

  #contentToClient(content: Buffer[]): void {
    for (const part of content.splice(0)) this.#toClient(part);
  }

  #headToClient(head: string, bytes: Buffer, from: number, end: number): void {
    this.bytesToClient += head.length + end - from;
    if (!writeHead(this.#client, head, bytes, from, end)) this.#session?.tls.pause();
  }

  #toClient(bytes: Buffer): void {
    this.bytesToClient += bytes.length;
    if (bytes.length > 0 && !writeBytes(this.#client, bytes)) this.#session?.tls.pause();
  }

  #upgrade(request: RequestHead, head: ResponseHead, rest: Buffer): void {
    if (!request.fields.upgrade || !this.#sent) throw new HttpSyntaxError('an upgrade that nobody asked for');
    this.#headToClient(encodeResponseHead(head, '', true), rest, 0, 0);
    const session = this.#leave();
    this.#request = undefined;
    if (session !== undefined) this.#owner.exchangeOnUpgrade(session, rest);
  }

  /** The response is complete. */
  #finish(moreCame: boolean): void {
    const doubt = moreCame ? SENT_MORE : this.#doubt();
    this.#private = doubt === AUTHENTICATED && !this.#last;
    if (doubt === undefined || this.#private) {
      // node:tls may have decrypted more already, and gives it record by record with promises in between: whoever had the
      // session by then would take that for a response.
      this.#finished = true;
      setImmediate(this.#onSettled);
      return;
    }
    this.#leave()?.close(doubt, this.#sent ? 'orderly' : 'abrupt');
    this.#over(this.#last ? 'last' : 'goes-on');
  }

  /** Nothing came behind the response. */
  readonly #onSettled = () => {
    this.#finished = false;
    const session = this.#session;
    if (session !== undefined) {
      this.sessionOnLeave();
      if (this.#private) {
        // It may wait for the client, who takes the rest in its own time.
        session.tls.resume();
      } else {
        // Occupied until the pool watches it: not a moment without somebody who looks at what comes.
        this.#session = undefined;
        this.#target.release(session);
      }
    }
    if (this.#request !== undefined) this.#over(this.#last ? 'last' : 'goes-on');
  };

  #doubt(): string | undefined {
    if (!this.#sent || this.#session?.tls.writableLength !== 0)
      return 'a request was answered before it was sent';
    if (this.#response?.keepAlive !== true) return 'a response asked for the end of the connection';
    const authenticates = this.#request?.fields.connectionAuth || this.#response.fields.connectionAuth;
    return this.#private || authenticates ? AUTHENTICATED : undefined;
  }

  /** The session is gone, and with it the response or what was missing of it. */
  #lost(error: Error | undefined): void {
    const request = this.#request;
    if (request === undefined) return;
    const harmless = isIdempotent(request.method) && request.bodyLength === 0;
    if (harmless && this.#reused && !this.#retried && !this.#answered) {
      this.#retried = true;
      this.#lease(true);
      return;
    }
    this.#fail(answerToLostSession(error));
  }

  #refuse(error: HttpSyntaxError): void {
    const peer = this.#session?.peer;
    this.#target.log.once(
      `response ${peer}`,
      'warn',
      { peer, reason: messageOf(error) },
      'malformed response',
    );
    this.#drop(`its response is malformed: ${error.message}`);
    this.#fail(answerToBadResponse(error.message));
  }

  #fail(answer: HttpAnswer): void {
    if (this.#response !== undefined) {
      this.#over('broken');
      return;
    }
    this.#request = undefined;
    this.#owner.exchangeOnFailure(answer);
  }

  #over(end: ExchangeEnd): void {
    this.#request = undefined;
    this.#owner.exchangeOnOver(end);
  }

  #drop(reason: string): void {
    this.#leave()?.close(reason, 'abrupt');
  }

  /** The session without an occupant. */
  #leave(): Session | undefined {
    const session = this.#session;
    session?.occupy(undefined);
    this.#session = undefined;
    this.#private = false;
    return session;
  }
}

function uncork(tls: Session['tls']): void {
  tls.uncork();
}
