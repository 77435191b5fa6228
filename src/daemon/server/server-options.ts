// The TLS options of a server from the wire as options of tls.createServer, everything explicit, so that no setting of
// the daemon's own process takes part. Called by groups.ts.
import type { TlsOptions } from 'node:tls';
import type { ServerKey } from '../../protocol/server-key.ts';
import type { ContextKey } from '../../protocol/session-key.ts';
import { toSecureContextOptions } from '../connect-options.ts';

/**
 * Options of tls.createServer, or of setSecureContext for a context alone.
 * @param key what a worker asked for
 * @param ca the certificates named by `key.ca`; `bundled` when the daemon trusts the same by default
 */
export function toServerOptions(key: ServerKey | ContextKey, ca: Buffer | 'bundled'): TlsOptions {
  // The keys of tickets are the ring's.
  const options: TlsOptions = toSecureContextOptions({ ...key, ticketKeys: null }, ca);
  if (!('requestCert' in key)) return options;
  const { requestCert, rejectUnauthorized, handshakeTimeout, ALPNProtocols } = key;
  return {
    ...options,
    requestCert,
    rejectUnauthorized,
    handshakeTimeout,
    ...(ALPNProtocols !== null && { ALPNProtocols: Buffer.from(ALPNProtocols, 'base64') }),
  };
}
