// The door of the daemon: owns the lock of the directory and the socket in it, and lets in only processes of our own
// uid. It reads no byte of a connection. Made by daemon.ts, which gets each admitted connection.
import { chmodSync, type FSWatcher, watch } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { codeOf, TlshubError } from '../errors.ts';
import { directoryError, ensurePrivateDirectory } from '../link/private-directory.ts';
import { ownUid, socketPath } from '../link/socket-path.ts';
import { descriptorLimit, type PeerCredentials, peerCredentials } from '../native/libc.ts';
import { alreadyRunning, DaemonLock } from './daemon-lock.ts';
import type { Logger } from './log.ts';
import { PlacedSocket, removeLeftovers, temporaryPath } from './place-socket.ts';

/** Connections that may wait to be accepted; the kernel lowers it to net.core.somaxconn. */
const BACKLOG = 4_096;
/** Descriptors kept free of accepted connections, so that the daemon itself can still work. */
const RESERVED_DESCRIPTORS = 32;

/** Who connected. */
export interface Peer {
  /** User id; always our own. */
  readonly uid: number;
  /** Process id, for the log only; `null` when it is not known. */
  readonly pid: number | null;
}

/** What {@link Listener.open} needs. */
export interface ListenerOptions {
  /** Absolute path; made when it does not exist. */
  readonly directory: string;
  /** Which of the directory's daemon processes this is; default the first. */
  readonly shard?: number;
  /** Whether the uid of each connecting process is checked; without, the mode of the directory is the only guard. */
  readonly checkPeerCredentials: boolean;
  /** Most connections at one time. */
  readonly maxConnections: number;
  readonly log: Logger;
  /** What must be done before anybody can connect, with the lock held. */
  prepare?(): Promise<void>;
  /** Takes over an admitted connection, half-open ones allowed. */
  onConnection(socket: Socket, peer: Peer): void;
  /** Takes over a connection of our uid that a limit refuses, to say so and end it; by default it is destroyed. */
  onRefused?(socket: Socket, error: TlshubError): void;
  /** The socket is gone from the directory and cannot be put there again: nobody will connect any more. */
  onLost?(error: Error): void;
}

/** A listening daemon socket. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #lock: DaemonLock | undefined;
  readonly #maxDescriptor: number;
  #server: Server | undefined;
  #placed: PlacedSocket | undefined;
  #watcher: FSWatcher | undefined;
  #connections = 0;
  #closed = false;

  private constructor(options: ListenerOptions, lock: DaemonLock | undefined) {
    this.#options = options;
    this.#lock = lock;
    this.#maxDescriptor = maxDescriptor(lock !== undefined);
  }

  /**
   * Takes the directory and listens. Rejects with ERR_TLSHUB_ALREADY_RUNNING, ERR_TLSHUB_DIRECTORY,
   * ERR_TLSHUB_SOCKET_PATH, or ERR_TLSHUB_PEER_CREDENTIALS when peers are to be checked and cannot be.
   */
  static async open(options: ListenerOptions): Promise<Listener> {
    const { directory, shard } = options;
    socketPath(directory, shard);
    ensurePrivateDirectory(directory);
    const lock = takeLock(options);
    const listener = new Listener(options, lock);
    try {
      if (lock !== undefined) removeLeftovers(directory, shard);
      await options.prepare?.();
      await listener.#listen();
      listener.#watch();
      return listener;
    } catch (error) {
      await listener.close();
      throw error instanceof TlshubError ? error : directoryError(error, directory);
    }
  }

  /** Path of the socket. */
  get path(): string {
    return socketPath(this.#options.directory, this.#options.shard);
  }

  /**
   * Takes no more connections, removes the socket and frees the directory for another daemon. Accepted connections
   * stay as they are.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watcher?.close();
    this.#placed?.remove();
    this.#server?.close();
    // Last: from here on another daemon may remove what it finds.
    this.#lock?.release();
  }

  async #listen(): Promise<void> {
    const { directory, shard } = this.#options;
    const temporary = temporaryPath(directory, shard);
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#serverOnConnection(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ path: temporary, backlog: BACKLOG }, resolve);
    });
    server.removeAllListeners('error');
    server.on('error', (error) => this.#serverOnError(error));
    this.#server = server;
    chmodSync(temporary, 0o600);
    const inUse = () => alreadyRunning(directory, shard);
    this.#placed = await PlacedSocket.place(this.path, temporary, inUse, shard);
  }

  /** Notices when the socket is removed, as cleaners of temporary directories do. */
  #watch(): void {
    const { directory, log } = this.#options;
    try {
      this.#watcher = watch(directory, { persistent: false }, () => void this.#watcherOnChange());
      this.#watcher.on('error', (error) => log.warn({ err: error }, 'the directory is not watched any more'));
    } catch (error) {
      log.warn({ err: error }, 'the directory cannot be watched: a removed socket will not be noticed');
    }
  }

  async #watcherOnChange(): Promise<void> {
    if (this.#closed || this.#placed === undefined || this.#placed.current) return;
    const { directory, log, onLost } = this.#options;
    log.warn({ directory }, 'the socket was removed from the directory');
    this.#placed = undefined;
    this.#server?.close();
    try {
      if (this.#lock?.current === false) {
        throw new TlshubError('ERR_TLSHUB_DIRECTORY', `${directory} was removed or given to another daemon`);
      }
      await this.#listen();
      log.info({ directory }, 'the socket is in its place again');
    } catch (error) {
      const lost = error instanceof Error ? error : new Error(String(error));
      log.error({ err: lost }, 'the socket cannot be placed again');
      onLost?.(lost);
    }
  }

  #serverOnConnection(socket: Socket): void {
    const { log, onConnection, onRefused } = this.#options;
    const fd = descriptorOf(socket);
    const peer = this.#identify(fd);
    if (peer === undefined) {
      socket.destroy();
      return;
    }
    const limit = this.#reachedLimit(fd);
    if (limit !== undefined) {
      log.once(`refused: ${limit}`, 'warn', { limit }, 'a connection is refused: a limit is reached');
      if (onRefused === undefined) socket.destroy();
      else onRefused(socket, new TlshubError('ERR_TLSHUB_LIMIT', `the daemon is at its limit: ${limit}`));
      return;
    }
    this.#connections += 1;
    socket.once('close', () => {
      this.#connections -= 1;
    });
    onConnection(socket, peer);
  }

  /** Who connected, or `undefined` for one that must not get in. */
  #identify(fd: number | undefined): Peer | undefined {
    const { checkPeerCredentials, log } = this.#options;
    if (!checkPeerCredentials) return { uid: ownUid(), pid: null };
    let peer: PeerCredentials;
    try {
      if (fd === undefined) throw new TlshubError('ERR_TLSHUB_PEER_CREDENTIALS');
      peer = peerCredentials(fd);
    } catch (error) {
      log.once(
        'peer: unidentified',
        'warn',
        { err: error },
        'a process that cannot be identified is refused',
      );
      return undefined;
    }
    if (peer.uid === ownUid()) return { uid: peer.uid, pid: peer.pid };
    log.once(
      `peer: uid ${peer.uid}`,
      'warn',
      { uid: peer.uid, pid: peer.pid },
      'a process of another user is refused',
    );
    return undefined;
  }

  #reachedLimit(fd: number | undefined): string | undefined {
    const { maxConnections } = this.#options;
    if (this.#connections >= maxConnections) return `${maxConnections} connections (--max-connections)`;
    // The kernel gives the lowest free number, so a high one means that all below are in use.
    if ((fd ?? 0) >= this.#maxDescriptor) return 'open descriptors (ulimit -n)';
    return undefined;
  }

  #serverOnError(error: Error): void {
    const { log } = this.#options;
    log.once(`accept: ${codeOf(error)}`, 'error', { err: error }, 'a connection could not be accepted');
  }
}

/**
 * From this number on, descriptors are kept for the daemon itself: a connection that has such a one is refused.
 * @param hasNative whether native calls can be made; without, no number is known
 */
export function maxDescriptor(hasNative: boolean): number {
  return hasNative ? descriptorLimit() - RESERVED_DESCRIPTORS : Number.POSITIVE_INFINITY;
}

/** The lock, or `undefined` where native calls are not to be had and the operator has agreed to do without. */
function takeLock({ directory, shard, checkPeerCredentials, log }: ListenerOptions): DaemonLock | undefined {
  try {
    return DaemonLock.take(directory, shard);
  } catch (error) {
    if (checkPeerCredentials || codeOf(error) !== 'ERR_TLSHUB_PEER_CREDENTIALS') throw error;
    log.warn({ err: error }, 'no native calls: the mode of the directory is the only guard');
    return undefined;
  }
}

/** Descriptor of an open socket; `undefined` when it is closed. */
export function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } };
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
}
