// What a shared server is, as the daemon is told it each time its port is opened: options, certificates for names,
// ticket keys. It changes with setSecureContext, addContext and setTicketKeys.
import type { Server } from 'node:tls';
import type { LinkCallOf } from '../../protocol/messages.ts';
import type { CrossingContext, SharedServer } from './resolve-server.ts';
import type { ServerSharing } from './server-sharing.ts';

/** Describes one server. */
export class ServerDescription {
  readonly sharing: ServerSharing;
  #server: SharedServer;
  readonly #contexts: { servername: string; crossing: CrossingContext }[] = [];
  #ticketKeys: Buffer | undefined;
  readonly #node: Server;

  /**
   * @param server what the options say
   * @param node the server, whose listeners are counted
   */
  constructor(server: SharedServer, sharing: ServerSharing, node: Server) {
    this.#server = server;
    this.sharing = sharing;
    this.#node = node;
  }

  /** Options of the sockets, and functions that are answered here. */
  get server(): SharedServer {
    return this.#server;
  }

  /** New certificates. */
  setContext({ context, caBlob }: CrossingContext): void {
    this.#server = { ...this.#server, key: { ...this.#server.key, ...context }, caBlob };
  }

  /** A certificate for names. */
  addContext(servername: string, crossing: CrossingContext): void {
    this.#contexts.push({ servername, crossing });
  }

  /** Keys of session tickets that the application has set. */
  get ticketKeys(): Buffer | undefined {
    return this.#ticketKeys;
  }

  setTicketKeys(keys: Buffer): void {
    this.#ticketKeys = keys;
  }

  /** The fields of the call `listen` that say what the server is. */
  wire(): Omit<LinkCallOf<'listen'>, 'call' | 'id' | 'listener' | 'address'> {
    const { key, socket } = this.#server;
    const { group, survive } = this.sharing;
    const contexts = this.#contexts.map(({ servername, crossing }) => ({
      servername,
      context: crossing.context,
    }));
    return {
      server: { ...key, asks: { ...key.asks, ocsp: this.#node.listenerCount('OCSPRequest') > 0 } },
      contexts,
      ...(this.#ticketKeys && { ticketKeys: this.#ticketKeys.toString('base64') }),
      group,
      survive,
      adopts: this.#node.listenerCount('adopt') > 0,
      socket,
    };
  }

  /** The CA lists that the daemon may lack, by their names. */
  blobs(): [sha256: string, blob: Buffer][] {
    const own = { context: this.#server.key, caBlob: this.#server.caBlob };
    const found: [string, Buffer][] = [];
    for (const { context, caBlob } of [own, ...this.#contexts.map(({ crossing }) => crossing)]) {
      const blob = caBlob();
      if (blob !== undefined) found.push([context.ca, blob]);
    }
    return found;
  }
}
