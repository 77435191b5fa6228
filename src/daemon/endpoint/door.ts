// The door of an endpoint: listens on a loopback address or a Unix socket and lets in processes of our own user only,
// because whoever is let in speaks with our certificates. It reads no byte. Made by endpoint.ts, which gets each
// connection that was let in.
import { chmodSync } from 'node:fs';
import { createServer, isIP, type Server, type Socket } from 'node:net';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { codeOf, messageOf, TlshubError } from '../../errors.ts';
import { ownUid } from '../../link/socket-path.ts';
import { peerCredentials } from '../../native/libc.ts';
import { tcpSocketUid } from '../../native/socket-owner.ts';
import { type EndpointPlace, endpointPlaceText, flawOfPlace } from '../../protocol/endpoint-place.ts';
import { descriptorOf } from '../listener.ts';
import type { Logger } from '../log.ts';
import { PlacedSocket, temporaryPath } from '../place-socket.ts';
import type { BoundAddress } from '../server/acceptor.ts';

/** Connections that may wait to be accepted; the kernel lowers it to net.core.somaxconn. */
const BACKLOG = 4_096;

/** What {@link Door.open} needs. */
export interface DoorOptions {
  readonly place: EndpointPlace;
  /** Whoever reaches the address is let in. */
  readonly unsafe: boolean;
  /** Whether the uid of the process at the other end of a Unix socket is checked; without, its mode is the only guard. */
  readonly checkPeerCredentials: boolean;
  readonly log: Logger;
  /** Takes over a connection that was let in, half-open ones allowed; `pid` is that of a client on a Unix socket. */
  onConnection(client: Socket, pid: number | null): void;
  /** A connection was not let in. */
  onRefused(): void;
  /** The door is closed, and nobody asked for it. */
  onLost(error: Error): void;
}

/** A listening door. */
export class Door {
  readonly #options: DoorOptions;
  readonly #server: Server;
  #placed: PlacedSocket | undefined;
  #address: BoundAddress = '';

  private constructor(options: DoorOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) =>
      this.#serverOnConnection(client),
    );
  }

  /**
   * Listens. Rejects with Node's own error of `listen`, with ERR_TLSHUB_INVALID_CALL for a place that is not safe, with
   * ERR_TLSHUB_DIRECTORY, and with ERR_TLSHUB_PEER_CREDENTIALS where clients cannot be told apart.
   */
  static async open(options: DoorOptions): Promise<Door> {
    const { place, unsafe } = options;
    const flaw = flawOfPlace(place, unsafe);
    if (flaw !== undefined) throw new TlshubError('ERR_TLSHUB_INVALID_CALL', flaw);
    const door = new Door(options);
    try {
      if (place.path === null) await door.#listenOnTcp(place);
      else await door.#listenOnPath(place.path);
    } catch (error) {
      door.close();
      throw error;
    }
    door.#server.on('error', (error) => door.#serverOnError(error));
    return door;
  }

  /** Where it listens. */
  get address(): BoundAddress {
    return this.#address;
  }

  /** Takes no more connections; those that were let in stay. */
  close(): void {
    this.#placed?.remove();
    this.#server.close();
  }

  async #listenOnTcp({ host, port }: EndpointPlace): Promise<void> {
    if (host === null || port === null || isIP(host) === 0)
      throw new TlshubError('ERR_TLSHUB_INVALID_CALL', `"${host}" is no IP address`);
    await this.#listen({ host, port });
    const bound = this.#server.address() as Exclude<BoundAddress, string>;
    this.#address = bound;
    // Asked before the first client comes: a host that cannot tell whose a socket is gets no door that all may use.
    if (!this.#options.unsafe && tcpSocketUid(bound, { address: unspecified(host), port: 0 }) !== ownUid())
      throw new TlshubError('ERR_TLSHUB_PEER_CREDENTIALS');
  }

  async #listenOnPath(path: string): Promise<void> {
    const temporary = temporaryPath(dirname(path));
    try {
      await this.#listen({ path: temporary });
    } catch (error) {
      (error as Error).message = messageOf(error).replace(temporary, path);
      throw Object.assign(error as Error, { address: path });
    }
    chmodSync(temporary, 0o600);
    this.#placed = await PlacedSocket.place(path, temporary, () => addressInUse(path));
    this.#address = path;
  }

  #listen(where: { host: string; port: number } | { path: string }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ ...where, backlog: BACKLOG }, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
  }

  #serverOnConnection(client: Socket): void {
    // Until somebody takes it over nobody else listens.
    client.on('error', () => {});
    const { log, onConnection, onRefused } = this.#options;
    const where =
      typeof this.#address === 'string' ? this.#address : endpointPlaceText(placeOf(this.#address));
    try {
      onConnection(client, this.#identify(client));
    } catch (error) {
      const reason = messageOf(error);
      log.once(`endpoint ${where}: ${reason}`, 'warn', { endpoint: where, reason }, 'a client is refused');
      onRefused();
      client.destroy();
    }
  }

  /** The client's process, if it is known. Throws for a client that must not get in. */
  #identify(client: Socket): number | null {
    const { place, unsafe, checkPeerCredentials } = this.#options;
    if (unsafe || (place.path !== null && !checkPeerCredentials)) return null;
    const { uid, pid } = place.path === null ? { uid: uidOfTcp(client), pid: null } : credentialsOf(client);
    if (uid === ownUid()) return pid;
    throw new TlshubError(
      'ERR_TLSHUB_NOT_OWNER',
      uid === undefined ? 'its process is gone, or not to be found' : `it is of another user (uid ${uid})`,
    );
  }

  #serverOnError(error: NodeJS.ErrnoException): void {
    const { log, onLost } = this.#options;
    // A connection that could not be accepted, for want of descriptors perhaps, says nothing of the next one.
    if (error.syscall === 'accept')
      log.once(`endpoint accept ${codeOf(error)}`, 'error', { err: error }, 'a client could not be accepted');
    else onLost(error);
  }
}

/** An address that a door has, as a place. */
export function placeOf(address: BoundAddress): EndpointPlace {
  if (typeof address === 'string') return { host: null, port: null, path: address };
  return { host: address.address, port: address.port, path: null };
}

/** The client's socket is one of this host, too: it is the one with the two ends swapped. */
function uidOfTcp({ remoteAddress, remotePort, localAddress, localPort }: Socket): number | undefined {
  if (remoteAddress === undefined || localAddress === undefined) return undefined;
  return tcpSocketUid(
    { address: remoteAddress, port: remotePort ?? 0 },
    { address: localAddress, port: localPort ?? 0 },
  );
}

function credentialsOf(client: Socket): { uid: number; pid: number | null } {
  const fd = descriptorOf(client);
  if (fd === undefined) throw new TlshubError('ERR_TLSHUB_PEER_CREDENTIALS');
  return peerCredentials(fd);
}

function unspecified(host: string): string {
  return host.includes(':') ? '::' : '0.0.0.0';
}

/** The error of net.Server.listen for a path that is taken. */
export function addressInUse(path: string): Error {
  return Object.assign(new Error(`listen EADDRINUSE: address already in use ${path}`), {
    code: 'EADDRINUSE',
    errno: -constants.errno.EADDRINUSE,
    syscall: 'listen',
    address: path,
  });
}
