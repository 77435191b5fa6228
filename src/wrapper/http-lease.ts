// One leased session in the hands of an HTTP agent: follows the exchanges on its socket, knows whether any of them
// leaves a doubt about the session, and gives the session back when there is none. It decides nothing about when;
// agent.ts does, and the end of the process. NEVER: a session in doubt goes back; it stays with this process.
import type { ClientRequest, IncomingMessage } from 'node:http';
import { exchangeDoubt } from './exchange-doubt.ts';
import type { SharedSocket } from './shared-socket.ts';

/** What `node:http` keeps on a socket (lib/_http_client.js, the same from Node 20 to 26). */
interface HttpMembers {
  /** Reads a response now; none between the end of one and the next request. */
  parser?: { constructor: { kOnMessageBegin?: unknown }; [index: number]: unknown } | null;
  /** The request that the socket belongs to. */
  _httpMessage?: (ClientRequest & { res?: IncomingMessage | null }) | null;
}

/** All that are open in this process, for its end. */
const openLeases = new Set<HttpLease>();

const leasesBySocket = new WeakMap<object, HttpLease>();

let listensToExit = false;

/** The process ends: what is free, or would be free a moment later, goes back at once. */
function processOnExit(): void {
  for (const lease of openLeases) lease.releaseAtExit();
}

/** Follows one shared socket from its creation until it is closed or taken from the agent. */
export class HttpLease {
  readonly #socket: SharedSocket & HttpMembers;
  /** Why the session must not go back. */
  #doubt: string | undefined;
  #drains = false;
  /** Bytes written to the session by the exchanges that are over. */
  #countedBytes = 0;
  /** The request that was last sent to its end. */
  #sentRequest: ClientRequest | undefined;
  /** Runs while the socket is free and the session may go back. */
  #timer: NodeJS.Timeout | undefined;

  /** @param socket made by an agent for its requests, not yet used by one */
  constructor(socket: SharedSocket) {
    this.#socket = socket;
    openLeases.add(this);
    leasesBySocket.set(socket, this);
    if (!listensToExit) process.on('exit', processOnExit);
    listensToExit = true;
    socket.on('data', this.#socketOnData);
    socket.on('free', this.#socketOnFree);
    socket.on('close', this.#forget);
    socket.on('agentRemove', this.#forget);
    socket.on('timeout', this.#goBack);
    socket.on('tlshub:drain', this.#socketOnDrain);
  }

  /** The lease of a socket, while an agent has it. */
  static of(socket: object): HttpLease | undefined {
    return leasesBySocket.get(socket);
  }

  /** True when the session may go back now, as far as the exchanges that are over tell. */
  get releasable(): boolean {
    return this.#doubt === undefined && !this.#drains && this.#socket.sharing.shared;
  }

  /** True when the daemon ends: the socket serves its request to the end and no other. */
  get drains(): boolean {
    return this.#drains;
  }

  /** The socket now belongs to a request; nothing of it is sent yet. */
  begin(request: ClientRequest & { res?: IncomingMessage | null }): void {
    request.once('finish', () => {
      this.#sentRequest = request;
      // Nobody knows whether the peer takes the rest of the request for what it is.
      if (request.res) this.#doubt ??= 'a response came before its request was sent';
    });
    this.#watchForSecondMessage(request);
    if (this.#socket.sharing.reused) request.reusedSocket = true;
    else if (this.#socket.secureConnecting) {
      this.#socket.once('secureConnect', () => {
        // A program that tries again when a kept connection breaks (Node docs, request.reusedSocket) must do so here.
        if (this.#socket.sharing.reused) request.reusedSocket = true;
      });
    }
  }

  /**
   * The socket is free: the session goes back after a time without a new request.
   * @param afterMs milliseconds
   */
  releaseAfter(afterMs: number): void {
    this.keep();
    if (this.releasable) this.#timer = setTimeout(this.#goBack, afterMs).unref();
  }

  /** The socket is wanted again, or not to be released by time. */
  keep(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Gives the session back, unless there is a doubt, and closes the socket. */
  release(): void {
    this.keep();
    if (this.releasable) this.#socket.releaseAtExit();
    this.#socket.destroy();
  }

  /** Gives the session back when no exchange is under way. */
  releaseAtExit(): void {
    const request = this.#socket._httpMessage;
    if (request) {
      if (request.res?.complete !== true || !request.shouldKeepAlive || this.#sentRequest !== request) return;
      this.#judge(request);
    }
    if (this.releasable) this.#socket.releaseAtExit();
  }

  /** Node drops bytes that come when no response is expected; they would not be missed by their count. */
  readonly #socketOnData = () => {
    if (this.#socket.parser) return;
    this.#doubt ??= 'bytes came that belong to no response';
    if (!this.#socket._httpMessage) this.#socket.destroy();
  };

  readonly #socketOnFree = () => {
    const request = this.#socket._httpMessage;
    if (request) this.#judge(request);
  };

  /** An agent closes its free sockets when their own time is over too; that is no doubt about the session. */
  readonly #goBack = () => {
    if (this.#timer !== undefined) this.release();
  };

  readonly #socketOnDrain = () => {
    this.#drains = true;
    if (!this.#socket._httpMessage) this.#socket.destroy();
  };

  readonly #forget = () => {
    this.keep();
    openLeases.delete(this);
    leasesBySocket.delete(this.#socket);
    this.#socket.off('data', this.#socketOnData);
    this.#socket.off('free', this.#socketOnFree);
    this.#socket.off('timeout', this.#goBack);
    this.#socket.off('tlshub:drain', this.#socketOnDrain);
  };

  #judge(request: ClientRequest): void {
    const sentBytes = this.#socket.bytesWritten - this.#countedBytes;
    this.#countedBytes += sentBytes;
    this.#doubt ??= exchangeDoubt(request, sentBytes);
  }

  /** Node's parser drops what follows a response in the same chunk, unless it is a whole second response. */
  #watchForSecondMessage(request: { res?: IncomingMessage | null }): void {
    const { parser } = this.#socket;
    const index = parser?.constructor.kOnMessageBegin;
    if (!parser || typeof index !== 'number') {
      this.#doubt ??= 'this version of Node does not tell where a response ends';
      return;
    }
    // The parser is one of a pool; Node takes the function off with everything else of this request.
    parser[index] = () => {
      if (request.res) this.#doubt ??= 'bytes came behind a response';
    };
  }
}
