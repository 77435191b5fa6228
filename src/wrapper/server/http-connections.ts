// The connections of a shared https.Server: which of those that survive their process are between two requests, and what a
// worker does with one that another worker had; those that do not survive end when they are idle. ALWAYS: no request
// reaches a second worker once a handler may have seen it, but one with a safe method (GET, HEAD, OPTIONS) of which no
// byte of an answer has left. NEVER: a request reaches a third worker. Installed by share-node-server.ts; one connection
// is http-connection.ts.
import { subscribe } from 'node:diagnostics_channel';
import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import { TurnoverSet } from '../../link/turnover.ts';
import { SharedSocket } from '../shared-socket.ts';
import { type ConnectionOwner, HttpConnection, placeOf, wasUpgraded } from './http-connection.ts';
import type { ServerProtocol, SharedServerMembers } from './share-server.ts';

type SharedHttpsServer = Server & SharedServerMembers;

const byConnection = new WeakMap<object, HttpConnection>();
let isSubscribed = false;

/** The connections of one server. */
export class HttpConnections implements ServerProtocol {
  readonly #server: SharedHttpsServer;
  readonly #connections = new TurnoverSet<HttpConnection>();
  /** While Node is asked which connections are idle. */
  #idle: Set<HttpConnection> | undefined;
  #isScanDue = false;
  /** To be looked at in the next turn. */
  #due: HttpConnection[] = [];
  #isLeaving = false;
  #onceLeft: (() => void) | undefined;
  readonly #owner: ConnectionOwner = {
    checkSoon: (maybeIdle) => this.#checkSoon(maybeIdle),
    takeIdle: (idle) => {
      if (this.#idle === undefined || (this.#isLeaving && !idle.survives)) return false;
      this.#idle.add(idle);
      return true;
    },
    responseOnFinish: (answered) => {
      if (answered.survives) this.#checkSoon(answered);
      else if (this.#isLeaving) this.#scanSoon();
    },
    forget: (gone) => {
      this.#connections.delete(gone);
      this.#checkLeft();
    },
  };

  /** @param server not listening; it becomes a shared one before {@link install} */
  constructor(server: Server) {
    this.#server = server as SharedHttpsServer;
  }

  /**
   * Puts itself on the server.
   * @param survives whether sessions outlive their worker although nobody listens for `adopt`
   */
  install(survives: boolean): void {
    const server = this.#server;
    // Before Node's own listener, which begins to read.
    server.prependListener('secureConnection', (socket) => {
      if (socket instanceof SharedSocket) this.#keep(socket);
      else this.#spare(socket);
    });
    // Behind it, before anything is read.
    server.on('secureConnection', (socket) => byConnection.get(socket)?.watch());
    if (survives) {
      const serverOnAdopt = (socket: SharedSocket) => {
        if (server.listenerCount('adopt') === 1) socket.destroy();
      };
      server.on('adopt' as never, serverOnAdopt as never);
    }
    const handOff = server.handOff.bind(server);
    server.handOff = () => (server.sharing.shared ? this.#handOff(handOff) : handOff());
    if (isSubscribed) return;
    isSubscribed = true;
    subscribe('http.server.response.finish', (message) => {
      byConnection.get((message as { socket: object }).socket)?.noteResponse();
    });
  }

  takesOver(socket: SharedSocket): boolean {
    const { state } = socket;
    const place = placeOf(state);
    if (place === undefined) {
      if (wasUpgraded(state)) socket.state = null;
      return false;
    }
    socket.state = null;
    const { resumedAt, writtenAt } = socket.sharing;
    if (place.read !== resumedAt || place.written !== writtenAt) {
      socket.sharing.reason = 'another process died in the middle of a request';
      socket.destroy();
      return true;
    }
    this.#server.emit('secureConnection', socket as never);
    byConnection.get(socket)?.waitForRequest(this.#server.keepAliveTimeout, this.#server.timeout);
    return true;
  }

  /** Connections that do not survive end as soon as they are idle; those that do are given away by themselves. */
  async #handOff(nodes: () => Promise<void>): Promise<void> {
    this.#isLeaving = true;
    // Node's `close` would end the connections that are to be given away.
    Object.assign(this.#server, { closeIdleConnections: () => this.#scan() });
    const given = nodes();
    Reflect.deleteProperty(this.#server, 'closeIdleConnections');
    await given;
    await new Promise<void>((resolve) => {
      this.#onceLeft = resolve;
      this.#checkLeft();
    });
    this.#onceLeft = undefined;
    this.#isLeaving = false;
  }

  #checkLeft(): void {
    if (this.#onceLeft === undefined) return;
    if (![...this.#connections].some((connection) => connection.isHttp && !connection.survives))
      this.#onceLeft?.();
  }

  #keep(socket: SharedSocket): void {
    const connection = new HttpConnection(socket, this.#owner);
    byConnection.set(socket, connection);
    this.#connections.add(connection);
  }

  /** A connection of this process, which the application gave to the server, must not be ended by a question. */
  #spare(socket: Socket): void {
    const { destroy } = socket;
    socket.destroy = (error) => (this.#idle === undefined ? destroy.call(socket, error) : socket);
  }

  #checkSoon(connection: HttpConnection): void {
    if (!connection.isWatched) {
      this.#scanSoon();
      return;
    }
    if (this.#due.push(connection) === 1) setImmediate(() => this.#checkDue());
  }

  #checkDue(): void {
    const due = this.#due;
    this.#due = [];
    for (const connection of due) if (connection.isBetweenRequests) connection.noteIdle();
  }

  #scanSoon(): void {
    if (this.#isScanDue) return;
    this.#isScanDue = true;
    setImmediate(() => {
      this.#isScanDue = false;
      this.#scan();
    });
  }

  /** Node tells which connections are between two requests by what it would close: all of them are looked at. */
  #scan(): void {
    const idle = new Set<HttpConnection>();
    this.#idle = idle;
    try {
      (Object.getPrototypeOf(this.#server) as Server).closeIdleConnections.call(this.#server);
    } finally {
      this.#idle = undefined;
    }
    for (const connection of idle) connection.noteIdle();
    if (this.#isLeaving) for (const connection of this.#connections) connection.endUnused();
    this.#checkLeft();
  }
}
