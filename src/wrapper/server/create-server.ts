// tls.createServer with the parameter `shared`.
import nodeTls, { type Server, type TlsOptions } from 'node:tls';
import type { TlshubSocket } from '../connect.ts';
import type { ServerSharedOptions } from './server-sharing.ts';
import { sharedOf, shareNodeServer } from './share-node-server.ts';
import type { SharedServerMembers } from './share-server.ts';

/** Options of tls.createServer with the first parameter of the mission: whether the daemon shall own the connections. */
export type ShareableServerOptions = TlsOptions & { shared?: boolean | ServerSharedOptions };

/** A server whose connections can survive its process. */
export interface TlshubServer extends Server, SharedServerMembers {
  on(event: 'adopt', listener: (socket: TlshubSocket, state: Buffer | null) => void): this;
  on(event: 'secureConnection', listener: (socket: TlshubSocket) => void): this;
  // biome-ignore lint/suspicious/noExplicitAny: as node:tls declares the events of its servers
  on(event: string, listener: (...args: any[]) => void): this;
}

type SecureConnectionListener = (socket: TlshubSocket) => void;

/** Node's own function, taken before anybody replaces it. */
const { createServer: nodeCreateServer } = nodeTls;

/**
 * Makes a TLS server: `shared: true` (or an object of {@link ServerSharedOptions}) in the daemon, else in the process.
 * Overloads, events and errors are those of tls.createServer (Node docs); `sharing` says where it listens. Throws as
 * tls.createServer does, and ERR_TLSHUB_INVALID_OPTION, _NAME_INVALID or _NOT_SHAREABLE.
 * @param options as node:tls takes them
 * @param listener added to `secureConnection`
 */
export function createServer(
  options?: ShareableServerOptions | SecureConnectionListener,
  listener?: SecureConnectionListener,
): TlshubServer {
  const server = nodeCreateServer(options as TlsOptions, listener as never);
  shareNodeServer(server, options, sharedOf(options), 'tls');
  return server as TlshubServer;
}
