// Shares a server that one of Node's constructors has made of tls, https or http2: finds out what that constructor added
// to the caller's options, and what each protocol needs beyond TLS. Called for `tlshub/https`, `tlshub/http2` and by
// register.ts; a server that was shared once stays as it is.
import type { Server as HttpsServer } from 'node:https';
import type { Server, TlsOptions } from 'node:tls';
import { TlshubError } from '../../errors.ts';
import { HttpConnections } from './http-connections.ts';
import { resolveServerSharing } from './server-sharing.ts';
import { shareServer } from './share-server.ts';

/** Which of Node's modules a server is of. */
export type ServerKind = 'tls' | 'https' | 'http2';

/** What Node's constructors leave on a server of the options that they were called with (lib/net.js, lib/tls.js). */
interface Settled {
  ALPNProtocols?: Uint8Array;
  noDelay?: boolean;
}

const shared = new WeakSet<Server>();

/**
 * Makes a server shared, once. Throws ERR_TLSHUB_INVALID_OPTION, _NAME_INVALID or _NOT_SHAREABLE, and for HTTP/2
 * ERR_TLSHUB_INVALID_OPTION with `survive: true`.
 * @param server as Node made it, not listening
 * @param given options of the caller
 * @param wanted value of `shared`; false and its like leave the server alone
 */
export function shareNodeServer(server: Server, given: unknown, wanted: unknown, kind: ServerKind): void {
  const sharing = resolveServerSharing(wanted);
  if (sharing === undefined || shared.has(server)) return;
  if (kind === 'http2') {
    if (sharing.survive === true)
      throw new TlshubError(
        'ERR_TLSHUB_INVALID_OPTION',
        '"shared.survive" is not for HTTP/2: no other process could continue its compression and its streams',
      );
    // Native code of HTTP/2 reads the lane itself, also when somebody listens for `adopt`.
    sharing.survive = false;
  }
  const connections = kind === 'https' ? new HttpConnections(server as HttpsServer) : undefined;
  shareServer(server, settledOptions(server, given), sharing, connections);
  shared.add(server);
  connections?.install(sharing.survive === true);
}

/** The caller's options with what Node's own constructors added: `noDelay`, and the protocols of HTTP. */
function settledOptions(server: Server, given: unknown): TlsOptions {
  const { ALPNProtocols, noDelay } = server as unknown as Settled;
  const { shared: _shared, ...options } = (typeof given === 'object' ? (given ?? {}) : {}) as {
    shared?: unknown;
  };
  return {
    ...options,
    ...(ALPNProtocols !== undefined && { ALPNProtocols }),
    ...(noDelay && { noDelay }),
  };
}

/** What a server's options say of sharing. */
export function sharedOf(options: unknown): unknown {
  return typeof options === 'object' && options !== null && 'shared' in options ? options.shared : undefined;
}
