// One connection of a shared https.Server whose session survives. The state of the session says where in both streams
// it last was between two requests; a worker that finds it there may go on, and one that does not closes it. The first
// bytes of a request count as consumed before Node's parser has them, so a crash never brings a request back that a
// handler may have seen; those of a request with a safe method count behind the first byte of its answer, so a crash
// before that brings it back, once. NEVER: touches a connection that was upgraded, or that the application keeps a
// state of.
import { SharedSocket } from '../shared-socket.ts';
import { isSafeRequest, isWithinRequest, watchRequests } from './request-parsing.ts';

/** A place between two requests: offsets in the peer's stream and in our own. */
export interface Place {
  read: number;
  written: number;
}

/** The server of a connection. */
export interface ConnectionOwner {
  /** It may be idle; `noteIdle` is called when it is, or with a Node that cannot be watched, when that says so. */
  checkSoon(connection: HttpConnection): void;
  /** A response was sent to its end. */
  responseOnFinish(connection: HttpConnection): void;
  /** Node would close the connection; answers whether that only was its answer to a question. */
  takeIdle(connection: HttpConnection): boolean;
  /** The connection is over, or not one of HTTP any more. */
  forget(connection: HttpConnection): void;
}

/** What Node's HTTP server keeps on a socket (lib/_http_server.js, Node 20 to 26). */
interface HttpSocket {
  parser?: object | null;
  _httpMessage?: { writableEnded: boolean; outputSize: number; _last: boolean } | null;
}

const MARK = 'tlshub-http ';
const UPGRADED = `${MARK}upgraded`;

/** The place that a state names; the beginning where there is no state, `undefined` for other states. */
export function placeOf(state: Buffer | null): Place | undefined {
  if (state === null) return { read: 0, written: 0 };
  const [, read, written] = /^tlshub-http (\d+) (\d+)$/.exec(state.toString('latin1')) ?? [];
  return read === undefined ? undefined : { read: Number(read), written: Number(written) };
}

function markOf({ read, written }: Place): string {
  return `${MARK}${read} ${written}`;
}

/** True for the state of a connection that was upgraded, and of which the application keeps none. */
export function wasUpgraded(state: Buffer | null): boolean {
  return state?.toString('latin1') === UPGRADED;
}

const verbs = SharedSocket.prototype;

/** One connection. */
export class HttpConnection {
  readonly #socket: SharedSocket;
  readonly #owner: ConnectionOwner;
  /** Bytes of a request have come since it was last idle. */
  #begun = false;
  /** Chunks that wait until their first bytes count as consumed. */
  #heldBack: unknown[] | undefined;
  #left = false;
  /** All of the request that has come is its head, and a crash may bring it to another worker. */
  #mayComeAgain = false;
  /** The request that comes first may be what another worker died of. */
  #isSuspect = false;
  #isWatched = false;
  /** Where it was last between two requests, as the daemon was told. */
  #place: Place | undefined;
  #waiting: (() => void)[] = [];
  /** The application's state follows the word that the request is consumed. */
  #acknowledged: Promise<void> | undefined;
  #requestTimeout: number | undefined;

  constructor(socket: SharedSocket, owner: ConnectionOwner) {
    this.#socket = socket;
    this.#owner = owner;
    const own = {
      push: (chunk: unknown) => this.#push(chunk),
      destroy: (error?: Error) => (owner.takeIdle(this) ? socket : verbs.destroy.call(socket, error)),
      handOff: (state?: Uint8Array) => this.#handOff(state),
      setState: (state: Uint8Array) => this.#setState(state),
    };
    for (const [name, value] of Object.entries(own))
      Object.defineProperty(socket, name, { configurable: true, writable: true, value });
    socket.once('close', () => this.#leave());
  }

  /** Node's HTTP server has it now. */
  watch(): void {
    this.#isWatched = this.survives && watchRequests(this.#socket as HttpSocket);
  }

  /** It can tell by itself whether it is between two requests. */
  get isWatched(): boolean {
    return this.#isWatched;
  }

  /** Node's parser is between two requests; only where it is watched. */
  get isBetweenRequests(): boolean {
    const { parser } = this.#socket as HttpSocket;
    return Boolean(parser) && !isWithinRequest(parser as object);
  }

  /** A response was sent to its end. */
  noteResponse(): void {
    this.#owner.responseOnFinish(this);
  }

  /** The session can outlive this process. */
  get survives(): boolean {
    return this.#socket.framed !== undefined;
  }

  /** HTTP is spoken on it. */
  get isHttp(): boolean {
    return Boolean((this.#socket as HttpSocket).parser);
  }

  /** Ends a connection that does not survive, and on which nothing was ever said: Node would wait for it. */
  endUnused(): void {
    if (!this.survives && this.isHttp && this.#socket.receivedBytes === 0) this.#socket.destroy();
  }

  /** It is between two requests, so far as the parser knows. */
  noteIdle(): void {
    if (!this.survives || this.#left || !this.#isQuiet() || !this.#socket.isLeased) return;
    this.#begun = false;
    this.#mayComeAgain = false;
    this.#tellPlace();
    this.#wake();
  }

  /**
   * It came from another worker: its client has the time of an idle connection until its next request, which may be
   * what that worker died of.
   */
  waitForRequest(keepAliveTimeoutMs: number, timeoutMs: number): void {
    this.#isSuspect = true;
    if (this.#begun || !keepAliveTimeoutMs) return;
    this.#requestTimeout = timeoutMs;
    this.#socket.setTimeout(keepAliveTimeoutMs);
  }

  #push(chunk: unknown): boolean {
    const { framed } = this.#socket;
    if (this.#heldBack !== undefined) {
      this.#heldBack.push(chunk);
      if (framed?.isManual) void this.#commit();
      return true;
    }
    if (chunk === null || framed === undefined) return this.#deliver(chunk);
    if (this.#begun && !this.#mayComeAgain) {
      const wantsMore = this.#deliver(chunk);
      if (framed.isManual && !this.#left) void this.#commit();
      return wantsMore;
    }
    const isSafe = !this.#begun && !this.#isSuspect && !framed.isManual && isSafeRequest(chunk);
    this.#begun = true;
    this.#mayComeAgain = isSafe;
    this.#isSuspect = false;
    if (this.#requestTimeout !== undefined) this.#socket.setTimeout(this.#requestTimeout);
    this.#requestTimeout = undefined;
    if (isSafe) {
      framed.holdConsumed(this.#requestOnConsumed);
      return this.#deliver(chunk);
    }
    this.#heldBack = [chunk];
    const deliverHeld = () => {
      const chunks = this.#heldBack ?? [];
      this.#heldBack = undefined;
      for (const held of chunks) this.#deliver(held);
    };
    if (framed.isManual) void this.#commit().then(deliverHeld);
    else framed.acknowledge(deliverHeld);
    return true;
  }

  /** The answer has begun to leave. If that is all of it, and nothing else came, the place leaves in the same write. */
  readonly #requestOnConsumed = (): void => {
    const { framed, isLeased } = this.#socket;
    const { _httpMessage: response } = this.#socket as HttpSocket;
    if (!this.#mayComeAgain || this.#left || !isLeased || !this.#isWatched || !this.isBetweenRequests) return;
    if (!framed?.tellsState || !framed.hasSentAll || !response?.writableEnded || response.outputSize) return;
    // The connection ends behind it, which may be how the client knows where the answer does.
    if (response._last) return;
    this.#begun = false;
    this.#mayComeAgain = false;
    this.#tellPlace();
  };

  /** With manual commit, what HTTP has read is committed for the application, up to an upgrade. */
  async #commit(): Promise<void> {
    // Where it fails the session has ended, which the socket is told by itself.
    await verbs.commit.call(this.#socket).catch(() => {});
    this.#owner.checkSoon(this);
  }

  /** The state counts from behind the request in which it is set. */
  #setState(state: Uint8Array): Promise<void> {
    const { framed } = this.#socket;
    if (framed?.holdsConsumed)
      this.#acknowledged = new Promise((resolve) => {
        framed.acknowledge(resolve);
        this.#socket.once('close', resolve);
      });
    const set = () => {
      this.#leave();
      return verbs.setState.call(this.#socket, state);
    };
    return this.#acknowledged === undefined ? set() : this.#acknowledged.then(set);
  }

  #deliver(chunk: unknown): boolean {
    const wantsMore = verbs.push.call(this.#socket, chunk);
    const { parser, _httpMessage } = this.#socket as HttpSocket;
    if (!parser && !this.#socket.destroyed) this.#leave(UPGRADED);
    // The rest of a request whose response went out before.
    else if (this.#begun && !_httpMessage) this.#owner.checkSoon(this);
    return wantsMore;
  }

  async #handOff(state: Uint8Array | undefined): Promise<void> {
    if (state === undefined && !this.#left && (this.#begun || !this.#isQuiet())) {
      this.#owner.checkSoon(this);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (this.#socket.destroyed) return;
    // The call that gives it away could overtake what was told on the trunk.
    if (state === undefined && !this.#left && this.#place !== undefined && this.#socket.isLeased)
      this.#tell(markOf(this.#place));
    await verbs.handOff.call(this.#socket, state);
  }

  /** Nothing of a response is left, and nothing of a request. */
  #isQuiet(): boolean {
    const { writableLength, readableLength, framed } = this.#socket;
    if (this.#heldBack !== undefined || writableLength > 0 || readableLength > 0) return false;
    if (framed?.committedOffset !== framed?.consumedOffset) return false;
    return !(this.#socket as HttpSocket)._httpMessage;
  }

  /** It is not one of HTTP any more. */
  #leave(mark?: string): void {
    if (this.#left) return;
    this.#left = true;
    for (const name of ['destroy', 'handOff', 'setState']) Reflect.deleteProperty(this.#socket, name);
    if (this.#heldBack === undefined) Reflect.deleteProperty(this.#socket, 'push');
    this.#owner.forget(this);
    const { framed, isLeased } = this.#socket;
    if (mark !== undefined && isLeased && framed?.holdsConsumed)
      framed.acknowledge(() => this.#socket.isLeased && this.#tell(mark));
    else if (mark !== undefined && isLeased && framed !== undefined) this.#tell(mark);
    this.#wake();
  }

  #tellPlace(): void {
    const { framed, sharing } = this.#socket;
    if (framed === undefined) return;
    const read = framed.consumedOffset;
    const written = (sharing.writtenAt ?? 0) + framed.bytesWritten;
    if (read === this.#place?.read && written === this.#place.written) return;
    this.#place = { read, written };
    const mark = markOf(this.#place);
    if (!framed.tellState(Buffer.from(mark, 'latin1'))) this.#tell(mark);
  }

  #tell(mark: string): void {
    const { link, lane } = this.#socket.lease;
    link.tell('setState', { lane, state: Buffer.from(mark).toString('base64') });
  }

  #wake(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }
}
