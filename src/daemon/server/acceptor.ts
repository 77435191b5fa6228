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
  #tickets: TicketKeyRing;

  private constructor({ options, gate, questions, tickets }: AcceptorOptions, owner: AcceptorOwner) {
    this.#gate = gate;
    this.#owner = owner;
    this.#questions = questions;
    this.#tickets = tickets;
    this.#tls = this.#serve(options, questions);
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
   * New connections get other options; handshakes in flight and the port stay. Throws what
   * tls.createServer throws, and changes nothing then.
   */
  replace({ options, questions }: Pick<AcceptorOptions, 'options' | 'questions'>): void {
    this.#tls = this.#serve(options, questions);
    this.#questions = questions;
  }

  /** Where it listens. */
  get address(): BoundAddress {
    return this.#listener.address() as BoundAddress;
  }

  /** New certificates for later handshakes. Throws what tls.Server throws, and changes nothing then. */
  setSecureContext(options: TlsOptions): void {
    this.#tls.setSecureContext(options);
    this.#tickets.apply(ownContext(this.#tls));
    noteCertificate(ownContext(this.#tls), options);
  }

  /** Other keys of tickets, for later handshakes. */
  useTickets(tickets: TicketKeyRing): void {
    this.#tickets = tickets;
    tickets.apply(ownContext(this.#tls));
  }

  /** Closes the port; handshakes in flight go on. */
  close(): void {
    this.#listener.close();
  }

  #serve(options: TlsOptions, questions: HandshakeQuestions): TlsServer {
    const server = createServer({ ...options, ...questions.callbacks() });
    questions.listen(server);
    this.#tickets.apply(ownContext(server));
    noteCertificate(ownContext(server), options);
    server.on('secureConnection', (tls: TLSSocket) => {
      this.#gate.done(tls);
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
        this.#listener.on('error', (error) => this.#owner.acceptorOnError(error));
        resolve();
      });
    });
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
