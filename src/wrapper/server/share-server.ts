// Makes a server of Node's (tls, https, http2) listen in the daemon: its own methods stay, but the port, the keys and
// the connections are the daemon's, and its connections are shared sockets. Node's cluster module puts an object of
// its own in the place of a server's handle in the same way (lib/internal/cluster/child.js).
import type { Server, TlsOptions } from 'node:tls';
import { codeOf, TlshubError } from '../../errors.ts';
import { TurnoverSet } from '../../link/turnover.ts';
import type { OfferedOnTrunk } from '../../protocol/trunk-offers.ts';
import type { TlshubSocket } from '../connect.ts';
import { isUnshareable, type Unshareable } from '../context-key.ts';
import type { DaemonLink } from '../daemon-link.ts';
import type { LaneTarget } from '../lane-opening.ts';
import { SharedSocket } from '../shared-socket.ts';
import { ALLOWS_FALLBACK } from '../shared-socket-options.ts';
import { answerQuestion } from './answer-question.ts';
import { failedClient } from './failed-client.ts';
import { normalizeListenArguments } from './listen-arguments.ts';
import { type ListenerOwner, type OfferedSession, RemoteListener } from './remote-listener.ts';
import {
  type CrossingContext,
  describeContextOption,
  describeServerContext,
  resolveServer,
} from './resolve-server.ts';
import { ServerDescription } from './server-description.ts';
import type { ServerSharing } from './server-sharing.ts';
import type { TrunkPipe } from './trunk-pipe.ts';

/** Whether a server listens in the daemon. */
export interface ServerSharingInfo {
  /** True when the port is the daemon's; known when `listening` is emitted. */
  shared: boolean;
  /** Why the server listens in this process. */
  reason: string | null;
}

/** What a shared server has besides Node's members. */
export interface SharedServerMembers {
  sharing: ServerSharingInfo;
  /**
   * Takes no more sessions and gives every session that survives to another worker, now or when one comes; the port
   * stays open for `linger`. Resolves when all are given away; then the process may exit.
   */
  handOff(): Promise<void>;
}

/** What is used of a server's insides; cluster relies on the same. */
interface Insides {
  _handle: object | null;
  _connections: number;
  _pipeName?: string;
  _emitCloseIfDrained(): void;
}

/** What a protocol on top of TLS does with the sessions of a server. */
export interface ServerProtocol {
  /** Takes a session over from another worker; answers false for one that is for the listeners of `adopt`. */
  takesOver(socket: SharedSocket): boolean;
}

const NO_BYTES = Buffer.alloc(0);

type Method = (...args: unknown[]) => unknown;

/**
 * Makes a server shared. When it cannot be, it stays as it is and `sharing.reason` says why. Throws
 * ERR_TLSHUB_NOT_SHAREABLE with `fallback: false`, and ERR_TLSHUB_INVALID_OPTION for options that contradict `context`.
 * @param server as Node made it of the same options, not listening
 * @param options what it was made of, without `shared`
 * @param protocol on top of TLS that is asked first about sessions of other workers
 */
export function shareServer<Kind extends Server>(
  server: Kind,
  options: TlsOptions,
  sharing: ServerSharing,
  protocol?: ServerProtocol,
): Kind & SharedServerMembers {
  const isOff = process.env.TLSHUB === 'off';
  const resolved = isOff
    ? ({ shared: false, reason: 'TLSHUB=off' } as const)
    : resolveServer(options, { context: sharing.context });
  const info: ServerSharingInfo = { shared: false, reason: null };
  if (resolved.shared) {
    new SharedServer(server, new ServerDescription(resolved, sharing, server), info, protocol).install();
  } else if (sharing.fallback || (isOff && sharing.context === undefined)) {
    info.reason = resolved.reason;
    Object.assign(server, { handOff: async () => void server.close() });
  } else {
    const isContradicted = sharing.context !== undefined && !isOff;
    const code = isContradicted ? 'ERR_TLSHUB_INVALID_OPTION' : 'ERR_TLSHUB_NOT_SHAREABLE';
    throw new TlshubError(code, `the server cannot be shared: ${resolved.reason}`);
  }
  return Object.assign(server, { sharing: info }) as Kind & SharedServerMembers;
}

/** The part of a shared server that is not Node's. */
class SharedServer implements ListenerOwner {
  readonly #server: Server;
  readonly #insides: Insides;
  readonly #description: ServerDescription;
  readonly #info: ServerSharingInfo;
  readonly #protocol: ServerProtocol | undefined;
  readonly #sockets = new TurnoverSet<SharedSocket>();
  #listener: RemoteListener | undefined;
  #handingOff = false;

  constructor(
    server: Server,
    description: ServerDescription,
    info: ServerSharingInfo,
    protocol: ServerProtocol | undefined,
  ) {
    this.#server = server;
    this.#insides = server as unknown as Insides;
    this.#description = description;
    this.#info = info;
    this.#protocol = protocol;
  }

  /** Puts its methods on the server. */
  install(): void {
    const nodes = (name: string): Method => (Reflect.get(this.#server, name) as Method).bind(this.#server);
    const listen = nodes('listen');
    const setSecureContext = nodes('setSecureContext');
    const addContext = nodes('addContext');
    const setTicketKeys = nodes('setTicketKeys');
    Object.assign(this.#server, {
      listen: (...args: unknown[]) => this.#listen(args, listen),
      handOff: () => this.#handOff(),
      setSecureContext: (context: unknown) => {
        setSecureContext(context);
        const crossing = crossOver(describeServerContext(context, this.#description.server.key));
        this.#description.setContext(crossing);
        this.#tell('setContext', { context: crossing.context });
      },
      addContext: (servername: string, context: unknown) => {
        addContext(servername, context);
        const crossing = crossOver(describeContextOption(context));
        this.#description.addContext(servername, crossing);
        this.#tell('addContext', { servername, context: crossing.context });
      },
      setTicketKeys: (keys: Buffer) => {
        setTicketKeys(keys);
        this.#description.setTicketKeys(keys);
        this.#tell('setTicketKeys', { keys: keys.toString('base64') });
      },
      getTicketKeys: () => this.#ticketKeys(),
    });
    this.#server.on('newListener', (event) => this.#noteAdopts(event, true));
    this.#server.on('removeListener', (event) =>
      this.#noteAdopts(event, this.#server.listenerCount('adopt') > 0),
    );
  }

  listenerOnOffer({ link, directory, handle, adopted }: OfferedSession): void {
    const { socket: settings } = this.#description.server;
    const { commit } = this.#description.sharing;
    const target: LaneTarget = { call: 'attach', handle, waitMs: 0, commit, socket: settings, link };
    const socket = this.#take(directory, target);
    if (socket === undefined) return;
    // A session that ended before it was taken, or that another worker got; it tells the daemon that we live.
    const socketOnEarlyError = () => link.tell('decline', { handle });
    socket.once('error', socketOnEarlyError);
    socket.once('secureConnect', () => {
      socket.off('error', socketOnEarlyError);
      this.#give(socket, adopted);
    });
  }

  listenerOnSession(
    { adopted, framed, ...opening }: OfferedOnTrunk,
    pipe: TrunkPipe,
    link: DaemonLink,
  ): void {
    const open = (opened: SharedSocket) => {
      const { lane } = pipe;
      const commit = this.#description.sharing.commit ?? 'auto';
      const reply = {
        rc: 1 as const,
        ...opening,
        events: [],
        framed: { ...framed, commit },
      };
      link.addTrunkLane(lane, opened);
      pipe.onEnd((end) => opened.linkOnLaneEnd(end));
      opened.openOn({ pipe, head: NO_BYTES, link, lane, reply, tellNews: () => {} });
    };
    const socket = this.#take(link.directory, undefined, open);
    if (socket === undefined) return;
    socket.once('secureConnect', () => this.#give(socket, adopted));
    open(socket);
  }

  listenerOnClientError(error: Error, peer: Parameters<ListenerOwner['listenerOnClientError']>[1]): void {
    this.#server.emit('tlsClientError', error, failedClient(peer));
  }

  listenerOnQuestion(...[question, link]: Parameters<ListenerOwner['listenerOnQuestion']>): void {
    answerQuestion(this.#server, this.#description.server.functions, question, link);
  }

  listenerOnError(error: Error): void {
    this.#insides._handle = null;
    this.#server.emit('error', error);
  }

  /** The socket of one more session; `undefined` where there are too many. */
  #take(
    directory: string,
    target: LaneTarget | undefined,
    dropOn: (socket: SharedSocket) => void = () => {},
  ): SharedSocket | undefined {
    const { maxConnections } = this.#server;
    const isTooMany = Boolean(maxConnections) && this.#insides._connections >= maxConnections;
    const socket: SharedSocket = new SharedSocket({
      directory,
      ...(target && { target }),
      stream: this.#description.server.local as object,
      rejectUnauthorized: false,
      onDestroyed: () => {
        if (!this.#sockets.delete(socket)) return;
        this.#insides._connections -= 1;
        this.#insides._emitCloseIfDrained();
      },
    });
    if (isTooMany) {
      this.#drop(socket);
      dropOn(socket);
      return undefined;
    }
    this.#insides._connections += 1;
    this.#sockets.add(socket);
    return socket;
  }

  /** One more than `maxConnections`: its addresses are known when it is taken. */
  #drop(socket: SharedSocket): void {
    socket.on('error', () => {});
    socket.once('secureConnect', () => {
      const { localAddress, localPort, localFamily, remoteAddress, remotePort, remoteFamily } = socket;
      socket.destroy();
      const data = { localAddress, localPort, localFamily, remoteAddress, remotePort, remoteFamily };
      this.#server.emit('drop', remoteAddress === undefined ? undefined : data);
    });
  }

  #give(socket: SharedSocket, adopted: boolean): void {
    Object.assign(socket, { server: this.#server });
    if (this.#description.server.local.pauseOnConnect) socket.pause();
    if (adopted && this.#protocol?.takesOver(socket)) return;
    if (adopted) this.#server.emit('adopt', socket as unknown as TlshubSocket, socket.state);
    else this.#server.emit('secureConnection', socket as never);
  }

  #listen(args: unknown[], nodes: Method): Server {
    const wanted = normalizeListenArguments(args);
    // Node throws for a server that listens already.
    if (this.#insides._handle !== null || 'nodes' in wanted) {
      if (this.#insides._handle === null && 'nodes' in wanted && wanted.reason !== undefined)
        this.#refuseOrFallBack(wanted.reason);
      nodes(...args);
      return this.#server;
    }
    const { address, callback, signal } = wanted;
    if (address.path !== null) this.#insides._pipeName = pathIn(args[0]);
    if (callback !== undefined) this.#server.once('listening', callback);
    if (signal?.aborted) {
      process.nextTick(() => this.#server.close());
    } else {
      signal?.addEventListener('abort', () => this.#server.close(), { once: true });
    }
    const listener = new RemoteListener(this.#description, address, this);
    this.#listener = listener;
    const handle = this.#handleOf(listener);
    this.#insides._handle = handle;
    const isCurrent = () => this.#insides._handle === handle;
    listener.open().then(
      () => {
        if (!isCurrent()) return;
        Object.assign(this.#info, { shared: true, reason: null });
        this.#tellAddress(handle, listener);
        this.#server.emit('listening');
        listener.begin();
      },
      (error: Error) => {
        if (!isCurrent()) return;
        this.#insides._handle = null;
        this.#listener = undefined;
        this.#info.shared = false;
        if (this.#description.sharing.fallback && ALLOWS_FALLBACK.has(codeOf(error))) {
          this.#info.reason = error.message;
          nodes(...args.filter((arg) => typeof arg !== 'function'));
        } else {
          this.#server.emit('error', error);
        }
      },
    );
    return this.#server;
  }

  #refuseOrFallBack(reason: string): void {
    if (!this.#description.sharing.fallback)
      throw new TlshubError('ERR_TLSHUB_NOT_SHAREABLE', `the server cannot be shared: ${reason}`);
    this.#info.reason = reason;
  }

  /** What net.Server uses of a handle. */
  #handleOf(listener: RemoteListener): object {
    return {
      close: () => void this.#close(listener),
      ref: () => listener.reference(true),
      unref: () => listener.reference(false),
    };
  }

  /** `close` is emitted as often as Node would, but not before the port is another's to have. */
  async #close(listener: RemoteListener): Promise<void> {
    const insides = this.#insides;
    let due = 0;
    const emitCloseIfDrained = () => {
      if (insides._handle === null && insides._connections === 0) due += 1;
    };
    Object.assign(insides, { _emitCloseIfDrained: emitCloseIfDrained });
    await listener.close(this.#handingOff);
    // A server that listens again meanwhile has another one in its place.
    if (insides._emitCloseIfDrained === emitCloseIfDrained)
      Reflect.deleteProperty(insides, '_emitCloseIfDrained');
    for (; due > 0; due -= 1) insides._emitCloseIfDrained();
  }

  #tellAddress(handle: object, { address }: RemoteListener): void {
    // Of a Unix socket net.Server tells what it was asked for.
    if (typeof address === 'string') return;
    const getsockname = (out: object) => {
      Object.assign(out, address);
      return 0;
    };
    Object.assign(handle, { getsockname });
  }

  async #handOff(): Promise<void> {
    this.#handingOff = true;
    this.#server.close();
    const survivors = [...this.#sockets].filter((socket) => socket.isLeased && socket.framed !== undefined);
    await Promise.allSettled(survivors.map((socket) => socket.handOff()));
    this.#handingOff = false;
  }

  #tell(...[name, fields]: Parameters<RemoteListener['call']>): void {
    this.#listener?.call(name, fields).catch((error: Error) => this.#server.emit('error', error));
  }

  #noteAdopts(event: string | symbol, adopts: boolean): void {
    // Only asked to be told; a link that is lost tells by itself when it is made again.
    if (event === 'adopt') this.#listener?.call('setAdopts', { adopts }).catch(() => {});
  }

  #ticketKeys(): Buffer {
    const { ticketKeys } = this.#description;
    if (ticketKeys !== undefined) return ticketKeys;
    throw new TlshubError('ERR_TLSHUB_UNSUPPORTED', 'the keys of session tickets stay in the daemon');
  }
}

/** The path of a Unix socket as `listen` was given it. */
function pathIn(first: unknown): string {
  return typeof first === 'string' ? first : String((first as { path?: unknown }).path);
}

/** Throws ERR_TLSHUB_NOT_SHAREABLE for a context that cannot cross to the daemon. */
function crossOver(context: CrossingContext | Unshareable): CrossingContext {
  if (!isUnshareable(context)) return context;
  throw new TlshubError('ERR_TLSHUB_NOT_SHAREABLE', `the context cannot cross: ${context.reason}`);
}
