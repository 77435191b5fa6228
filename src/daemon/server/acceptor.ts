// One port of the daemon: listens, shakes hands, and hands on what came of it. The only file that calls
// tls.createServer. ALWAYS: handshakes in flight are bounded, in total and for each address, before a byte of TLS is
// read. It knows nothing of workers; group.ts does.
import { createServer as createNetServer, type ListenOptions, type Server, type Socket } from 'node:net';
import {
  createServer,
  type SecureContext,
  type TLSSocket,
  type TlsOptions,
  type Server as TlsServer,
} from 'node:tls';
import type { ListenAddress } from '../../protocol/server-key.ts';
import { noteCertificate } from '../tls-info.ts';
import { dropConnection } from './accepted-session.ts';
import type { HandshakeGate } from './handshake-gate.ts';
import type { HandshakeQuestions } from './handshake-questions.ts';
import type { TicketKeyRing } from './ticket-keys.ts';

/** Where a port listens, as `net.Server.address()` tells it. */
export type BoundAddress = { address: string; family: string; port: number } | string;

/** What a port is made of. */
export interface AcceptorOptions {
  /** Of the TLS server. */
  options: TlsOptions;
  /** Bounds the handshakes. */
  gate: HandshakeGate;
  /** Asks the application. */
  questions: HandshakeQuestions;
  /** Keys of the session tickets. */
  tickets: TicketKeyRing;
}

/** Who is told of what happens on a port. */
export interface AcceptorOwner {
  /** A handshake is done; the connection is not read until its session is occupied. */
  acceptorOnSecure(tls: TLSSocket): void;
  /** A handshake failed, with node:tls's own error. */
  acceptorOnClientError(error: Error, socket: Socket): void;
  /** A connection could not be accepted. */
  acceptorOnRefusal(error: Error): void;
  /** The port is gone. */
  acceptorOnError(error: Error): void;
}

/** One listening port. */
export class Acceptor {
  #tls: TlsServer;
  readonly #listener: Server;
  readonly #gate: HandshakeGate;
  readonly #owner: AcceptorOwner;
  #questions: HandshakeQuestions;
  /** Servers that demanded other things of their clients: what still comes of them is not let in. */
  readonly #outdated = new WeakSet<TlsServer>();

  private constructor({ options, gate, questions, tickets }: AcceptorOptions, owner: AcceptorOwner) {
    this.#gate = gate;
    this.#owner = owner;
    this.#questions = questions;
    this.#tls = this.#serve(options, questions, tickets);
    this.#listener = createNetServer({ noDelay: true }, (socket) => this.#listenerOnConnection(socket));
  }

  /**
   * Listens. Rejects with Node's own error of `listen`, and throws what tls.createServer throws.
   * @param options what the server is made of
   * @param address as a worker asked for it
   */
  static async open(
    options: AcceptorOptions,
    address: ListenAddress,
    owner: AcceptorOwner,
  ): Promise<Acceptor> {
    const acceptor = new Acceptor(options, owner);
    await acceptor.#listen(address);
    return acceptor;
  }

  /**
   * New connections get other options; the port stays. Throws what tls.createServer throws, and changes nothing then.
   * @param outdates handshakes in flight come to nothing, for their clients are verified by the old options
   */
  replace(
    { options, questions, tickets }: Pick<AcceptorOptions, 'options' | 'questions' | 'tickets'>,
    outdates: boolean,
  ): void {
    const fresh = this.#serve(options, questions, tickets);
    if (outdates) this.#outdated.add(this.#tls);
    this.#tls = fresh;
    this.#questions = questions;
  }

  /** Where it listens. */
  get address(): BoundAddress {
    return this.#listener.address() as BoundAddress;
  }

  /** New certificates for later handshakes. Throws what tls.Server throws, and changes nothing then. */
  setSecureContext(options: TlsOptions, tickets: TicketKeyRing): void {
    this.#tls.setSecureContext(options);
    this.useTickets(tickets);
    noteCertificate(ownContext(this.#tls), options);
  }

  /** Other keys for later tickets, and for those that come back. */
  useTickets(tickets: TicketKeyRing): void {
    tickets.apply(ownContext(this.#tls));
  }

  /** Closes the port; handshakes in flight go on. */
  close(): void {
    this.#listener.close();
  }

  #serve(options: TlsOptions, questions: HandshakeQuestions, tickets: TicketKeyRing): TlsServer {
    const server = createServer({ ...options, ...questions.callbacks() });
    questions.listen(server);
    tickets.apply(ownContext(server));
    noteCertificate(ownContext(server), options);
    server.on('secureConnection', (tls: TLSSocket) => {
      this.#gate.done(tls);
      if (this.#outdated.has(server)) {
        dropConnection(tls);
        return;
      }
      // From now on a client may end its side and wait for an answer; whether it gets one, the worker decides. In the
      // middle of the handshake its end is an error.
      tls.allowHalfOpen = true;
      this.#owner.acceptorOnSecure(tls);
    });
    server.on('tlsClientError', (error: Error, tls: TLSSocket) =>
      this.#owner.acceptorOnClientError(error, tls),
    );
    return server;
  }

  #listen({ host, port, path, backlog, ...address }: ListenAddress): Promise<void> {
    const options: ListenOptions = {
      ...(path === null ? { port: port ?? 0, ...(host !== null && { host }) } : { path }),
      ...(backlog !== null && { backlog }),
      ...address,
    };
    return new Promise((resolve, reject) => {
      this.#listener.once('error', reject);
      this.#listener.listen(options, () => {
        this.#listener.off('error', reject);
        this.#listener.on('error', (error) => this.#listenerOnError(error));
        resolve();
      });
    });
  }

  #listenerOnError(error: NodeJS.ErrnoException): void {
    // A connection that could not be accepted, for want of descriptors perhaps, says nothing of the next one.
    if (error.syscall === 'accept') this.#owner.acceptorOnRefusal(error);
    else this.#owner.acceptorOnError(error);
  }

  #listenerOnConnection(socket: Socket): void {
    // Until the handshake has begun nobody else listens.
    socket.on('error', () => {});
    const begin = () => this.#tls.emit('connection', socket);
    const fail = (error: Error) => this.#owner.acceptorOnClientError(error, socket);
    this.#gate.enter(socket, () => this.#questions.before(socket, begin, fail));
  }
}

/** Where node:tls keeps the context of a server; it is the one that the keys of tickets come from, whatever the name. */
function ownContext(server: TlsServer): SecureContext {
  return (server as unknown as { _sharedCreds: SecureContext })._sharedCreds;
}
