// The bytes of a connection that has left HTTP by a 101 response (RFC 9110 §7.8): they pass both ways as they are, and the
// session is the client's alone to its end. NEVER: such a session goes back to the pool. Made by http-connection.ts.
import type { Socket } from 'node:net';
import type { Occupant, Session } from '../session.ts';
import { resetClient } from './reset.ts';

/** One client's connection and its session, joined until both have ended. */
export class HttpTunnel implements Occupant {
  readonly #client: Socket;
  readonly #session: Session;

  /**
   * Begins at once.
   * @param client without listeners that read it
   * @param session left by its occupant
   * @param held bytes of the client that were read before
   */
  constructor(client: Socket, session: Session, held: Buffer | undefined) {
    this.#client = client;
    this.#session = session;
    session.occupy(this);
    client.on('data', this.#clientOnData);
    client.on('drain', this.#clientOnDrain);
    client.on('end', this.#clientOnEnd);
    client.on('close', this.#clientOnClose);
    session.tls.on('data', this.#tlsOnData);
    session.tls.on('drain', this.#tlsOnDrain);
    if (held !== undefined) this.#toPeer(held);
    if (session.peerEnded) this.sessionOnPeerEnd();
    if (client.readableEnded) this.#clientOnEnd();
    if (!client.writableNeedDrain) session.tls.resume();
    if (!session.tls.writableNeedDrain) client.resume();
  }

  sessionOnPeerEnd(): void {
    this.#client.end();
  }

  sessionOnClose(error: Error | undefined): void {
    if (error !== undefined || !this.#session.peerEnded) resetClient(this.#client);
    else this.#client.destroySoon();
  }

  sessionOnLeave(): void {
    this.#session.tls.off('data', this.#tlsOnData);
    this.#session.tls.off('drain', this.#tlsOnDrain);
  }

  readonly #clientOnData = (chunk: Buffer) => this.#toPeer(chunk);

  readonly #clientOnDrain = () => this.#session.tls.resume();

  readonly #clientOnEnd = () => {
    if (!this.#session.tls.writableEnded) this.#session.tls.end();
  };

  readonly #clientOnClose = () => {
    const { tls, peerEnded } = this.#session;
    // Where both sides ended in order, the session ends by itself.
    if (!(peerEnded && tls.writableEnded)) this.#session.close('the client of its tunnel is gone', 'abrupt');
  };

  readonly #tlsOnData = (chunk: Buffer) => {
    this.#session.countFromPeer(chunk.length);
    if (!this.#client.write(chunk)) this.#session.tls.pause();
  };

  readonly #tlsOnDrain = () => this.#client.resume();

  #toPeer(chunk: Buffer): void {
    this.#session.countToPeer(chunk.length, true);
    if (!this.#session.tls.write(chunk)) this.#client.pause();
  }
}
