// An endpoint of kind http for tests: a real door, real connections of HTTP, and a real pool of sessions with an origin.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { listen } from '#helpers/listen.js';
import type { Scope } from '#helpers/scope.js';
import { waitFor } from '#helpers/wait-for.js';
import { BlobStore } from '#src/daemon/blob-store.js';
import { type DaemonConfig, DEFAULT_CONFIG } from '#src/daemon/config.js';
import type {
  EndpointConnection,
  EndpointCounts,
  EndpointTarget,
} from '#src/daemon/endpoint/endpoint-target.js';
import { serveHttp } from '#src/daemon/endpoint/http-connection.js';
import { HTTP_TIMES, type HttpTimes } from '#src/daemon/endpoint/http-deadline.js';
import { Logger } from '#src/daemon/log.js';
import { Pool } from '#src/daemon/pool.js';
import type { Session } from '#src/daemon/session.js';
import { SessionTable } from '#src/daemon/session-table.js';
import { TicketCache } from '#src/daemon/ticket-cache.js';
import { Upstream } from '#src/daemon/upstream.js';
import { sessionKey, sha256 } from '../../fuzz/wire-client.ts';

/** How a door is made. */
export interface DoorOptions {
  /** Port of the origin on 127.0.0.1. */
  readonly port: number;
  /** PEM of its root. */
  readonly ca: string;
  readonly keepHost?: boolean;
  readonly limits?: Partial<DaemonConfig>;
  readonly times?: Partial<HttpTimes>;
  /** Milliseconds that a request waits for a session; default 0. */
  readonly waitMs?: number;
}

/** A door with its pool. */
export interface Door {
  readonly port: number;
  readonly pool: Pool;
  readonly table: SessionTable;
  /** Sessions that are closed, in order. */
  readonly closed: Session[];
  /** What connections of clients carried that are gone. */
  readonly counts: EndpointCounts[];
  readonly connections: Set<EndpointConnection>;
  /** The clients' sockets on the door's side. */
  readonly sockets: Set<Socket>;
  /** Why the last session was closed. */
  lastReason(): string | undefined;
}

/** Opens a door that is closed after the test. */
export async function openDoor(scope: Scope, options: DoorOptions): Promise<Door> {
  const blobs = new BlobStore();
  const data = Buffer.from(options.ca).toString('base64');
  blobs.put({}, { sha256: sha256(options.ca), offset: 0, data, last: true });
  const tickets = new TicketCache(100);
  const table = new SessionTable();
  const config: DaemonConfig = { ...DEFAULT_CONFIG, directory: '/nowhere', ...options.limits };
  const upstream = new Upstream({ blobs, tickets, connectTimeoutMs: config.connectTimeoutMs });
  const closed: Session[] = [];
  const pool = new Pool({ config, table, upstream, tickets, sessionOnClosed: (one) => closed.push(one) });
  const key = sessionKey(options.port, options.ca);
  const request = { uid: 4711, key, waitMs: options.waitMs ?? 0, onOpenEvent: () => {} };
  const target: EndpointTarget = {
    authority: 'origin.test',
    keepHost: options.keepHost ?? false,
    lease: async ({ abandoned, fresh }) => {
      const leased =
        fresh === true
          ? { session: await pool.openAlone(request), reused: false }
          : await pool.lease({ ...request, abandoned });
      leased.session.tls.setNoDelay(true);
      return leased;
    },
    leaseIdle: () => {
      const session = pool.leaseIdle(request.uid, key, undefined);
      session?.tls.setNoDelay(true);
      return session;
    },
    release: (session) => void pool.giveBack(session),
    log: new Logger('silent', () => {}),
  };
  const counts: EndpointCounts[] = [];
  const connections = new Set<EndpointConnection>();
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    const connection = serveHttp(
      socket,
      target,
      (carried) => {
        counts.push(carried);
        connections.delete(connection);
      },
      { ...HTTP_TIMES, ...options.times },
    );
    connections.add(connection);
  });
  await listen(server);
  scope.after(async () => {
    server.close();
    for (const connection of connections) connection.destroy();
    const allGone = () => {
      // A session that was being opened comes into the pool later.
      for (const session of [...table.all()]) session.close('the test is over', 'abrupt');
      return table.size === 0 && connections.size === 0 && pool.opening === 0;
    };
    await waitFor(allGone, {
      what: () => `the end of ${table.size} sessions, ${connections.size} connections`,
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    pool,
    table,
    closed,
    counts,
    connections,
    sockets,
    lastReason: () => closed.at(-1)?.closeReason,
  };
}

/** A client that says exactly the bytes that a test wants, and keeps what it gets. */
export class RawClient {
  readonly socket: Socket;
  /** Everything that came, in latin1. */
  text = '';
  /** How its connection ended. */
  end: 'end' | 'reset' | undefined;

  constructor(scope: Scope, port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    this.socket.setEncoding('latin1').on('data', (text: string) => {
      this.text += text;
    });
    this.socket.on('end', () => {
      this.end ??= 'end';
    });
    this.socket.on('error', () => {
      this.end = 'reset';
    });
    scope.after(() => void this.socket.destroy());
  }

  /** Sends the lines of a head, then its empty line and a body. */
  send(lines: readonly string[], body = ''): this {
    this.socket.write([...lines, '', body].join('\r\n'), 'latin1');
    return this;
  }

  /** Waits until the text holds this; answers all of it. */
  async got(part: string): Promise<string> {
    await waitFor(() => this.text.includes(part), { what: () => `${part} in ${JSON.stringify(this.text)}` });
    return this.text;
  }

  /** Waits for the end of the connection; answers all that came. */
  async ended(how: 'end' | 'reset' = 'end'): Promise<string> {
    await waitFor(() => this.end !== undefined, { what: () => `the end after ${JSON.stringify(this.text)}` });
    if (this.end !== how) throw new Error(`${this.end} instead of ${how} after ${JSON.stringify(this.text)}`);
    return this.text;
  }
}

/** A request without a body, as a client sends it. */
export function get(path = '/', ...lines: readonly string[]): string[] {
  return [`GET ${path} HTTP/1.1`, 'Host: door', ...lines];
}
