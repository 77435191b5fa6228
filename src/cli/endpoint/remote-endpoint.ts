// An endpoint that the daemon has for this process: opens it, and opens it again when the daemon is replaced or has died.
// Used by `tlshub endpoint`, which stays in the foreground for as long as it is wanted.
import { codeOf, TlshubError } from '../../errors.ts';
import type { EndpointKind, EndpointPlace } from '../../protocol/endpoint-place.ts';
import { decodeError } from '../../protocol/wire-error.ts';
import { DaemonLink } from '../../wrapper/daemon-link.ts';
import type { EndpointEvent, EndpointHolder } from '../../wrapper/link-holders.ts';
import type { SharedRequest } from '../../wrapper/resolve-request.ts';
import { shardFor } from '../../wrapper/shards.ts';

/** Where an endpoint listens, as `net.Server.address()` tells it. */
export type EndpointAddress = { address: string; family: string; port: number } | string;

/** What an endpoint is to be. */
export interface EndpointDescription {
  readonly place: EndpointPlace;
  readonly kind: EndpointKind;
  readonly keepHost: boolean;
  readonly unsafeListen: boolean;
  readonly request: Pick<SharedRequest, 'key' | 'caBlob'>;
}

/** Who wants the endpoint. */
export interface EndpointUser {
  /** It was gone, and is open again. */
  endpointOnReopen(address: EndpointAddress): void;
  /** It is gone, and could not be had again. */
  endpointOnError(error: Error): void;
}

/** Tries to open it in one go, when daemons come and go. */
const MAX_TRIES = 5;
/** Milliseconds in which an address that a dying daemon still has must become free, and between two tries. */
const REOPEN_WITHIN_MS = 15_000;
const REOPEN_PAUSE_MS = 100;

/** One endpoint in the daemon; it keeps the process alive. */
export class RemoteEndpoint implements EndpointHolder {
  readonly #directory: string;
  readonly #description: EndpointDescription;
  readonly #user: EndpointUser;
  #place: EndpointPlace;
  #link: DaemonLink | undefined;
  #number = 0;
  #isOpen = false;
  #closed = false;

  /** @param directory the daemon's */
  constructor(directory: string, description: EndpointDescription, user: EndpointUser) {
    this.#directory = directory;
    this.#description = description;
    this.#place = description.place;
    this.#user = user;
  }

  /** Opens it; starts a daemon when there is none. Rejects with Node's error of `listen`, or the daemon's. */
  async open(): Promise<EndpointAddress> {
    const { kind, keepHost, unsafeListen, request } = this.#description;
    let blobSentOn: DaemonLink | undefined;
    for (let tries = 1; ; tries++) {
      // The shard that has the sessions.
      const shard = shardFor(this.#directory, { call: 'lease', key: request.key, named: undefined });
      const link = DaemonLink.for(this.#directory, true, shard);
      const endpoint = link.addEndpoint(this);
      this.#use(link, endpoint);
      try {
        const fields = { listen: this.#place, kind, key: request.key, keepHost, unsafeListen };
        const { address } = await link.call('endpoint', { endpoint, ...fields });
        this.#isOpen = true;
        // Who opens it again wants the same port.
        if (typeof address === 'object')
          this.#place = { ...this.#place, port: (address as { port: number }).port };
        return address as EndpointAddress;
      } catch (error) {
        link.removeEndpoint(endpoint);
        this.#use(undefined, 0);
        const blob = codeOf(error) === 'ERR_TLSHUB_BLOB_MISSING' ? request.caBlob() : undefined;
        if (blob !== undefined && blobSentOn !== link) {
          await link.putBlob(request.key.ca, blob);
          blobSentOn = link;
          continue;
        }
        // A daemon that goes away makes room for the next one.
        const isReplaced = ['ERR_TLSHUB_DRAINING', 'ERR_TLSHUB_DAEMON_LOST'].includes(codeOf(error) ?? '');
        if (!isReplaced || this.#closed || tries >= MAX_TRIES) throw error;
        link.forget();
      }
    }
  }

  /** Closes the door; resolves when its clients have ended, or `deadlineMs` later. */
  async close(deadlineMs: number): Promise<void> {
    this.#closed = true;
    const link = this.#link;
    const endpoint = this.#number;
    if (link === undefined) return;
    await link.call('closeEndpoint', { endpoint, deadline: deadlineMs }).catch(() => {});
    link.removeEndpoint(endpoint);
    this.#use(undefined, 0);
  }

  linkOnEndpointEvent(event: EndpointEvent): void {
    if (event.event === 'endpoint-end') this.#lose(decodeError(event.error));
  }

  linkOnDrain(): void {
    this.#lose(new TlshubError('ERR_TLSHUB_DRAINING'));
  }

  linkOnLost(error: Error): void {
    this.#lose(error);
  }

  #lose(_reason: Error): void {
    // While it is being opened, that attempt fails, and whoever made it decides.
    if (this.#link === undefined || this.#closed || !this.#isOpen) return;
    this.#isOpen = false;
    this.#link.removeEndpoint(this.#number);
    this.#use(undefined, 0);
    void this.#reopen();
  }

  async #reopen(): Promise<void> {
    const deadlineMs = performance.now() + REOPEN_WITHIN_MS;
    while (!this.#closed) {
      try {
        const address = await this.open();
        if (this.#closed) await this.close(0);
        else this.#user.endpointOnReopen(address);
        return;
      } catch (error) {
        if (performance.now() > deadlineMs) {
          if (!this.#closed) this.#user.endpointOnError(error as Error);
          return;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, REOPEN_PAUSE_MS));
    }
  }

  #use(link: DaemonLink | undefined, endpoint: number): void {
    this.#link?.letProcessExit();
    this.#link = link;
    this.#number = endpoint;
    link?.holdProcess();
  }
}
