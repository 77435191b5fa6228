// http2.connect with `shared`: the TLS session is one of the daemon's.
import http2, { type ClientHttp2Session, type SecureClientSessionOptions } from 'node:http2';
import { isIP } from 'node:net';
import { TlshubError } from '../errors.ts';
import { connect as connectTls, type ShareableConnectionOptions } from './connect.ts';
import { resolveSharedOptions, type SharedOptions } from './sharing-options.ts';
import { showTlsToHttp2 } from './tls-for-http2.ts';

/** Options of http2.connect, and whether its session shall be one of the daemon's. */
export type ShareableHttp2ClientOptions = SecureClientSessionOptions & { shared?: boolean | SharedOptions };

type Listener = Parameters<typeof http2.connect>[2];

/**
 * As http2.connect; without `shared`, or with a `createConnection`, it is that. Throws as it does, and
 * ERR_TLSHUB_INVALID_OPTION for a wrong `shared` or one with a name.
 * @param authority of the server
 * @param options as http2.connect takes them, or the listener
 * @param listener of `connect`
 */
export function connectHttp2(
  authority: string | URL,
  options?: ShareableHttp2ClientOptions | Listener,
  listener?: Listener,
): ClientHttp2Session {
  if (typeof options !== 'object' || options === null || options.createConnection !== undefined)
    return http2.connect(authority, options as SecureClientSessionOptions, listener);
  const { shared, ...rest } = options;
  const wanted = resolveSharedOptions(shared);
  if (wanted === undefined) return http2.connect(authority, rest, listener);
  if (wanted.named !== undefined) {
    const why =
      '"shared.name" is for tls.connect: the streams of HTTP/2 end with the process that opened them';
    throw new TlshubError('ERR_TLSHUB_INVALID_OPTION', why);
  }
  const { protocol, port, hostname } = typeof authority === 'string' ? new URL(authority) : authority;
  if ((protocol || rest.protocol || 'https:') !== 'https:') return http2.connect(authority, rest, listener);
  // As http2.connect makes them (initializeTLSOptions in lib/internal/http2/core.js).
  const host = hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost';
  const target: ShareableConnectionOptions = {
    servername: isIP(host) === 0 ? host : undefined,
    ...rest,
    ...{ host, port: Number(port) || 443, shared },
    ALPNProtocols: ['h2'],
  } as ShareableConnectionOptions;
  if (target.servername === undefined) delete target.servername;
  const socket = connectTls(target);
  showTlsToHttp2();
  return http2.connect(authority, { ...rest, createConnection: () => socket }, listener);
}
