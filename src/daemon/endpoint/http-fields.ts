// The fields of an HTTP/1 head: read strictly, in one pass, into what a message on this connection means, and the rest
// as text to forward. ALWAYS: what is forwarded is what was understood here. NEVER: a field that two readers could
// understand in two ways (RFC 9112 §11.2). Pure; used by http-head.ts and http-body.ts.
import { isConnectionAuth } from '../../protocol/connection-auth.ts';

/** A message that is not HTTP as RFC 9110 and RFC 9112 have it. */
export class HttpSyntaxError extends Error {
  /** The status that a client gets for it. */
  readonly status: number;

  /**
   * @param message what is wrong
   * @param status for a request, 400 by default
   */
  constructor(message: string, status = 400) {
    super(message);
    this.name = 'HttpSyntaxError';
    this.status = status;
  }
}

/** Most digits of a Content-Length: any number of them is exact in JavaScript. */
const MAX_LENGTH_DIGITS = 15;

const COLON = 0x3a;
const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const TAB = 0x09;

/** 1 for the characters of a token (RFC 9110 §5.6.2), by code. */
export const TOKEN = tableOf("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

/** 1 for what a field's value may consist of (RFC 9110 §5.5): visible characters, space, tab and 0x80 to 0xff. */
export const VALUE = new Uint8Array(256).map((_, code) =>
  Number(code === TAB || (code >= SPACE && code !== 0x7f)),
);

/** 1 for the characters of `host[:port]` (RFC 3986 §3.2.2). */
const HOST = tableOf("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~%!$&'()*+;=:[]");

/** The fields of one head. */
export class HttpFields {
  /** Fields to forward, each with its line end. */
  kept = '';
  /** The body's length in bytes, or -1 when the head names none. */
  contentLength = -1;
  chunked = false;
  /** `Connection` says `close`. */
  close = false;
  /** `Connection` says `keep-alive`. */
  keepAlive = false;
  /** `Connection` says `upgrade`. */
  upgrade = false;
  /** Value of `Upgrade`. */
  upgradeTo: string | undefined;
  /** Value of `Host`. */
  host: string | undefined;
  /** The connection is authenticated by this message, not the message. */
  connectionAuth = false;
  /** Lower-case names of fields that `Connection` says are for one hop only. */
  #nominated: string[] | undefined;

  /**
   * @param text the head in latin1, up to and with the line end of its last field
   * @param at where its fields begin
   */
  constructor(text: string, at: number) {
    let keptFrom = at;
    let next = at;
    while (next < text.length) {
      const start = next;
      let end = start;
      while (TOKEN[text.charCodeAt(end)] === 1) end += 1;
      if (end === start || text.charCodeAt(end) !== COLON)
        throw new HttpSyntaxError('a field has no proper name');
      let valueStart = end + 1;
      while (isBlank(text.charCodeAt(valueStart))) valueStart += 1;
      let valueEnd = valueStart;
      while (VALUE[text.charCodeAt(valueEnd)] === 1) valueEnd += 1;
      if (text.charCodeAt(valueEnd) !== CR || text.charCodeAt(valueEnd + 1) !== LF) {
        throw new HttpSyntaxError('a field holds a character that is not allowed');
      }
      next = valueEnd + 2;
      while (valueEnd > valueStart && isBlank(text.charCodeAt(valueEnd - 1))) valueEnd -= 1;
      if (this.#isOfThisHop(text, start, end, valueStart, valueEnd)) {
        this.kept += text.slice(keptFrom, start);
        keptFrom = next;
      }
    }
    this.kept += text.slice(keptFrom);
    if (this.chunked && this.contentLength !== -1) {
      throw new HttpSyntaxError('Transfer-Encoding and Content-Length together');
    }
    if (this.#nominated !== undefined) this.kept = withoutFields(this.kept, this.#nominated);
  }

  /** Takes note of a field that means something here; true when it is not to be forwarded as it is. */
  #isOfThisHop(text: string, start: number, end: number, valueStart: number, valueEnd: number): boolean {
    switch (end - start) {
      case 4:
        if (!isName(text, start, 'host')) return false;
        this.#readHost(text.slice(valueStart, valueEnd));
        return true;
      case 7:
        if (!isName(text, start, 'upgrade')) return false;
        this.upgradeTo = joined(this.upgradeTo, text.slice(valueStart, valueEnd));
        return true;
      case 10:
        if (isName(text, start, 'connection')) {
          this.#readConnection(text.slice(valueStart, valueEnd).toLowerCase());
          return true;
        }
        return isName(text, start, 'keep-alive');
      case 13:
        if (isName(text, start, 'authorization')) this.#readAuth(text.slice(valueStart, valueEnd));
        else if (isName(text, start, 'proxy-support')) this.connectionAuth = true;
        return false;
      case 14:
        if (!isName(text, start, 'content-length')) return false;
        this.#readLength(text, valueStart, valueEnd);
        return true;
      case 15:
        if (isName(text, start, 'persistent-auth')) this.connectionAuth = true;
        return false;
      case 16:
        if (isName(text, start, 'www-authenticate')) this.#readAuth(text.slice(valueStart, valueEnd));
        return isName(text, start, 'proxy-connection');
      case 17:
        if (!isName(text, start, 'transfer-encoding')) return false;
        this.#readCoding(text.slice(valueStart, valueEnd));
        return true;
      case 18:
        if (isName(text, start, 'proxy-authenticate')) this.#readAuth(text.slice(valueStart, valueEnd));
        return false;
      case 19:
        if (isName(text, start, 'proxy-authorization')) this.#readAuth(text.slice(valueStart, valueEnd));
        return false;
      default:
        return false;
    }
  }

  #readHost(value: string): void {
    if (this.host !== undefined) throw new HttpSyntaxError('more than one Host');
    if (!isHost(value)) throw new HttpSyntaxError('Host is not a host');
    this.host = value;
  }

  #readLength(text: string, start: number, end: number): void {
    if (this.contentLength !== -1) throw new HttpSyntaxError('more than one Content-Length');
    if (end === start || end - start > MAX_LENGTH_DIGITS)
      throw new HttpSyntaxError('Content-Length is no length');
    let length = 0;
    for (let at = start; at < end; at += 1) {
      const digit = text.charCodeAt(at) - 0x30;
      if (digit < 0 || digit > 9) throw new HttpSyntaxError('Content-Length is no length');
      length = length * 10 + digit;
    }
    this.contentLength = length;
  }

  #readCoding(value: string): void {
    if (this.chunked) throw new HttpSyntaxError('more than one Transfer-Encoding');
    if (value.toLowerCase() !== 'chunked') {
      throw new HttpSyntaxError('a Transfer-Encoding other than chunked', 501);
    }
    this.chunked = true;
  }

  #readAuth(value: string): void {
    this.connectionAuth ||= isConnectionAuth(value);
  }

  #readConnection(value: string): void {
    if (value === 'close') this.close = true;
    else if (value === 'keep-alive') this.keepAlive = true;
    else for (const option of value.split(',')) this.#readConnectionOption(option.trim());
  }

  #readConnectionOption(option: string): void {
    if (option === 'close') this.close = true;
    else if (option === 'keep-alive') this.keepAlive = true;
    else if (option === 'upgrade') this.upgrade = true;
    else if (option !== '') {
      if (!isToken(option)) throw new HttpSyntaxError('Connection holds what is not a name');
      this.#nominated ??= [];
      this.#nominated.push(option);
    }
  }
}

/** True for a text of token characters, at least one. */
export function isToken(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) if (TOKEN[text.charCodeAt(at)] !== 1) return false;
  return text.length > 0;
}

/** True for a text that can be a `Host`; it may be empty (RFC 9112 §3.2). */
export function isHost(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) if (HOST[text.charCodeAt(at)] !== 1) return false;
  return true;
}

/** Compares without regard to case; `name` is in lower case and as long as the field's name. */
function isName(text: string, start: number, name: string): boolean {
  for (let at = 0; at < name.length; at += 1) {
    // A token's character and the letter or `-` that it is compared with differ in this bit by case only.
    if ((text.charCodeAt(start + at) | 0x20) !== name.charCodeAt(at)) return false;
  }
  return true;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`;
}

function withoutFields(lines: string, names: readonly string[]): string {
  const kept = lines
    .split('\r\n')
    .filter((line) => line !== '' && !names.includes(line.slice(0, line.indexOf(':')).toLowerCase()));
  return kept.map((line) => `${line}\r\n`).join('');
}

function tableOf(characters: string): Uint8Array {
  const table = new Uint8Array(256);
  for (const character of characters) table[character.charCodeAt(0)] = 1;
  return table;
}
