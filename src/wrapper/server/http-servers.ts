// The servers of `tlshub/https`: Node's own constructor, with `shared` understood. What `shared` does to a server is
// share-node-server.ts.

import type { RequestListener } from 'node:http';
import https, { type Server as HttpsServer, type ServerOptions } from 'node:https';
import type { TlshubSocket } from '../connect.ts';
import type { ServerSharedOptions } from './server-sharing.ts';
import { type ServerKind, sharedOf, shareNodeServer } from './share-node-server.ts';
import type { SharedServerMembers } from './share-server.ts';

/** Options of https.createServer, and whether the daemon shall own the connections. */
export type ShareableHttpsOptions = ServerOptions & { shared?: boolean | ServerSharedOptions };

/** An https.Server that may be shared; it has the other members when `shared` was asked for. */
export interface ShareableHttpsServer extends HttpsServer, Partial<SharedServerMembers> {
  on(event: 'adopt', listener: (socket: TlshubSocket, state: Buffer | null) => void): this;
  // biome-ignore lint/suspicious/noExplicitAny: as node:https declares the events of its servers
  on(event: string, listener: (...args: any[]) => void): this;
}

/** The constructor of `tlshub/https`; as Node's it may be called without `new`. */
export interface ShareableHttpsConstructor {
  new (options?: ShareableHttpsOptions | RequestListener, listener?: RequestListener): ShareableHttpsServer;
  (options?: ShareableHttpsOptions | RequestListener, listener?: RequestListener): ShareableHttpsServer;
  readonly prototype: ShareableHttpsServer;
}

/**
 * A class of Node's servers that understands `shared`; its prototype, and so `instanceof`, stay Node's.
 * @param NodeServer whose constructor takes options first
 */
export function sharingClass<Constructor extends object>(
  NodeServer: Constructor,
  kind: ServerKind,
): Constructor {
  const share = (server: unknown, [options]: unknown[]): object => {
    shareNodeServer(server as HttpsServer, options, sharedOf(options), kind);
    return server as object;
  };
  const isServer = (self: unknown): boolean => self instanceof (NodeServer as never);
  return new Proxy(NodeServer, {
    construct: (target, args, newTarget) => share(Reflect.construct(target as never, args, newTarget), args),
    apply(target, self: unknown, args: unknown[]) {
      // Heirs of the old kind call it for an object of theirs.
      if (!isServer(self)) return share(Reflect.construct(target as never, args), args);
      Reflect.apply(target as never, self, args);
      return share(self, args) && undefined;
    },
  });
}

/** https.Server with `shared`. Throws as Node's does, and as {@link shareNodeServer}. */
export const HttpsServerClass = sharingClass(https.Server, 'https') as unknown as ShareableHttpsConstructor;

/**
 * https.createServer with `shared`. Throws as {@link HttpsServerClass}.
 * @param options as https.createServer takes them
 * @param listener added to `request`
 */
export function createHttpsServer(
  options?: ShareableHttpsOptions | RequestListener,
  listener?: RequestListener,
): ShareableHttpsServer {
  return new HttpsServerClass(options, listener);
}
