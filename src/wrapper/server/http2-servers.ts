// The secure servers of `tlshub/http2`: Node's own, with `shared` understood. What `shared` does to a server is
// share-node-server.ts. Apart from http-servers.ts, because loading http2 costs a program that does not use it.
import http2, { type Http2SecureServer, type SecureServerOptions } from 'node:http2';
import type { ServerSharedOptions } from './server-sharing.ts';
import { sharedOf, shareNodeServer } from './share-node-server.ts';
import type { SharedServerMembers } from './share-server.ts';

/** Options of http2.createSecureServer, and whether the daemon shall own the connections. */
export type ShareableHttp2Options = SecureServerOptions & { shared?: boolean | ServerSharedOptions };

/** An Http2SecureServer that may be shared; it has the other members when `shared` was asked for. */
export interface ShareableHttp2Server extends Http2SecureServer, Partial<SharedServerMembers> {}

type Http2Listener = Parameters<typeof http2.createSecureServer>[1];

/**
 * http2.createSecureServer with `shared`. Throws as Node's does, and as {@link shareNodeServer}.
 * @param options as http2.createSecureServer takes them
 * @param listener added to `request`
 */
export function createHttp2Server(
  options?: ShareableHttp2Options | Http2Listener,
  listener?: Http2Listener,
): ShareableHttp2Server {
  const server = http2.createSecureServer(options as SecureServerOptions, listener);
  shareNodeServer(server, options, sharedOf(options), 'http2');
  return server;
}
