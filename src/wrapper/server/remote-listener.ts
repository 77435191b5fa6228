// A port that the daemon has for a server of this process: opens it, takes the sessions that are offered, and opens it
// again when the daemon is replaced or has died. What the server does with a session is share-server.ts.
import { chmod, lstat, unlink } from 'node:fs/promises';
import { codeOf, TlshubError } from '../../errors.ts';
import { probeSocket } from '../../link/probe-socket.ts';
import { socketDirectory } from '../../link/socket-path.ts';
import type { ListenAddress } from '../../protocol/server-key.ts';
import type { OfferedOnTrunk } from '../../protocol/trunk-offers.ts';
import { decodeError } from '../../protocol/wire-error.ts';
import { DaemonLink } from '../daemon-link.ts';
import { MAX_ATTEMPTS } from '../daemon-socket.ts';
import type { ListenerEvent, ListenerHolder } from '../link-holders.ts';
import { shardsForPort } from '../shards.ts';
import type { ServerDescription } from './server-description.ts';
import { Trunk } from './trunk.ts';
import type { TrunkPipe } from './trunk-pipe.ts';

/** Where a port is, as `net.Server.address()` tells it. */
export type ServerAddress = { address: string; family: string; port: number } | string;

/** A session that the daemon offers. */
export interface OfferedSession {
  link: DaemonLink;
  directory: string;
  handle: string;
  /** Another worker had it before. */
  adopted: boolean;
}

/** The server that a port is for. */
export interface ListenerOwner {
  listenerOnOffer(offer: OfferedSession): void;
  /** A session that came on the trunk of a link. */
  listenerOnSession(opening: OfferedOnTrunk, pipe: TrunkPipe, link: DaemonLink): void;
  /** Node's error of a handshake, and where it came from. */
  listenerOnClientError(error: Error, peer: Extract<ListenerEvent, { event: 'client-error' }>): void;
  listenerOnQuestion(question: Extract<ListenerEvent, { event: 'question' }>, link: DaemonLink): void;
  /** The port is gone, and could not be had again. */
  listenerOnError(error: Error): void;
}

/** Milliseconds in which a port that a dying daemon still has must become free, and between two tries. */
const REOPEN_WITHIN_MS = 15_000;
const REOPEN_PAUSE_MS = 100;

/** One port of the daemon. */
export class RemoteListener implements ListenerHolder {
  address: ServerAddress | null = null;
  readonly #directory = socketDirectory();
  readonly #description: ServerDescription;
  readonly #owner: ListenerOwner;
  #requested: ListenAddress;
  #link: DaemonLink | undefined;
  #number = 0;
  #closed = false;
  #reopening = false;
  /** The port stays for a time when it is closed as soon as it is open. */
  #lingers = false;
  /** The port is being opened; settles when that is decided, and never rejects. */
  #opening: Promise<void> | undefined;
  #left: Promise<void> | undefined;
  #referenced = true;
  /** Offers that came before the reply of the call. */
  #early: (() => void)[] | undefined = [];

  /**
   * @param description what the server is, asked each time the port is opened
   * @param requested where it is to listen
   */
  constructor(description: ServerDescription, requested: ListenAddress, owner: ListenerOwner) {
    this.#description = description;
    this.#requested = requested;
    this.#owner = owner;
  }

  /** Opens the port, or joins the workers that have it. Rejects with Node's error, or tlshub's. */
  open(): Promise<void> {
    const opened = this.#open().finally(() => {
      this.#opening = undefined;
    });
    this.#opening = opened.catch(() => {});
    return opened;
  }

  async #open(): Promise<void> {
    let blobsSentOn: DaemonLink | undefined;
    let shards = this.#shards();
    let taken: Error | undefined;
    for (let attempt = 1; ; attempt++) {
      const link = DaemonLink.for(this.#directory, true, shards[0]);
      const listener = link.addListener(this);
      this.#use(link, listener);
      try {
        await link.ready;
        // The daemon may have been started just now, as another number of processes.
        const present = this.#shards();
        if (taken === undefined && present[0] !== shards[0]) {
          link.removeListener(listener);
          this.#use(undefined, 0);
          shards = present;
          continue;
        }
        // Without a trunk the sessions come by offers on the link.
        if (this.#description.sharing.survive !== false) await Trunk.of(link).catch(() => {});
        const { address } = await link.call('listen', {
          listener,
          address: this.#requested,
          ...this.#description.wire(),
        });
        this.address = address as ServerAddress;
        await this.#setMode();
        // Who opens it again wants the same port.
        if (typeof this.address === 'object')
          this.#requested = { ...this.#requested, port: this.address.port };
        if (this.#closed) await this.#leave(this.#lingers);
        return;
      } catch (error) {
        link.removeListener(listener);
        this.#use(undefined, 0);
        const code = codeOf(error);
        if (code === 'ERR_TLSHUB_BLOB_MISSING' && blobsSentOn !== link) {
          await this.#sendBlobs(link);
          blobsSentOn = link;
          continue;
        }
        if (code === 'EADDRINUSE') {
          taken = moreTelling(taken, error as Error);
          // Another shard may have the port, with a group to join.
          shards = shards.slice(1);
          if (shards.length === 0 || this.#closed) throw taken;
          attempt -= 1;
          continue;
        }
        // A daemon that goes away makes room for the next one.
        const isReplaced = code === 'ERR_TLSHUB_DRAINING' || code === 'ERR_TLSHUB_DAEMON_LOST';
        if (!isReplaced || this.#closed || attempt >= MAX_ATTEMPTS) throw error;
        link.forget();
        shards = this.#shards();
      }
    }
  }

  #shards(): number[] {
    const { name } = this.#description.sharing.group;
    return shardsForPort(this.#directory, this.#requested, name);
  }

  /** The server has told its application of the port: what was offered meanwhile is given to it. */
  begin(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const give of early) give();
  }

  get takesSessions(): boolean {
    return !this.#closed;
  }

  linkOnSession(opening: OfferedOnTrunk, pipe: TrunkPipe): void {
    const link = this.#link;
    if (this.#early === undefined) this.#giveSession(opening, pipe, link);
    else this.#early.push(() => this.#giveSession(opening, pipe, link));
  }

  #giveSession(opening: OfferedOnTrunk, pipe: TrunkPipe, link: DaemonLink | undefined): void {
    // What comes to a server that has closed meanwhile, another one gets; what came on a link that is lost, nobody.
    if (this.#closed || link === undefined || link !== this.#link) pipe.close();
    else this.#owner.listenerOnSession(opening, pipe, link);
  }

  /** Makes a call about the server, when its port is open; nothing happens before it listens: the description tells it. */
  async call(
    name: 'setContext' | 'addContext' | 'setTicketKeys' | 'setAdopts',
    fields: object,
  ): Promise<void> {
    // What is asked for meanwhile, the call that is under way does not tell.
    await this.#opening;
    const link = this.#link;
    if (link === undefined || this.address === null) return;
    const call = () => link.call(name, { listener: this.#number, ...fields } as never);
    try {
      await call();
    } catch (error) {
      if (codeOf(error) !== 'ERR_TLSHUB_BLOB_MISSING') throw error;
      await this.#sendBlobs(link);
      await call();
    }
  }

  /**
   * Takes no more sessions. Resolves when the daemon knows: a port that this was the last worker of is closed then.
   * @param lingers the port stays for a time although this may be the last worker
   */
  async close(lingers: boolean): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#lingers = lingers;
      this.#left = this.#opening ?? this.#leave(lingers);
    }
    await this.#left;
  }

  /** The listener does, or does not, keep the process alive. */
  reference(referenced: boolean): void {
    if (this.#referenced === referenced) return;
    this.#referenced = referenced;
    if (referenced) this.#link?.holdProcess();
    else this.#link?.letProcessExit();
  }

  linkOnListenerEvent(event: ListenerEvent): void {
    if (this.#early !== undefined && event.event !== 'question') {
      this.#early.push(() => this.linkOnListenerEvent(event));
      return;
    }
    const link = this.#link;
    if (link === undefined) return;
    if (event.event === 'offer') this.#takeOffer(event, link);
    else if (event.event === 'client-error')
      this.#owner.listenerOnClientError(decodeError(event.error), event);
    else if (event.event === 'question') this.#owner.listenerOnQuestion(event, link);
    else this.#fail(decodeError(event.error));
  }

  linkOnDrain(): void {
    this.linkOnLost(new TlshubError('ERR_TLSHUB_DRAINING'));
  }

  linkOnLost(_error: Error): void {
    const link = this.#link;
    // While the port is being opened, that attempt fails, and whoever made it decides.
    if (link === undefined || this.#closed || this.address === null || this.#reopening) return;
    link.removeListener(this.#number);
    this.#use(undefined, 0);
    void this.#reopen();
  }

  async #sendBlobs(link: DaemonLink): Promise<void> {
    for (const [sha256, blob] of this.#description.blobs()) await link.putBlob(sha256, blob);
  }

  #takeOffer({ handle, adopted }: Extract<ListenerEvent, { event: 'offer' }>, link: DaemonLink): void {
    // What a worker that has closed is offered meanwhile, another one gets.
    if (this.#closed) return;
    this.#owner.listenerOnOffer({ link, directory: this.#directory, handle, adopted });
  }

  async #reopen(): Promise<void> {
    this.#reopening = true;
    const deadlineMs = performance.now() + REOPEN_WITHIN_MS;
    while (!this.#closed) {
      try {
        await this.open();
        break;
      } catch (error) {
        if (performance.now() > deadlineMs) {
          if (!this.#closed) this.#fail(error as Error);
          break;
        }
        await this.#removeStaleSocket(error);
      }
      await new Promise((resolve) => setTimeout(resolve, REOPEN_PAUSE_MS));
    }
    this.#reopening = false;
    // Lost again before anybody looked.
    if (this.#link?.lost === true) this.linkOnLost(new TlshubError('ERR_TLSHUB_DAEMON_LOST'));
  }

  /** The file of a Unix socket is made with the mask of the daemon; it gets the mode that this process would give it. */
  async #setMode(): Promise<void> {
    const { path } = this.#requested;
    if (path === null || path.startsWith('\0')) return;
    try {
      const { mode } = await lstat(path);
      // Newer versions of libuv (Node 22) give a socket that all may use no other rights.
      if ((mode & 0o100) !== 0) await chmod(path, (mode & 0o777) | (0o777 & ~process.umask()));
    } catch {
      // Who may not change it has no business with it.
    }
  }

  /** A daemon that was killed leaves the file of a Unix socket behind, and it was ours. */
  async #removeStaleSocket(error: unknown): Promise<void> {
    const { path } = this.#requested;
    if (path === null || path.startsWith('\0') || codeOf(error) !== 'EADDRINUSE') return;
    try {
      const before = await lstat(path);
      if (!before.isSocket() || (await probeSocket(path)) !== 'stale') return;
      // Another worker may have been faster.
      if ((await lstat(path)).ino === before.ino) await unlink(path);
    } catch {
      // Gone meanwhile, or not ours: the next attempt tells.
    }
  }

  #fail(error: Error): void {
    this.#closed = true;
    this.#link?.removeListener(this.#number);
    this.#use(undefined, 0);
    this.#owner.listenerOnError(error);
  }

  async #leave(lingers: boolean): Promise<void> {
    const link = this.#link;
    const listener = this.#number;
    if (link === undefined) return;
    const told = link.call('unlisten', { listener, linger: lingers }).catch(() => {});
    link.removeListener(listener);
    this.#use(undefined, 0);
    // The sessions of a server that never came to say that it listens are to be another's, too.
    this.begin();
    await told;
  }

  #use(link: DaemonLink | undefined, listener: number): void {
    if (this.#referenced) this.#link?.letProcessExit();
    this.#link = link;
    this.#number = listener;
    if (this.#referenced) link?.holdProcess();
  }
}

/** Of two refusals of a port: a group that is there says more than a port that is taken. */
function moreTelling(before: Error | undefined, error: Error): Error {
  return before === undefined || error.message.length > before.message.length ? error : before;
}
