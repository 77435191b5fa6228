// One connection that carries messages as lines, used by both ends of a link. It knows no call and no event; it
// bounds what it holds, in both directions, and tells its owner once when it is over.
import type { Socket } from 'node:net';
import { messageOf, TlshubError } from '../errors.ts';
import { decodeLine, encodeLine, LineDecoder } from '../protocol/line-codec.ts';
import { keepReading } from './keep-reading.ts';

/** Bytes that may wait for a peer that does not read; beyond, the connection is closed. */
const MAX_UNSENT_BYTES = 16 * 1024 * 1024;

/** Milliseconds in which what was sent before a close may still leave. */
const LAST_WORDS_MS = 2_000;

/** What the owner of a connection is told. */
export interface MessageConnectionOwner {
  /** A whole message has come. What it throws closes the connection with that error as the reason. */
  connectionOnMessage(message: Record<string, unknown>): void;
  /** The connection is about to be closed for what the peer sent; the last chance to tell it. */
  connectionOnFault?(reason: Error): void;
  /** The connection is over; called once, with the reason when it was not the peer's orderly end. */
  connectionOnClose(reason: Error | undefined): void;
}

/** A socket that sends and receives messages. */
export class MessageConnection {
  readonly socket: Socket;
  readonly #owner: MessageConnectionOwner;
  readonly #decoder = new LineDecoder();
  #reason: Error | undefined;
  #closing = false;
  /** The peer takes nothing any more; what it sent before is still read. */
  #unheard = false;

  /**
   * @param socket a connected or connecting socket; listeners are added, none removed
   * @param owner told of messages and of the end
   */
  constructor(socket: Socket, owner: MessageConnectionOwner) {
    this.socket = socket;
    this.#owner = owner;
    keepReading(socket, () => {
      this.#unheard = true;
    });
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('end', () => this.#closeSoon());
    socket.on('error', (error) => {
      this.#reason ??= error;
    });
    socket.on('close', () => owner.connectionOnClose(this.#reason));
  }

  /** Bytes that wait for a peer that does not read. */
  get unsentBytes(): number {
    return this.socket.writableLength;
  }

  /** Sends one message; on a closed connection it does nothing, the owner has been told. */
  send(message: object): void {
    if (this.#closing || this.#unheard || this.socket.destroyed) return;
    this.socket.write(encodeLine(message));
    if (this.socket.writableLength > MAX_UNSENT_BYTES) {
      this.close(new TlshubError('ERR_TLSHUB_LIMIT', 'the peer does not read its messages'));
    }
  }

  /** Takes bytes as if they had come from the socket (the rest of a chunk whose first line chose the link). */
  receive(chunk: Buffer): void {
    if (this.#closing) return;
    this.#decoder.push(chunk);
    try {
      for (let line = this.#decoder.next(); line !== undefined; line = this.#decoder.next()) {
        this.#owner.connectionOnMessage(decodeLine(line));
        if (this.#closing || this.socket.destroyed) return;
      }
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(messageOf(error));
      this.#owner.connectionOnFault?.(reason);
      this.close(reason);
    }
  }

  /** Closes for a reason, which `connectionOnClose` gets; what was sent before still leaves, what comes is ignored. */
  close(reason: Error): void {
    this.#reason ??= reason;
    this.#closeSoon();
  }

  /** A peer that does not read what was sent is not waited for. */
  #closeSoon(): void {
    if (this.#closing) return;
    this.#closing = true;
    const timer = setTimeout(() => this.socket.destroy(), LAST_WORDS_MS);
    timer.unref();
    this.socket.once('close', () => clearTimeout(timer));
    this.socket.destroySoon();
  }
}
