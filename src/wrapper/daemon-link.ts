// The wrapper's link to the daemon: one per process, directory and shard, made when first needed and again when it is lost.
// It carries calls and events; it never keeps the process alive unless an answer is awaited. Lanes name their link by
// its process id, so a lane may open before the link's hello has been answered.
import { randomBytes } from 'node:crypto';
import { TlshubError } from '../errors.ts';
import { MessageConnection } from '../link/message-connection.ts';
import { TurnoverMap } from '../link/turnover.ts';
import { MAX_BLOB_CHUNK_BYTES, PROTOCOL_VERSION } from '../protocol/limits.ts';
import {
  type LinkCallOf,
  type LinkReply,
  type linkCalls,
  parseEvent,
  parseLaneReply,
  parseLinkReply,
  type WireEvent,
} from '../protocol/messages.ts';
import { decodeError } from '../protocol/wire-error.ts';
import { VERSION } from '../version.ts';
import { awaitShard } from './await-shard.ts';
import { connectToDaemon, MAX_ATTEMPTS, meansNoDaemon, meansTryAgain, pauseIfBusy } from './daemon-socket.ts';
import type { EndpointHolder, LaneHolder, ListenerHolder } from './link-holders.ts';
import type { Trunk } from './server/trunk.ts';
import { forgetShardCount } from './shards.ts';

type CallName = keyof typeof linkCalls;
type CallParameters<Name extends CallName> = Omit<LinkCallOf<Name>, 'call' | 'id'>;

interface PendingCall {
  resolve(reply: LinkReply): void;
  reject(error: Error): void;
}

/** Milliseconds in which a link whose trunk is gone may still say why. */
const LAST_WORDS_MS = 1_000;

const currentLinks = new Map<string, DaemonLink>();

/** What a directory and a shard are known as in {@link currentLinks}. */
const linkName = (directory: string, shard: number) => (shard === 0 ? directory : `${shard} ${directory}`);

/** One link. Use {@link DaemonLink.for}; a link that was lost stays lost, the next `for` makes another. */
export class DaemonLink {
  /** 128 random bits in hexadecimal that tie lanes to this link. */
  readonly processId = randomBytes(16).toString('hex');
  readonly directory: string;
  /** Which of the directory's daemon processes this is the link to. */
  readonly shard: number;
  /** Settled when the daemon has answered the hello, or cannot be reached. */
  readonly ready: Promise<void>;
  readonly #mayStart: boolean;
  #connection: MessageConnection | undefined;
  #greeted = false;
  #lost: Error | undefined;
  #forgotten = false;
  #nextCall = 1;
  #nextLane = 1;
  #nextListener = 1;
  #nextEndpoint = 1;
  #awaited = 0;
  readonly #calls = new TurnoverMap<number, PendingCall>();
  readonly #holders = new TurnoverMap<number, LaneHolder>();
  readonly #listeners = new Map<number, ListenerHolder>();
  readonly #endpoints = new Map<number, EndpointHolder>();
  /** The connection for the sessions of servers, which lives as long as the link. */
  #trunk: Trunk | undefined;

  private constructor(directory: string, mayStart: boolean, shard: number) {
    this.directory = directory;
    this.shard = shard;
    this.#mayStart = mayStart;
    this.ready = this.#open();
    this.ready.catch((error: Error) => this.#lose(error));
  }

  /**
   * The process's link for a directory.
   * @param directory where the daemon's socket is
   * @param mayStart whether a daemon is started when none answers (default true)
   * @param shard which of the directory's daemon processes (default the first)
   */
  static for(directory: string, mayStart = true, shard = 0): DaemonLink {
    const name = linkName(directory, shard);
    const current = currentLinks.get(name);
    // A link that may not start a daemon must not spoil the chance of a caller who wants one.
    if (current !== undefined && (current.#connection !== undefined || current.#mayStart || !mayStart))
      return current;
    const link = new DaemonLink(directory, mayStart, shard);
    currentLinks.set(name, link);
    return link;
  }

  /** True once the link is gone for good. */
  get lost(): boolean {
    return this.#lost !== undefined;
  }

  /** A lane number that this link never gave before, with the holder that is told about that lane. */
  addLane(holder: LaneHolder): number {
    const lane = this.#nextLane++;
    this.#holders.set(lane, holder);
    return lane;
  }

  /** A holder of a lane whose number the daemon gave. */
  addTrunkLane(lane: number, holder: LaneHolder): void {
    this.#holders.set(lane, holder);
  }

  /** Ends the holder's interest in its lane. */
  removeLane(lane: number): void {
    this.#holders.delete(lane);
    this.#closeIfUnused();
  }

  /** A listener number that this link never gave before, with the server that is told about it. */
  addListener(holder: ListenerHolder): number {
    const listener = this.#nextListener++;
    this.#listeners.set(listener, holder);
    return listener;
  }

  /** The server of a number. */
  listenerOf(listener: number): ListenerHolder | undefined {
    return this.#listeners.get(listener);
  }

  /** A trunk was opened for the link. */
  useTrunk(trunk: Trunk): void {
    this.#trunk = trunk;
    if (this.#lost !== undefined) trunk.end();
  }

  /** The trunk is gone. Where the daemon is, the link ends by itself; a trunk that broke ends it. */
  trunkOnLost(error: Error | undefined): void {
    const cause = error instanceof TlshubError ? error : new TlshubError('ERR_TLSHUB_DAEMON_LOST');
    setTimeout(() => this.#connection?.close(cause), LAST_WORDS_MS).unref();
  }

  /** Ends a server's interest in its number. */
  removeListener(listener: number): void {
    this.#listeners.delete(listener);
    this.#closeIfUnused();
  }

  /** An endpoint number that this link never gave before, with the one that is told about that endpoint. */
  addEndpoint(holder: EndpointHolder): number {
    const endpoint = this.#nextEndpoint++;
    this.#endpoints.set(endpoint, holder);
    return endpoint;
  }

  /** Ends the interest in an endpoint's number. */
  removeEndpoint(endpoint: number): void {
    this.#endpoints.delete(endpoint);
    this.#closeIfUnused();
  }

  /** Sends an event; nothing answers it. */
  sendEvent(event: WireEvent): void {
    this.#connection?.send(event);
  }

  /**
   * Makes a call and answers its reply. Rejects with the daemon's error, or with ERR_TLSHUB_DAEMON_LOST.
   * @param name a call of PROTOCOL.md
   * @param parameters its fields, without `call` and `id`
   */
  async call<Name extends CallName>(name: Name, parameters: CallParameters<Name>): Promise<LinkReply> {
    return this.#awaiting(async () => {
      // At once, where possible: what a process has said before it writes must be there if it is killed after it.
      if (!this.#greeted) await this.ready;
      return this.#send(name, parameters);
    });
  }

  /**
   * Makes a call whose reply nobody awaits, at once when the link is up: it also works in a process's `exit` event.
   */
  tell<Name extends CallName>(name: Name, parameters: CallParameters<Name>): void {
    if (this.#connection === undefined || this.#lost !== undefined) return;
    this.#connection.send({ call: name, id: this.#nextCall++, ...parameters });
  }

  /** Tells the daemon that the wrapper's side of a lane ends (PROTOCOL.md, `lane-end`). */
  sendLaneEnd(lane: number, rc: 0 | -1, bytes: number): void {
    this.sendEvent({ event: 'lane-end', lane, rc, bytes });
  }

  /** Sends a blob, named by its SHA-256, in chunks. */
  async putBlob(sha256: string, blob: Buffer): Promise<void> {
    for (let offset = 0; ; offset += MAX_BLOB_CHUNK_BYTES) {
      const data = blob.subarray(offset, offset + MAX_BLOB_CHUNK_BYTES).toString('base64');
      const last = offset + MAX_BLOB_CHUNK_BYTES >= blob.length;
      await this.call('put', { sha256, offset, data, last });
      if (last) return;
    }
  }

  /** Keeps the process alive until the promise settles; the link alone never does. */
  async #awaiting<Result>(work: () => Promise<Result>): Promise<Result> {
    this.holdProcess();
    try {
      return await work();
    } finally {
      this.letProcessExit();
    }
  }

  /** From now on the link keeps the process alive, until as many {@link letProcessExit}. */
  holdProcess(): void {
    this.#awaited += 1;
    this.#connection?.socket.ref();
  }

  /** Ends one {@link holdProcess}. */
  letProcessExit(): void {
    this.#awaited -= 1;
    if (this.#awaited === 0) this.#connection?.socket.unref();
  }

  async #open(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#hello();
        return;
      } catch (error) {
        // The hello is the only call until it is answered.
        this.#calls.clear();
        if (!this.#mayStart && meansNoDaemon(error)) throw unreachable(this.directory, error);
        if (attempt === MAX_ATTEMPTS || !(meansNoDaemon(error) || meansTryAgain(error))) throw error;
        await pauseIfBusy(error, attempt);
        if (this.#mayStart) await awaitShard(this.directory, this.shard);
        forgetShardCount(this.directory);
      }
    }
  }

  #hello(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connectToDaemon(this.directory, { shard: this.shard });
      const connection = new MessageConnection(socket, {
        connectionOnMessage: (message) => this.#receive(message),
        connectionOnClose: (reason) => {
          if (this.#greeted) this.#lose(reason);
          else reject(reason ?? new TlshubError('ERR_TLSHUB_DAEMON_LOST'));
        },
      });
      socket.once('connect', () => {
        this.#connection = connection;
        if (this.#awaited === 0) socket.unref();
        this.#send('hello', {
          protocol: PROTOCOL_VERSION,
          process: this.processId,
          pid: process.pid,
          version: VERSION,
        }).then(() => {
          this.#greeted = true;
          resolve();
        }, reject);
      });
    });
  }

  #send<Name extends CallName>(name: Name, parameters: CallParameters<Name>): Promise<LinkReply> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined || this.#connection === undefined) {
        reject(this.#lost ?? new TlshubError('ERR_TLSHUB_DAEMON_LOST'));
        return;
      }
      const id = this.#nextCall++;
      this.#calls.set(id, { resolve, reject });
      this.#connection.send({ call: name, id, ...parameters });
    });
  }

  #receive(message: Record<string, unknown>): void {
    if ('event' in message) {
      this.#receiveEvent(message);
      return;
    }
    // The daemon's closing line: it says why it ends the link.
    if (!('reply' in message)) throw closingReason(message);
    const reply = parseLinkReply(message);
    const pending = this.#calls.get(reply.reply);
    if (pending === undefined) return;
    this.#calls.delete(reply.reply);
    if (reply.error === undefined) pending.resolve(reply);
    else pending.reject(decodeError(reply.error));
  }

  #receiveEvent(message: Record<string, unknown>): void {
    const event = parseEvent(message);
    if (event.event === 'drain') {
      this.forget();
      for (const holder of [...this.#holders.values()]) holder.linkOnDrain();
      for (const holder of [...this.#listeners.values()]) holder.linkOnDrain();
      for (const holder of [...this.#endpoints.values()]) holder.linkOnDrain();
      return;
    }
    if ('listener' in event) {
      this.#listeners.get(event.listener)?.linkOnListenerEvent(event);
      return;
    }
    if ('endpoint' in event) {
      this.#endpoints.get(event.endpoint)?.linkOnEndpointEvent(event);
      return;
    }
    if (!('lane' in event))
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', `${event.event} comes from a wrapper`);
    const holder = this.#holders.get(event.lane);
    if (event.event === 'ticket') {
      holder?.linkOnTicket(Buffer.from(event.ticket, 'base64'));
      return;
    }
    holder?.linkOnLaneEnd({ rc: event.rc, ...(event.error && { error: decodeError(event.error) }) });
  }

  /** New lanes use another link; the lanes of this one stay on it, and it closes with the last of them. */
  forget(): void {
    const name = linkName(this.directory, this.shard);
    if (currentLinks.get(name) === this) currentLinks.delete(name);
    forgetShardCount(this.directory);
    this.#forgotten = true;
    this.#closeIfUnused();
  }

  #closeIfUnused(): void {
    const held = this.#holders.size + this.#listeners.size + this.#endpoints.size;
    const isUnused = held === 0 && this.#calls.size === 0;
    if (!this.#forgotten || !isUnused) return;
    this.#trunk?.end();
    this.#connection?.socket.end();
  }

  #lose(cause: Error | undefined): void {
    if (this.#lost !== undefined) return;
    this.#lost =
      cause instanceof TlshubError ? cause : new TlshubError('ERR_TLSHUB_DAEMON_LOST', undefined, { cause });
    this.forget();
    for (const pending of this.#calls.values()) pending.reject(this.#lost);
    this.#calls.clear();
    this.#trunk?.end();
    const holders = [...this.#holders.values()];
    this.#holders.clear();
    for (const holder of holders) {
      holder.linkOnLaneEnd({ rc: -1, error: new TlshubError('ERR_TLSHUB_DAEMON_LOST') });
    }
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const holder of listeners) holder.linkOnLost(this.#lost);
    const endpoints = [...this.#endpoints.values()];
    this.#endpoints.clear();
    for (const holder of endpoints) holder.linkOnLost(this.#lost);
  }
}

function closingReason(message: Record<string, unknown>): Error {
  const line = parseLaneReply(message);
  return line.rc === -1 ? decodeError(line.error) : new TlshubError('ERR_TLSHUB_PROTOCOL');
}

function unreachable(directory: string, cause: unknown): TlshubError {
  return new TlshubError(
    'ERR_TLSHUB_DAEMON_UNREACHABLE',
    `no daemon answers in ${directory}; start one with "tlshub start"`,
    { cause },
  );
}
