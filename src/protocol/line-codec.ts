// Newline-delimited JSON over a byte stream: pure functions and one decoder, no sockets. Used by link and lane.
import { TlshubError } from '../errors.ts';
import { MAX_LINE_BYTES } from './limits.ts';

const NEWLINE = 0x0a;
const EMPTY = Buffer.alloc(0);

/** One message as one line: JSON and a newline. JSON never contains a raw newline, so the line is whole. */
export function encodeLine(message: object): Buffer {
  return Buffer.from(lineText(message));
}

/** As {@link encodeLine}, for a socket that is given text: it saves a copy. */
export function lineText(message: object): string {
  return `${JSON.stringify(message)}\n`;
}

/**
 * The value of one line (without its newline). Throws ERR_TLSHUB_PROTOCOL unless it is a JSON object.
 * @param line bytes of the line
 */
export function decodeLine(line: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch (cause) {
    throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'a line is not JSON', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'a line is not a JSON object');
  }
  return value as Record<string, unknown>;
}

/** Cuts a byte stream into lines; holds at most {@link MAX_LINE_BYTES} of an unfinished one. */
export class LineDecoder {
  /** Parts of the unfinished line that hold no newline. */
  #searched: Buffer[] = [];
  #searchedBytes = 0;
  #unsearched: Buffer = EMPTY;

  /** Takes bytes from the stream; call {@link next} until it answers `undefined` before the following `push`. */
  push(chunk: Buffer): void {
    this.#unsearched = this.#unsearched.length === 0 ? chunk : Buffer.concat([this.#unsearched, chunk]);
  }

  /**
   * The next complete line, without its newline, or `undefined` when more bytes are needed.
   * Throws ERR_TLSHUB_PROTOCOL when the line is over the limit, finished or not.
   */
  next(): Buffer | undefined {
    const end = this.#unsearched.indexOf(NEWLINE);
    const lineBytes = this.#searchedBytes + (end === -1 ? this.#unsearched.length : end + 1);
    if (lineBytes > MAX_LINE_BYTES) {
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', `a line is longer than ${MAX_LINE_BYTES} bytes`);
    }
    this.#searched.push(end === -1 ? this.#unsearched : this.#unsearched.subarray(0, end));
    this.#searchedBytes = lineBytes;
    const isAll = end === -1 || end + 1 === this.#unsearched.length;
    this.#unsearched = isAll ? EMPTY : this.#unsearched.subarray(end + 1);
    return end === -1 ? undefined : this.#takeSearched();
  }

  /** All bytes after the last complete line; the decoder is empty afterwards. A lane's raw bytes begin here. */
  takeRest(): Buffer {
    const searched = this.#takeSearched();
    const rest = searched.length === 0 ? this.#unsearched : Buffer.concat([searched, this.#unsearched]);
    this.#unsearched = EMPTY;
    return rest;
  }

  #takeSearched(): Buffer {
    if (this.#searched.length === 0) return EMPTY;
    const line = this.#searched.length === 1 ? (this.#searched[0] ?? EMPTY) : Buffer.concat(this.#searched);
    this.#searched = [];
    this.#searchedBytes = 0;
    return line;
  }
}
