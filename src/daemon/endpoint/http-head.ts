// The head of an HTTP/1 message: where it ends, what its first line says, how long the body behind it is, and the text in
// which it is forwarded. Strict: line ends are CRLF, no folding, no space but where RFC 9112 has one. Pure; http-connection.ts
// reads requests with it, http-exchange.ts responses.
import { UNTIL_CLOSE, WITH_CHUNKS } from './http-body.ts';
import { HttpFields, HttpSyntaxError, isHost, isToken, VALUE } from './http-fields.ts';

/** Most bytes of a head, its empty line included. */
export const MAX_HEAD_BYTES = 16 * 1024;

const HEAD_END = Buffer.from('\r\n\r\n');
const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const TAB = 0x09;
/** Methods that may be sent twice without harm (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);

/** A request's head. */
export interface RequestHead {
  readonly method: string;
  /** In origin form (`/path?query`), or `*`. */
  readonly target: string;
  /** Host that an absolute request target named; it stands before the `Host` field. */
  readonly targetHost: string | undefined;
  /** The client speaks HTTP/1.1. */
  readonly modern: boolean;
  readonly fields: HttpFields;
  /** The body's length in bytes, or {@link WITH_CHUNKS}. */
  readonly bodyLength: number;
  /** The client wants to go on with this connection. */
  readonly keepAlive: boolean;
}

/** A response's head. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly fields: HttpFields;
  /** The body's length in bytes, {@link WITH_CHUNKS} or {@link UNTIL_CLOSE}. */
  readonly bodyLength: number;
  /** The origin will go on with this connection. */
  readonly keepAlive: boolean;
}

/**
 * Where the head ends that begins at `from`, its empty line included; -1 when it is not all there yet. Throws
 * {@link HttpSyntaxError} when what is there cannot become a head, or is too long for one (431).
 * @param seenBytes how many bytes from `from` on were looked at before
 */
export function findHeadEnd(bytes: Buffer, from: number, seenBytes = 0): number {
  const start = Math.max(from, from + seenBytes - HEAD_END.length + 1);
  const found = bytes.indexOf(HEAD_END, start);
  const end = found === -1 ? -1 : found + HEAD_END.length;
  if ((end === -1 ? bytes.length : end) - from > MAX_HEAD_BYTES) {
    throw new HttpSyntaxError(`a head of more than ${MAX_HEAD_BYTES} bytes`, 431);
  }
  if (end === -1) refuseOthers(bytes, from, start);
  return end;
}

/** What speaks another protocol, or ends lines in another way, would else wait for an end that never comes. */
function refuseOthers(bytes: Buffer, from: number, start: number): void {
  for (let at = start; at < bytes.length; at += 1) {
    const code = bytes[at] ?? 0;
    if (code >= SPACE || code === CR || code === TAB) continue;
    if (code === LF && at > from && bytes[at - 1] === CR) continue;
    throw new HttpSyntaxError('a head holds a character that is not allowed');
  }
}

/**
 * Reads a request's head. Throws {@link HttpSyntaxError}.
 * @param bytes what came
 * @param from where the head begins
 * @param end as {@link findHeadEnd} says
 */
export function parseRequestHead(bytes: Buffer, from: number, end: number): RequestHead {
  const text = bytes.toString('latin1', from, end - 2);
  const methodEnd = text.indexOf(' ');
  const targetEnd = text.indexOf(' ', methodEnd + 1);
  const lineEnd = text.indexOf('\r\n');
  if (methodEnd === -1 || targetEnd === -1 || targetEnd > lineEnd) {
    throw new HttpSyntaxError('the request line is not METHOD TARGET VERSION');
  }
  const method = text.slice(0, methodEnd);
  if (!isToken(method)) throw new HttpSyntaxError('the method is not a name');
  const modern = isModern(text.slice(targetEnd + 1, lineEnd), 505);
  if (method === 'CONNECT') throw new HttpSyntaxError('this is no proxy: CONNECT is not served', 405);
  const asked = text.slice(methodEnd + 1, targetEnd);
  const slashFirst = asked.charCodeAt(0) === 0x2f;
  for (let at = 0; at < asked.length; at += 1) {
    const code = asked.charCodeAt(at);
    if (code <= SPACE || code >= 0x7f || code === 0x23) throw badTarget();
  }
  const fields = new HttpFields(text, lineEnd + 2);
  const absolute = slashFirst || asked === '*' ? undefined : absoluteTarget(asked, method);
  if (asked === '*' && method !== 'OPTIONS') throw badTarget();
  if (modern && fields.host === undefined) throw new HttpSyntaxError('no Host');
  if (!modern && fields.chunked) throw new HttpSyntaxError('Transfer-Encoding in HTTP/1.0');
  return {
    method,
    target: absolute?.target ?? asked,
    targetHost: absolute?.host,
    modern,
    fields,
    bodyLength: fields.chunked ? WITH_CHUNKS : Math.max(0, fields.contentLength),
    keepAlive: !fields.close && (modern || fields.keepAlive),
  };
}

/**
 * Reads a response's head. Throws {@link HttpSyntaxError}.
 * @param method of the request, for the response to HEAD has no body
 */
export function parseResponseHead(bytes: Buffer, from: number, end: number, method: string): ResponseHead {
  const text = bytes.toString('latin1', from, end - 2);
  const lineEnd = text.indexOf('\r\n');
  const modern = isModern(text.slice(0, 8), 502);
  const status = statusAt(text, 9);
  const spaced = text.charCodeAt(8) === SPACE && (lineEnd === 12 || text.charCodeAt(12) === SPACE);
  if (status < 100 || !spaced) throw new HttpSyntaxError('the status line is not VERSION STATUS REASON');
  const reason = text.slice(13, lineEnd);
  for (let at = 0; at < reason.length; at += 1) {
    if (VALUE[reason.charCodeAt(at)] !== 1) throw new HttpSyntaxError('the reason of the status is not text');
  }
  const fields = new HttpFields(text, lineEnd + 2);
  if (!modern && fields.chunked) throw new HttpSyntaxError('Transfer-Encoding in HTTP/1.0');
  const keepAlive = !fields.close && (modern || fields.keepAlive);
  const bodyLength = responseLength(method, status, fields);
  return { status, reason, fields, bodyLength, keepAlive: keepAlive && bodyLength !== UNTIL_CLOSE };
}

/** Three digits; -1 for others. */
function statusAt(text: string, start: number): number {
  let status = 0;
  for (let at = start; at < start + 3; at += 1) {
    const digit = text.charCodeAt(at) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return -1;
    status = status * 10 + digit;
  }
  return status;
}

/** RFC 9112 §6.3. */
function responseLength(method: string, status: number, fields: HttpFields): number {
  if (method === 'HEAD' || status === 304) return 0;
  if (status === 204 || status < 200) {
    if (fields.chunked || fields.contentLength > 0) throw new HttpSyntaxError(`a body with status ${status}`);
    return 0;
  }
  if (fields.chunked) return WITH_CHUNKS;
  return fields.contentLength === -1 ? UNTIL_CLOSE : fields.contentLength;
}

/** True for methods that may be sent twice without harm (RFC 9110 §9.2.2). */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}

/**
 * A request's head as the origin gets it: HTTP/1.1, the connection kept.
 * @param authority the `Host` that it gets; `undefined` leaves what the client named
 */
export function encodeRequestHead(head: RequestHead, authority: string | undefined): string {
  const { fields } = head;
  const host = authority ?? head.targetHost ?? fields.host ?? '';
  const upgrade = fields.upgrade && fields.upgradeTo !== undefined;
  return `${head.method} ${head.target} HTTP/1.1\r\nHost: ${host}\r\n${fields.kept}${framing(fields)}${
    upgrade ? `Connection: Upgrade\r\nUpgrade: ${fields.upgradeTo}\r\n` : ''
  }\r\n`;
}

/**
 * A response's head as the client gets it.
 * @param connection what it is told about its connection, as lines
 * @param withChunks false for a client that does not know them
 */
export function encodeResponseHead(head: ResponseHead, connection: string, withChunks: boolean): string {
  const { status, fields } = head;
  const upgrade = (status === 101 || status === 426) && fields.upgradeTo !== undefined;
  const bodyless = status < 200 || status === 204;
  return `HTTP/1.1 ${status} ${head.reason}\r\n${fields.kept}${
    bodyless || (fields.chunked && !withChunks) ? '' : framing(fields)
  }${upgrade ? `Connection: Upgrade\r\nUpgrade: ${fields.upgradeTo}\r\n` : connection}\r\n`;
}

function framing(fields: HttpFields): string {
  if (fields.chunked) return 'Transfer-Encoding: chunked\r\n';
  return fields.contentLength === -1 ? '' : `Content-Length: ${fields.contentLength}\r\n`;
}

/** True for HTTP/1.1, false for HTTP/1.0; throws for others. */
function isModern(version: string, status: number): boolean {
  if (version === 'HTTP/1.1') return true;
  if (version === 'HTTP/1.0') return false;
  const known = /^HTTP\/\d\.\d$/.test(version);
  throw new HttpSyntaxError('the version is neither HTTP/1.0 nor HTTP/1.1', known ? status : 400);
}

/** Takes `http://host/path` apart (RFC 9112 §3.2.2). */
function absoluteTarget(asked: string, method: string): { host: string; target: string } {
  const parts = /^https?:\/\/([^/?]+)(.*)$/i.exec(asked);
  const host = parts?.[1];
  const rest = parts?.[2] ?? '';
  if (host === undefined || !isHost(host)) throw badTarget();
  if (rest === '') return { host, target: method === 'OPTIONS' ? '*' : '/' };
  return { host, target: rest.startsWith('/') ? rest : `/${rest}` };
}

function badTarget(): HttpSyntaxError {
  return new HttpSyntaxError('the request target is not one');
}
