// One endpoint: a door, the connections that came through it, and the target whose sessions they use. It counts, and it
// closes in order: no new clients, those that are there may finish, then the rest is cut. Made by endpoints.ts.
import type { Socket } from 'node:net';
import { messageOf, TlshubError } from '../../errors.ts';
import { TurnoverSet } from '../../link/turnover.ts';
import { endpointPlaceText } from '../../protocol/endpoint-place.ts';
import type { EndpointReport } from '../../protocol/endpoint-report.ts';
import { rememberCanonical } from '../../protocol/session-key.ts';
import type { AbandonSignal } from '../abandonment.ts';
import type { BlobStore } from '../blob-store.ts';
import { contextOf } from '../contexts/context-use.ts';
import type { Contexts } from '../contexts/contexts.ts';
import type { Logger } from '../log.ts';
import type { Pool } from '../pool.ts';
import type { BoundAddress } from '../server/acceptor.ts';
import type { Session } from '../session.ts';
import { resetSocketSettings } from '../socket-settings.ts';
import { OpenFailure } from '../upstream.ts';
import { addressInUse, Door, placeOf } from './door.ts';
import { authorityOf, type EndpointSettings, servesHost, targetOf } from './endpoint-settings.ts';
import type { EndpointConnection, EndpointTarget } from './endpoint-target.ts';
import { serveHttp } from './http-connection.ts';
import { serveRaw } from './raw-connection.ts';

/** Milliseconds that a client waits for a session when a limit is reached. */
const LEASE_WAIT_MS = 30_000;

const SERVE = { raw: serveRaw, http: serveHttp } as const;

/** What an endpoint works with. */
export interface EndpointServices {
  readonly pool: Pool;
  readonly blobs: BlobStore;
  readonly contexts: Contexts;
  readonly log: Logger;
  /** See {@link Door}. */
  readonly checkPeerCredentials: boolean;
  /** The limit that keeps another client out, or `undefined` when there is room. */
  limitFor(client: Socket): string | undefined;
  /** True when an endpoint of this daemon listens on a path. */
  isOpen(path: string): boolean;
}

/** Whose an endpoint is. */
export interface EndpointOwner {
  /** Of the section in the configuration; `null` of one that a process opened. */
  readonly name: string | null;
  readonly uid: number;
  /** The process that opened it; the daemon itself for the configuration. */
  readonly pid: number | null;
  /** The door is closed, and nobody asked for it. */
  endpointOnLost(error: Error): void;
}

/** One client and what it uses. */
interface Client {
  readonly socket: Socket;
  readonly sessions: Set<Session>;
  connection: EndpointConnection | undefined;
}

/** An open endpoint. */
export class Endpoint {
  readonly owner: EndpointOwner;
  readonly #services: EndpointServices;
  readonly #clients = new TurnoverSet<Client>();
  readonly #counts = { total: 0, requests: 0, refused: 0, failures: 0, fromClients: 0, toClients: 0 };
  #settings: EndpointSettings;
  #door: Door | undefined;
  #closing: Promise<void> | undefined;
  #clientsGone: (() => void) | undefined;
  #lastFailure: string | null = null;
  /** The address as text. */
  #where = '';

  private constructor(settings: EndpointSettings, owner: EndpointOwner, services: EndpointServices) {
    this.#settings = settings;
    rememberCanonical(settings.key);
    this.owner = owner;
    this.#services = services;
  }

  /** Opens its door. Rejects as {@link Door.open}, and with ERR_TLSHUB_CONTEXT_UNKNOWN. */
  static async open(
    settings: EndpointSettings,
    owner: EndpointOwner,
    services: EndpointServices,
  ): Promise<Endpoint> {
    contextOf(settings.key, owner.uid, services.contexts);
    const endpoint = new Endpoint(settings, owner, services);
    const { path } = settings.place;
    // Whether somebody listens there is found out by connecting, which would be a client of our own.
    if (path !== null && services.isOpen(path)) throw addressInUse(path);
    endpoint.#door = await Door.open({
      place: settings.place,
      unsafe: settings.unsafeListen,
      checkPeerCredentials: services.checkPeerCredentials,
      log: services.log,
      onConnection: (socket, pid) => endpoint.#doorOnConnection(socket, pid),
      onRefused: () => {
        endpoint.#counts.refused += 1;
      },
      onLost: (error) => owner.endpointOnLost(error),
    });
    endpoint.#where = endpointPlaceText(placeOf(endpoint.address));
    services.log.info(
      { address: endpoint.#where, to: targetOf(settings.key), kind: settings.kind },
      'an endpoint is open',
    );
    return endpoint;
  }

  /** Where it listens. */
  get address(): BoundAddress {
    return this.#door?.address ?? '';
  }

  /** Connections of clients now. */
  get connections(): number {
    return this.#clients.size;
  }

  /** Sessions that clients have now, each with the bytes that are on the way. */
  *leases(): Generator<{ session: Session; bufferedBytes: number }> {
    for (const { socket, sessions } of this.#clients) {
      const ofClient = socket.readableLength + socket.writableLength;
      for (const session of sessions) {
        // Those that were closed, and not given back.
        if (session.state !== 'leased') sessions.delete(session);
        else yield { session, bufferedBytes: session.bufferedBytes + ofClient };
      }
    }
  }

  /** Clients that come from now on get other settings, at the same place; requests under way are finished first. */
  retarget(settings: EndpointSettings): void {
    rememberCanonical(settings.key);
    this.#settings = settings;
    for (const { connection } of [...this.#clients]) connection?.drain();
  }

  /**
   * Closes the door at once. Resolves when the last connection has ended.
   * @param deadlineMs when connections that are left are cut; `undefined`: somebody else sees to it
   */
  close(deadlineMs?: number): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#door?.close();
      this.#services.log.info({ address: this.#where }, 'an endpoint is closed');
      this.#clientsGone = resolve;
      for (const { connection } of [...this.#clients]) connection?.drain();
      if (this.#clients.size === 0) resolve();
    });
    if (deadlineMs !== undefined && this.#clients.size > 0) {
      const timer = setTimeout(() => this.cut(), deadlineMs);
      void this.#closing.then(() => clearTimeout(timer));
    }
    return this.#closing;
  }

  /** Ends every connection at once. */
  cut(): void {
    for (const { connection } of [...this.#clients]) connection?.destroy();
  }

  /** What the status tells. */
  report(): EndpointReport {
    const { kind, key } = this.#settings;
    const { fromClients, toClients, ...counts } = this.#counts;
    let [bytesFromClients, bytesToClients] = [fromClients, toClients];
    for (const { socket, connection } of this.#clients) {
      bytesFromClients += socket.bytesRead;
      bytesToClients += connection?.bytesToClient ?? 0;
    }
    return {
      name: this.owner.name,
      address: this.#where,
      kind,
      to: targetOf(key),
      pid: this.owner.pid,
      connections: this.#clients.size,
      ...counts,
      bytesFromClients,
      bytesToClients,
      reason: this.#lastFailure,
    };
  }

  #doorOnConnection(socket: Socket, pid: number | null): void {
    // Connections that were accepted before the door was closed may still come.
    if (this.#closing !== undefined) {
      socket.destroy();
      return;
    }
    const limit = this.#services.limitFor(socket);
    if (limit !== undefined)
      throw new TlshubError('ERR_TLSHUB_LIMIT', `the daemon is at its limit: ${limit}`);
    const client: Client = { socket, sessions: new Set(), connection: undefined };
    this.#clients.add(client);
    this.#counts.total += 1;
    client.connection = SERVE[this.#settings.kind](socket, this.#targetFor(client, pid), ({ requests }) => {
      this.#clients.delete(client);
      this.#counts.requests += requests;
      this.#counts.fromClients += socket.bytesRead;
      this.#counts.toClients += client.connection?.bytesToClient ?? 0;
      if (this.#clients.size === 0) this.#clientsGone?.();
    });
  }

  #targetFor(client: Client, pid: number | null): EndpointTarget {
    const settings = this.#settings;
    const { pool, log, contexts } = this.#services;
    const { key, place, keepHost, unsafeListen } = settings;
    const { uid } = this.owner;
    const holder = { pid, uid, endpoint: this.#where };
    const begin = (session: Session) => {
      // One that a client of an endpoint had before has these settings already.
      if (session.holder?.endpoint === undefined) resetSocketSettings(session.tls, { noDelay: true });
      session.holder = holder;
      client.sessions.add(session);
    };
    // A web page cannot reach a Unix socket; where the name stays as it is, the target looks at it.
    const isGuarded = place.path === null && !keepHost && !unsafeListen;
    return {
      authority: authorityOf(key),
      keepHost,
      ...(isGuarded && { servesHost: (host: string) => servesHost(host, key) }),
      log,
      lease: async ({ abandoned, fresh = false }) => {
        try {
          const leased = await this.#lease(settings, abandoned, fresh);
          begin(leased.session);
          return leased;
        } catch (error) {
          if (!abandoned.aborted) this.#countFailure(error, settings);
          throw error;
        }
      },
      leaseIdle: () => {
        let session: Session | undefined;
        try {
          session = pool.leaseIdle(uid, key, contextOf(key, uid, contexts));
        } catch {
          // Of a context that is gone the lease that follows tells.
        }
        if (session !== undefined) begin(session);
        return session;
      },
      release: (session) => {
        client.sessions.delete(session);
        pool.giveBack(session);
      },
    };
  }

  #lease({ key, ca }: EndpointSettings, abandoned: AbandonSignal, fresh: boolean) {
    const { pool, blobs, contexts } = this.#services;
    if (ca !== 'bundled') blobs.keep(key.ca, ca);
    const { uid } = this.owner;
    return pool.lease({
      uid,
      key,
      context: contextOf(key, uid, contexts),
      waitMs: LEASE_WAIT_MS,
      abandoned,
      fresh,
      onOpenEvent: () => {},
    });
  }

  #countFailure(error: unknown, { key }: EndpointSettings): void {
    this.#counts.failures += 1;
    this.#lastFailure = messageOf(error);
    const { code } = error instanceof OpenFailure ? error.wire : (error as { code?: string });
    this.#services.log.once(
      `endpoint ${this.#where} ${code}`,
      'warn',
      { endpoint: this.#where, to: targetOf(key), code, reason: this.#lastFailure },
      'a client of an endpoint got no session',
    );
  }
}
