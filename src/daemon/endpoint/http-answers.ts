// What a client is told when its request gets no response of the origin: a status, and a text with the code of the trouble
// and what to do about it. Pure; used by http-connection.ts.
import { codeOf, messageOf, type TlshubErrorCode } from '../../errors.ts';
import { OpenFailure } from '../upstream.ts';

/** An answer of the daemon's own. */
export interface HttpAnswer {
  readonly status: number;
  /** For the body and the log. */
  readonly text: string;
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  421: 'Misdirected Request',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
};

/** Codes that say that there is no session for this request now. */
const UNAVAILABLE: ReadonlySet<string> = new Set<TlshubErrorCode>([
  'ERR_TLSHUB_DRAINING',
  'ERR_TLSHUB_LIMIT',
  'ERR_TLSHUB_POOL_TIMEOUT',
]);

/**
 * The answer for a request that got no session: 503 when the daemon has none to give, 504 when the origin did not accept
 * in time, 502 for any other failure.
 * @param error what the lease was rejected with
 */
export function answerToFailedLease(error: unknown): HttpAnswer {
  if (error instanceof OpenFailure) {
    const { code = 'ERR_TLS', message } = error.wire;
    if (code === 'ETIMEDOUT') return { status: 504, text: `${code}: ${message}` };
    return { status: 502, text: `${code}: the session could not be opened: ${message}` };
  }
  const code = codeOf(error) ?? 'ERR_TLSHUB_CLOSED';
  return { status: UNAVAILABLE.has(code) ? 503 : 502, text: `${code}: ${messageOf(error)}` };
}

/**
 * The answer for a request whose session was lost before a response.
 * @param error of the session, if it failed
 */
export function answerToLostSession(error: Error | undefined): HttpAnswer {
  const why = error === undefined ? 'the origin closed the session' : messageOf(error);
  const code = codeOf(error) ?? 'ERR_TLSHUB_CLOSED';
  return {
    status: 502,
    text: `${code}: ${why} before a response; whether it carried the request out is unknown, so it was not sent again`,
  };
}

/** The answer for a response that is not HTTP. */
export function answerToBadResponse(message: string): HttpAnswer {
  return { status: 502, text: `ERR_TLSHUB_PROTOCOL: the response of the origin is malformed: ${message}` };
}

/** The answer for a request that is not HTTP, or not served here. */
export function answerToBadRequest(status: number, message: string): HttpAnswer {
  return { status, text: `ERR_TLSHUB_PROTOCOL: ${message}` };
}

/**
 * An answer as bytes in latin1.
 * @param connection what the client is told about its connection, as lines
 * @param withBody false for the answer to HEAD
 */
export function encodeAnswer({ status, text }: HttpAnswer, connection: string, withBody: boolean): string {
  const title = `${status} ${REASONS[status] ?? 'Error'}`;
  const body = Buffer.from(`${title}\ntlshub: ${text}\n`).toString('latin1');
  const allow = status === 405 ? 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE\r\n' : '';
  return `HTTP/1.1 ${title}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\n${allow}${connection}\r\n${
    withBody ? body : ''
  }`;
}

/**
 * What a client is told about its connection, as lines.
 * @param last nothing comes after this response
 * @param modern the client speaks HTTP/1.1, where going on is the rule
 */
export function connectionLines(last: boolean, modern: boolean): string {
  if (last) return 'Connection: close\r\n';
  return modern ? '' : 'Connection: keep-alive\r\n';
}
