// Where the body of an HTTP/1 message ends (RFC 9112 §6 and §7): a reader that is shown the bytes as they come and says
// which of them are the body. It holds none of them. Strict about chunks as http-head.ts is about heads. Pure; one for each
// direction of an exchange.
import { HttpFields, HttpSyntaxError, TOKEN, VALUE } from './http-fields.ts';

/** In the place of a body's length: it comes in chunks. */
export const WITH_CHUNKS = -1;
/** In the place of a body's length: it ends with the connection. */
export const UNTIL_CLOSE = -2;

/** Most hexadecimal digits of a chunk's size; any number of them is exact in JavaScript. */
const MAX_SIZE_DIGITS = 13;
/** Most bytes of chunk extensions, and of trailer fields, in one body. */
const MAX_EXTRA_BYTES = 16 * 1024;

/** Where in a chunked body the next byte belongs. */
const PLACE = {
  sizeStart: 0,
  size: 1,
  sizeEnd: 2,
  data: 3,
  dataCr: 4,
  dataEnd: 5,
  lineStart: 6,
  trailer: 7,
  trailerEnd: 8,
  lastEnd: 9,
  extensionStart: 10,
  extensionName: 11,
  valueStart: 12,
  value: 13,
  quoted: 14,
  escaped: 15,
  quotedEnd: 16,
} as const;

type Place = (typeof PLACE)[keyof typeof PLACE];

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Follows one body after the other on one connection. */
export class BodyReader {
  /** The body is complete. */
  done = true;
  /** Set by who wants the content of a chunked body without its chunks: gets the parts of each piece that is read. */
  content: Buffer[] | undefined;
  /** Bytes that are still to come of the body, or of the present chunk. */
  #left = 0;
  #kind = 0;
  #place: Place = PLACE.sizeStart;
  #digits = 0;
  #extraBytes = 0;
  #trailer = '';

  /**
   * A new body begins.
   * @param length in bytes, or {@link WITH_CHUNKS} or {@link UNTIL_CLOSE}
   */
  begin(length: number): void {
    this.#kind = length;
    this.done = length === 0;
    this.content = undefined;
    this.#left = Math.max(0, length);
    this.#place = PLACE.sizeStart;
    this.#digits = 0;
    this.#extraBytes = 0;
    this.#trailer = '';
  }

  /**
   * Answers where in `bytes` the part of them ends that is the body's. Throws HttpSyntaxError.
   * @param from where in `bytes` to begin
   */
  read(bytes: Buffer, from: number): number {
    if (this.#kind === WITH_CHUNKS) return this.#readChunks(bytes, from);
    if (this.#kind === UNTIL_CLOSE) return bytes.length;
    const end = Math.min(bytes.length, from + this.#left);
    this.#left -= end - from;
    this.done = this.#left === 0;
    return end;
  }

  #readChunks(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length && !this.done) {
      if (this.#place === PLACE.data) {
        const end = Math.min(bytes.length, at + this.#left);
        this.content?.push(bytes.subarray(at, end));
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#place = PLACE.dataCr;
      } else {
        this.#place = this.#next(bytes[at] ?? 0);
        at += 1;
      }
    }
    return at;
  }

  #next(code: number): Place {
    switch (this.#place) {
      case PLACE.sizeStart:
      case PLACE.size:
        return this.#size(code);
      case PLACE.sizeEnd:
        expect(code, LF);
        this.#digits = 0;
        return this.#left === 0 ? PLACE.lineStart : PLACE.data;
      case PLACE.dataCr:
        expect(code, CR);
        return PLACE.dataEnd;
      case PLACE.dataEnd:
        expect(code, LF);
        return PLACE.sizeStart;
      case PLACE.lineStart:
        return code === CR ? PLACE.lastEnd : this.#trailerByte(code);
      case PLACE.trailer:
        return this.#trailerByte(code);
      case PLACE.trailerEnd:
        return this.#trailerLine(code);
      case PLACE.lastEnd:
        expect(code, LF);
        this.done = true;
        return PLACE.sizeStart;
      default:
        return this.#extension(code);
    }
  }

  #size(code: number): Place {
    const digit = hexDigit(code);
    if (digit !== -1) {
      this.#digits += 1;
      if (this.#digits > MAX_SIZE_DIGITS) throw new HttpSyntaxError('the size of a chunk is too long');
      this.#left = this.#left * 16 + digit;
      return PLACE.size;
    }
    if (this.#place === PLACE.sizeStart) throw new HttpSyntaxError('a chunk has no size');
    if (code === CR) return PLACE.sizeEnd;
    if (code === SEMICOLON) return PLACE.extensionStart;
    throw new HttpSyntaxError('the size of a chunk is no number');
  }

  /** RFC 9112 §7.1.1, without the blanks that it tells senders not to make. */
  #extension(code: number): Place {
    this.#countExtra();
    switch (this.#place) {
      case PLACE.extensionStart:
        return inToken(code, PLACE.extensionName);
      case PLACE.extensionName:
        if (code === EQUALS) return PLACE.valueStart;
        return afterExtension(code) ?? inToken(code, PLACE.extensionName);
      case PLACE.valueStart:
        return code === QUOTE ? PLACE.quoted : inToken(code, PLACE.value);
      case PLACE.value:
        return afterExtension(code) ?? inToken(code, PLACE.value);
      case PLACE.quoted:
        if (code === QUOTE) return PLACE.quotedEnd;
        return code === BACKSLASH ? PLACE.escaped : inQuotes(code);
      case PLACE.escaped:
        return inQuotes(code);
      default:
        return afterExtension(code) ?? refuseExtension();
    }
  }

  #trailerByte(code: number): Place {
    this.#countExtra();
    if (code === CR) return PLACE.trailerEnd;
    if (VALUE[code] !== 1) throw new HttpSyntaxError('a trailer field holds a character that is not allowed');
    this.#trailer += String.fromCharCode(code);
    return PLACE.trailer;
  }

  #trailerLine(code: number): Place {
    expect(code, LF);
    const fields = new HttpFields(`${this.#trailer}\r\n`, 0);
    // A reader that merged them into the head would see another message (RFC 9110 §6.5.1).
    if (fields.chunked || fields.contentLength !== -1 || fields.host !== undefined) {
      throw new HttpSyntaxError('a trailer field that belongs in the head');
    }
    this.#trailer = '';
    return PLACE.lineStart;
  }

  #countExtra(): void {
    this.#extraBytes += 1;
    if (this.#extraBytes > MAX_EXTRA_BYTES)
      throw new HttpSyntaxError('too much between the chunks of a body');
  }
}

function expect(code: number, wanted: number): void {
  if (code !== wanted) throw new HttpSyntaxError('a line of a chunked body does not end as it must');
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function afterExtension(code: number): Place | undefined {
  if (code === CR) return PLACE.sizeEnd;
  return code === SEMICOLON ? PLACE.extensionStart : undefined;
}

function inToken(code: number, place: Place): Place {
  return TOKEN[code] === 1 ? place : refuseExtension();
}

function inQuotes(code: number): Place {
  return VALUE[code] === 1 ? PLACE.quoted : refuseExtension();
}

function refuseExtension(): never {
  throw new HttpSyntaxError('a chunk extension is not one');
}
