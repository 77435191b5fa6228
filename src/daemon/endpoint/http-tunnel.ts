// The bytes of a connection that has left HTTP by a 101 response (RFC 9110 §7.8): they pass both ways as they are, and the
// session is the client's alone to its end. NEVER: such a session goes back to the pool. Made by http-connection.ts.
import type { Socket } from 'node:net';
import { encryptBytes, startReader, stopReader, writeBytes } from '../direct-bytes.ts';
import type { Occupant, Session } from '../session.ts';
import { resetClient } from './reset.ts';

/** One client's connection and its session, joined until both have ended. */
export class HttpTunnel implements Occupant {
  /** Bytes that the client was given. */
  bytesToClient = 0;
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
    startReader(client, this.#toPeer);
    startReader(session.tls, this.#tlsOnBytes);
    client.on('drain', this.#clientOnDrain);
    client.on('end', this.#clientOnEnd);
    client.on('close', this.#clientOnClose);
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
    stopReader(this.#session.tls);
    this.#session.tls.off('drain', this.#tlsOnDrain);
  }

  readonly #clientOnDrain = () => this.#session.tls.resume();

  readonly #clientOnEnd = () => {
    if (!this.#session.tls.writableEnded) this.#session.tls.end();
  };

  readonly #clientOnClose = () => {
    const { tls, peerEnded } = this.#session;
    // Where both sides ended in order, the session ends by itself.
    if (!(peerEnded && tls.writableEnded)) this.#session.close('the client of its tunnel is gone', 'abrupt');
  };

  readonly #tlsOnBytes = (chunk: Buffer) => {
    this.#session.countFromPeer(chunk.length);
    this.bytesToClient += chunk.length;
    if (!writeBytes(this.#client, chunk)) this.#session.tls.pause();
  };

  readonly #tlsOnDrain = () => this.#client.resume();

  readonly #toPeer = (chunk: Buffer) => {
    this.#session.countToPeer(chunk.length, true);
    if (!encryptBytes(this.#session.tls, chunk)) this.#client.pause();
  };
}
