// A port that the daemon has for a server of this process: opens it, takes the sessions that are offered, and opens it
// again when the daemon is replaced or has died. What the server does with a session is share-server.ts.

import { codeOf, TlshubError } from '../../errors.ts';
import { socketDirectory } from '../../link/socket-path.ts';
import type { ListenAddress } from '../../protocol/server-key.ts';
import { decodeError } from '../../protocol/wire-error.ts';
import { DaemonLink, type ListenerEvent, type ListenerHolder } from '../daemon-link.ts';
import type { ServerDescription } from './server-description.ts';

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
  #referenced = true;
  /** Offers that came before the reply of the call. */
  #early: ListenerEvent[] | undefined = [];

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
  async open(): Promise<void> {
    for (let blobSent = false; ; blobSent = true) {
      const link = DaemonLink.for(this.#directory);
      const listener = link.addListener(this);
      this.#use(link, listener);
      try {
        const { address } = await link.call('listen', {
          listener,
          address: this.#requested,
          ...this.#description.wire(),
        });
        this.address = address as ServerAddress;
        // Who opens it again wants the same port.
        if (typeof this.address === 'object')
          this.#requested = { ...this.#requested, port: this.address.port };
        if (this.#closed) this.#leave(false);
        return;
      } catch (error) {
        link.removeListener(listener);
        this.#use(undefined, 0);
        const missing = codeOf(error) === 'ERR_TLSHUB_BLOB_MISSING' && !blobSent;
        if (!missing) throw error;
        await this.#sendBlobs(link);
      }
    }
  }

  /** The server has told its application of the port: what was offered meanwhile is given to it. */
  begin(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const event of early) this.linkOnListenerEvent(event);
  }

  /** Makes a call about the server; nothing happens before it listens, the description tells it then. */
  async call(
    name: 'setContext' | 'addContext' | 'setTicketKeys' | 'setAdopts',
    fields: object,
  ): Promise<void> {
    if (this.#link === undefined || this.address === null) return;
    const link = this.#link;
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
   * Takes no more sessions.
   * @param lingers the port stays for a time although this may be the last worker
   */
  close(lingers: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.address !== null) this.#leave(lingers);
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
      this.#early.push(event);
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
    if (link === undefined || this.#closed || this.address === null) return;
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
    const deadlineMs = performance.now() + REOPEN_WITHIN_MS;
    for (;;) {
      try {
        await this.open();
        return;
      } catch (error) {
        if (this.#closed) return;
        if (performance.now() > deadlineMs) {
          this.#fail(error as Error);
          return;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, REOPEN_PAUSE_MS));
      if (this.#closed) return;
    }
  }

  #fail(error: Error): void {
    this.#closed = true;
    this.#link?.removeListener(this.#number);
    this.#use(undefined, 0);
    this.#owner.listenerOnError(error);
  }

  #leave(lingers: boolean): void {
    const link = this.#link;
    const listener = this.#number;
    if (link === undefined) return;
    link.call('unlisten', { listener, linger: lingers }).catch(() => {});
    link.removeListener(listener);
    this.#use(undefined, 0);
  }

  #use(link: DaemonLink | undefined, listener: number): void {
    if (this.#referenced) this.#link?.letProcessExit();
    this.#link = link;
    this.#number = listener;
    if (this.#referenced) link?.holdProcess();
  }
}
