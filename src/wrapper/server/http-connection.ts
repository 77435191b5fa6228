// One connection of a shared https.Server whose session survives. The state of the session says where in both streams
// it last was between two requests; a worker that finds it there may go on, and one that does not closes it. The first
// bytes of a request count as consumed before Node's parser has them, so a crash never brings a request back that a
// handler may have seen. NEVER: touches a connection that was upgraded, or that the application keeps a state of.
import { SharedSocket } from '../shared-socket.ts';

/** A place between two requests: offsets in the peer's stream and in our own. */
export interface Place {
  read: number;
  written: number;
}

/** The server of a connection. */
export interface ConnectionOwner {
  /** It may be idle; `noteIdle` is called when Node says so. */
  scanSoon(): void;
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
  _httpMessage?: object | null;
}

const MARK = 'tlshub-http ';
const UPGRADED = `${MARK}upgraded`;

/** The place that a state names; the beginning where there is no state, `undefined` for other states. */
export function placeOf(state: Buffer | null): Place | undefined {
  if (state === null) return { read: 0, written: 0 };
  const [, read, written] = /^tlshub-http (\d+) (\d+)$/.exec(state.toString('latin1')) ?? [];
  return read === undefined ? undefined : { read: Number(read), written: Number(written) };
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
  /** Where it was last between two requests. */
  #place: string | undefined;
  #waiting: (() => void)[] = [];
  #requestTimeout: number | undefined;

  constructor(socket: SharedSocket, owner: ConnectionOwner) {
    this.#socket = socket;
    this.#owner = owner;
    const own = {
      push: (chunk: unknown) => this.#push(chunk),
      destroy: (error?: Error) => (owner.takeIdle(this) ? socket : verbs.destroy.call(socket, error)),
      handOff: (state?: Uint8Array) => this.#handOff(state),
      setState: (state: Uint8Array) => {
        this.#leave();
        return verbs.setState.call(socket, state);
      },
    };
    for (const [name, value] of Object.entries(own))
      Object.defineProperty(socket, name, { configurable: true, writable: true, value });
    socket.once('close', () => this.#leave());
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

  /** Node says that it is between two requests. */
  noteIdle(): void {
    const { framed, sharing } = this.#socket;
    if (framed === undefined || this.#left || !this.#isQuiet() || !this.#socket.isLeased) return;
    this.#begun = false;
    const written = (sharing.writtenAt ?? 0) + framed.bytesWritten;
    this.#place = `${MARK}${framed.consumedOffset} ${written}`;
    if (!framed.tellState(Buffer.from(this.#place, 'latin1'))) this.#tell(this.#place);
    this.#wake();
  }

  /** It came from another worker: its client has the time of an idle connection until its next request. */
  waitForRequest(keepAliveTimeoutMs: number, timeoutMs: number): void {
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
    if (this.#begun) {
      const wantsMore = this.#deliver(chunk);
      if (framed.isManual && !this.#left) void this.#commit();
      return wantsMore;
    }
    this.#begun = true;
    if (this.#requestTimeout !== undefined) this.#socket.setTimeout(this.#requestTimeout);
    this.#requestTimeout = undefined;
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

  /** With manual commit, what HTTP has read is committed for the application, up to an upgrade. */
  async #commit(): Promise<void> {
    // Where it fails the session has ended, which the socket is told by itself.
    await verbs.commit.call(this.#socket).catch(() => {});
    this.#owner.scanSoon();
  }

  #deliver(chunk: unknown): boolean {
    const wantsMore = verbs.push.call(this.#socket, chunk);
    const { parser, _httpMessage } = this.#socket as HttpSocket;
    if (!parser && !this.#socket.destroyed) this.#leave(UPGRADED);
    // The rest of a request whose response went out before.
    else if (this.#begun && !_httpMessage) this.#owner.scanSoon();
    return wantsMore;
  }

  async #handOff(state: Uint8Array | undefined): Promise<void> {
    if (state === undefined && !this.#left && (this.#begun || !this.#isQuiet())) {
      this.#owner.scanSoon();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (this.#socket.destroyed) return;
    // The call that gives it away could overtake what was told on the trunk.
    if (state === undefined && !this.#left && this.#place !== undefined && this.#socket.isLeased)
      this.#tell(this.#place);
    await verbs.handOff.call(this.#socket, state);
  }

  /** Nothing of a response is left, and nothing of a request. */
  #isQuiet(): boolean {
    const { writableLength, readableLength, framed } = this.#socket;
    if (writableLength > 0 || readableLength > 0 || framed?.committedOffset !== framed?.consumedOffset)
      return false;
    return !(this.#socket as HttpSocket)._httpMessage;
  }

  /** It is not one of HTTP any more. */
  #leave(mark?: string): void {
    if (this.#left) return;
    this.#left = true;
    for (const name of ['destroy', 'handOff', 'setState']) Reflect.deleteProperty(this.#socket, name);
    if (this.#heldBack === undefined) Reflect.deleteProperty(this.#socket, 'push');
    this.#owner.forget(this);
    if (mark !== undefined && this.#socket.framed !== undefined && this.#socket.isLeased) this.#tell(mark);
    this.#wake();
  }

  #tell(mark: string): void {
    const { link, lane } = this.#socket.lease;
    link.tell('setState', { lane, state: Buffer.from(mark).toString('base64') });
  }

  #wake(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }
}
