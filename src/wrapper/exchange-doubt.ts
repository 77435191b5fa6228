// Whether an HTTP exchange that is over leaves its connection as it found it, so that a stranger to it may go on: the
// rules of RFC 9112 about message lengths, and authentication that sticks to the connection. Pure; used by http-lease.ts.
import type { ClientRequest, IncomingMessage } from 'node:http';
import { isConnectionAuth } from '../protocol/connection-auth.ts';

const CONNECTION_CLOSE = /^connection:.*\bclose\b/im;
const CREDENTIALS = /^(?:proxy-)?authorization:(.*)$/gim;
const CONTENT_LENGTH = /^content-length:[ \t]*(\d+)[ \t]*$/gim;

/** Response headers that offer such a scheme, or say that one is in force (RFC 4559 §6, `Persistent-Auth` of IIS). */
const CHALLENGES = ['www-authenticate', 'proxy-authenticate'] as const;
const STICKY_HEADERS = ['persistent-auth', 'proxy-support'] as const;

/**
 * Why the connection is in doubt after an exchange, or `undefined` when it is not.
 * @param request a request whose response was received, or that was never sent
 * @param sentBytes what was written to the connection for it
 */
export function exchangeDoubt(
  request: ClientRequest & { res?: IncomingMessage | null; _header?: string | null },
  sentBytes: number,
): string | undefined {
  const { res, _header: header } = request;
  if (!res) return sentBytes === 0 ? undefined : 'a request was sent and no response came';
  if (!res.complete) return 'a response is not complete';
  if (typeof header !== 'string') return 'this version of Node does not tell what a request sent';
  // Node keeps the socket when the response does not say it too; the peer may close at any moment.
  if (CONNECTION_CLOSE.test(header)) return 'a request asked for the end of the connection';
  if (!isWhole(request, header, sentBytes)) return 'a request and its headers disagree about its length';
  return isConnectionBound(header, res) ? 'the connection was authenticated, not the request' : undefined;
}

/** A peer that counts the request's bytes by its headers must come to its end. */
function isWhole(request: ClientRequest, header: string, sentBytes: number): boolean {
  const lengths = [...header.matchAll(CONTENT_LENGTH)].map((match) => Number(match[1]));
  if (request.chunkedEncoding) return lengths.length === 0 && sentBytes > header.length;
  // Header fields are written as latin1: as many bytes as characters.
  return lengths.length <= 1 && sentBytes === header.length + (lengths[0] ?? 0);
}

function isConnectionBound(header: string, response: IncomingMessage): boolean {
  const { headers } = response;
  return (
    [...header.matchAll(CREDENTIALS)].some((match) => isConnectionAuth(match[1] ?? '')) ||
    CHALLENGES.some((name) => isConnectionAuth(String(headers[name] ?? ''))) ||
    STICKY_HEADERS.some((name) => headers[name] !== undefined)
  );
}
