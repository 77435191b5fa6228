// All endpoints of the daemon: those that processes opened, which end with their link, and those of the configuration.
// It bounds their clients together and closes them when the daemon drains. Called by daemon.ts and by the calls of links.
import { TlshubError } from '../../errors.ts';
import type { EndpointReport } from '../../protocol/endpoint-report.ts';
import type { LinkCallOf } from '../../protocol/messages.ts';
import { encodeError } from '../../protocol/wire-error.ts';
import type { LinkPeer } from '../link-peer.ts';
import { descriptorOf } from '../listener.ts';
import type { BoundAddress } from '../server/acceptor.ts';
import { ConfiguredEndpoints, type EndpointChanges } from './configured-endpoints.ts';
import { Endpoint, type EndpointServices } from './endpoint.ts';
import type { EndpointSettings } from './endpoint-settings.ts';

/** Milliseconds that the clients of an endpoint have to finish when whoever opened it is gone. */
const CLOSE_DEADLINE_MS = 5_000;

/** What the endpoints work with, and their limits. */
export interface EndpointsOptions extends Omit<EndpointServices, 'limitFor' | 'isOpen'> {
  /** Most clients of all endpoints together. */
  readonly maxConnections: number;
  /** From this number on descriptors are kept for the daemon itself. */
  readonly maxDescriptor: number;
  /** Which endpoints of the configuration this daemon opens. */
  opensEndpoint(name: string, settings: EndpointSettings): boolean;
}

/** Every endpoint. */
export class Endpoints {
  readonly #options: EndpointsOptions;
  readonly #services: EndpointServices;
  readonly #ofLinks = new Map<LinkPeer, Map<number, Endpoint>>();
  /** Those whose door is closed and that still have clients. */
  readonly #closing = new Set<Endpoint>();
  readonly #configured: ConfiguredEndpoints;
  #draining = false;
  #allGone: (() => void) | undefined;

  constructor(options: EndpointsOptions) {
    this.#options = options;
    this.#services = {
      ...options,
      limitFor: (client) => {
        if (this.connections >= options.maxConnections)
          return `${options.maxConnections} connections (--max-connections)`;
        return (descriptorOf(client) ?? 0) >= options.maxDescriptor
          ? 'open descriptors (ulimit -n)'
          : undefined;
      },
      isOpen: (path) =>
        [...this.#all()].some((endpoint) => endpoint.address === path && !this.#closing.has(endpoint)),
    };
    this.#configured = new ConfiguredEndpoints({
      log: options.log,
      opensEndpoint: options.opensEndpoint,
      open: (name, settings, endpointOnLost) =>
        Endpoint.open(
          settings,
          { name, uid: process.getuid?.() ?? 0, pid: process.pid, endpointOnLost },
          this.#services,
        ),
      close: (endpoint) => void this.#close(endpoint, CLOSE_DEADLINE_MS),
    });
  }

  /** Clients of all endpoints now. */
  get connections(): number {
    let connections = 0;
    for (const endpoint of this.#all()) connections += endpoint.connections;
    return connections;
  }

  /** Open doors, and endpoints that are to be opened: while there is one the daemon is needed. */
  get size(): number {
    let size = this.#configured.size + this.#closing.size;
    for (const own of this.#ofLinks.values()) size += own.size;
    return size;
  }

  /** Opens an endpoint for a process. Rejects as {@link Endpoint.open}, with ERR_TLSHUB_BLOB_MISSING and _DRAINING. */
  async open(link: LinkPeer, call: LinkCallOf<'endpoint'>): Promise<{ address: BoundAddress }> {
    const { endpoint: number, listen: place, kind, key, keepHost, unsafeListen } = call;
    if (this.#draining) throw new TlshubError('ERR_TLSHUB_DRAINING');
    const ca = this.#options.blobs.get(key.ca);
    if (ca === undefined) throw new TlshubError('ERR_TLSHUB_BLOB_MISSING');
    const refuseKnown = () => {
      if (this.#ofLinks.get(link)?.has(number) === true)
        throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'the number of the endpoint is in use');
    };
    refuseKnown();
    const { uid, pid } = link.identity;
    const endpointOnLost = (error: Error) => {
      const lost = this.#ofLinks.get(link)?.get(number);
      if (lost === undefined) return;
      this.#forget(link, number);
      void this.#close(lost, CLOSE_DEADLINE_MS);
      link.send({ event: 'endpoint-end', endpoint: number, error: encodeError(error) });
    };
    const endpoint = await Endpoint.open(
      { place, kind, keepHost, unsafeListen, key, ca },
      { name: null, uid, pid, endpointOnLost },
      this.#services,
    );
    try {
      refuseKnown();
      if (this.#draining) throw new TlshubError('ERR_TLSHUB_DRAINING');
    } catch (error) {
      void this.#close(endpoint, 0);
      throw error;
    }
    if (link.closed) {
      void this.#close(endpoint, 0);
      return { address: endpoint.address };
    }
    const own = this.#ofLinks.get(link) ?? new Map<number, Endpoint>();
    this.#ofLinks.set(link, own);
    own.set(number, endpoint);
    return { address: endpoint.address };
  }

  /** Closes an endpoint of a process; resolves when its last client is gone. Throws ERR_TLSHUB_PROTOCOL. */
  async closeOf(link: LinkPeer, number: number, deadlineMs: number): Promise<void> {
    const endpoint = this.#ofLinks.get(link)?.get(number);
    if (endpoint === undefined) throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'there is no such endpoint');
    this.#forget(link, number);
    await this.#close(endpoint, deadlineMs);
  }

  /** A process is gone: its doors are closed, and their clients have a short time to finish. */
  linkOnClose(link: LinkPeer): void {
    const own = this.#ofLinks.get(link);
    this.#ofLinks.delete(link);
    for (const endpoint of own?.values() ?? []) void this.#close(endpoint, CLOSE_DEADLINE_MS);
  }

  /** Makes the endpoints of the configuration those of its newest version; see {@link ConfiguredEndpoints.apply}. */
  apply(wanted: ReadonlyMap<string, EndpointSettings>): Promise<EndpointChanges> {
    return this.#configured.apply(wanted);
  }

  /** Tries again to open what could not be opened. */
  sweep(nowMs: number): void {
    this.#configured.sweep(nowMs);
  }

  /** Sessions that clients of endpoints have. */
  *leases() {
    for (const endpoint of this.#all()) yield* endpoint.leases();
  }

  /** What the status tells. */
  reports(): EndpointReport[] {
    const open = [...this.#all()].map((endpoint) => endpoint.report());
    return [...open, ...this.#configured.failures()];
  }

  /** Closes every door; clients may finish until {@link cut}. `onGone` is called when the last one is gone. */
  drain(onGone: () => void): void {
    this.#draining = true;
    this.#allGone = onGone;
    const all = [...this.#all()];
    this.#ofLinks.clear();
    for (const endpoint of [...all, ...this.#configured.stop()]) void this.#close(endpoint);
  }

  /** Ends every connection of a client at once. */
  cut(): void {
    for (const endpoint of this.#all()) endpoint.cut();
  }

  async #close(endpoint: Endpoint, deadlineMs?: number): Promise<void> {
    this.#closing.add(endpoint);
    await endpoint.close(deadlineMs);
    this.#closing.delete(endpoint);
    if (this.#draining) this.#allGone?.();
  }

  #forget(link: LinkPeer, number: number): void {
    const own = this.#ofLinks.get(link);
    own?.delete(number);
    if (own?.size === 0) this.#ofLinks.delete(link);
  }

  *#all(): Generator<Endpoint> {
    for (const own of this.#ofLinks.values()) yield* own.values();
    yield* this.#configured.open();
    yield* this.#closing;
  }
}
