// Where one message of a byte stream ends and the next begins, by the rule that a session in turn mode was opened with.
// Pure: it cuts and never changes a byte. One splitter serves one direction of one session.
import * as v from 'valibot';
import { TlshubError } from '../errors.ts';
import { DEFAULT_MAX_MESSAGE_BYTES, MAX_DELIMITER_BYTES } from './limits.ts';

/**
 * How messages are told apart: each chunk that the peer sent is one, each ends with a delimiter (a text, compared as
 * UTF-8 bytes), or each begins with its length (big endian, the bytes after the prefix).
 */
export type MessageRule = 'chunk' | { delimiter: string } | { lengthPrefix: 1 | 2 | 4 };

/** Schema of a {@link MessageRule} as it travels. */
export const messageRuleSchema = v.union([
  v.literal('chunk'),
  v.strictObject({
    delimiter: v.pipe(
      v.string(),
      v.check((text) => isDelimiter(text), `is not a text of 1 to ${MAX_DELIMITER_BYTES} bytes`),
    ),
  }),
  v.strictObject({ lengthPrefix: v.picklist([1, 2, 4]) }),
]);

const NOTHING = Buffer.alloc(0);
const FIRST_CAPACITY_BYTES = 1024;

/**
 * Cuts a byte stream into messages; holds at most one unfinished message and grows with the bytes that came, never with
 * the length that was announced.
 */
export class MessageSplitter {
  readonly #rule: 'chunk' | 'delimiter' | 'prefix';
  readonly #delimiter: Buffer;
  readonly #prefixBytes: number;
  readonly #maxMessageBytes: number;
  /** The unfinished message, in the first {@link #pendingBytes} bytes. */
  #pending: Buffer = NOTHING;
  #pendingBytes = 0;
  #failure: TlshubError | undefined;

  /**
   * Throws ERR_TLSHUB_INVALID_OPTION for a rule or limit that is none.
   * @param rule how messages are told apart
   * @param maxMessageBytes longest message, delimiter or prefix included (1 MiB)
   */
  constructor(rule: MessageRule, maxMessageBytes: number = DEFAULT_MAX_MESSAGE_BYTES) {
    if (!v.is(messageRuleSchema, rule)) throw invalid('the rule for messages is not one of those documented');
    if (!Number.isSafeInteger(maxMessageBytes) || maxMessageBytes < 1) {
      throw invalid('the limit of a message must be a whole number of bytes');
    }
    this.#rule = rule === 'chunk' ? 'chunk' : 'delimiter' in rule ? 'delimiter' : 'prefix';
    this.#delimiter = rule !== 'chunk' && 'delimiter' in rule ? Buffer.from(rule.delimiter) : NOTHING;
    this.#prefixBytes = rule !== 'chunk' && 'lengthPrefix' in rule ? rule.lengthPrefix : 0;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** Bytes of the unfinished message. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Why no more messages can be cut; `push` throws it. It is set when a message turned out to be over the limit. */
  get failure(): TlshubError | undefined {
    return this.#failure;
  }

  /**
   * Takes bytes and answers the messages that they complete, unchanged, with delimiter or prefix; one that lies whole
   * in the chunk shares its memory. Throws ERR_TLSHUB_LIMIT for a message over the limit: at once, unless the chunk
   * completed others before it; those are answered first, `failure` is set, and the next `push` throws.
   */
  push(chunk: Buffer): Buffer[] {
    if (this.#failure !== undefined) throw this.#failure;
    const messages: Buffer[] = [];
    let rest = chunk;
    while (rest.length > 0) {
      const missing = this.#bytesToEnd(rest);
      if (this.#pendingBytes + (missing ?? rest.length) > this.#maxMessageBytes) {
        this.#failure = new TlshubError(
          'ERR_TLSHUB_LIMIT',
          `a message is longer than ${this.#maxMessageBytes} bytes`,
        );
        this.#append(rest);
        if (messages.length === 0) throw this.#failure;
        return messages;
      }
      if (missing === undefined || missing > rest.length) {
        this.#append(rest);
        return messages;
      }
      messages.push(this.#complete(rest.subarray(0, missing)));
      rest = rest.subarray(missing);
    }
    return messages;
  }

  /** All bytes after the last complete message; the splitter is empty afterwards, a failure stays. */
  takeRest(): Buffer {
    const rest = this.#pending.subarray(0, this.#pendingBytes);
    this.#pending = NOTHING;
    this.#pendingBytes = 0;
    return rest;
  }

  /**
   * Bytes of `rest` up to the end of the message at hand; more than there are when its length is known already, and
   * `undefined` when it is not.
   */
  #bytesToEnd(rest: Buffer): number | undefined {
    if (this.#rule === 'chunk') return rest.length;
    return this.#rule === 'delimiter' ? this.#bytesToDelimiter(rest) : this.#bytesToLength(rest);
  }

  #bytesToDelimiter(rest: Buffer): number | undefined {
    // A delimiter that began in an earlier chunk ends before any that begins in this one.
    const before = Math.min(this.#pendingBytes, this.#delimiter.length - 1);
    if (before > 0) {
      const border = Buffer.concat([
        this.#pending.subarray(this.#pendingBytes - before, this.#pendingBytes),
        rest.subarray(0, this.#delimiter.length - 1),
      ]);
      const found = border.indexOf(this.#delimiter);
      if (found !== -1) return found + this.#delimiter.length - before;
    }
    const found = rest.indexOf(this.#delimiter);
    return found === -1 ? undefined : found + this.#delimiter.length;
  }

  #bytesToLength(rest: Buffer): number | undefined {
    const held = Math.min(this.#pendingBytes, this.#prefixBytes);
    if (held + rest.length < this.#prefixBytes) return undefined;
    const prefix = Buffer.concat([
      this.#pending.subarray(0, held),
      rest.subarray(0, this.#prefixBytes - held),
    ]);
    return this.#prefixBytes + prefix.readUIntBE(0, this.#prefixBytes) - this.#pendingBytes;
  }

  #complete(end: Buffer): Buffer {
    if (this.#pendingBytes === 0) return end;
    this.#append(end);
    return this.takeRest();
  }

  #append(bytes: Buffer): void {
    const needed = this.#pendingBytes + bytes.length;
    if (needed > this.#pending.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#pending.length, FIRST_CAPACITY_BYTES));
      this.#pending.copy(grown, 0, 0, this.#pendingBytes);
      this.#pending = grown;
    }
    this.#pendingBytes += bytes.copy(this.#pending, this.#pendingBytes);
  }
}

function isDelimiter(text: string): boolean {
  const bytes = Buffer.from(text);
  // A lone surrogate has no UTF-8, so it could never be found.
  return text.length > 0 && bytes.length <= MAX_DELIMITER_BYTES && bytes.toString() === text;
}

function invalid(why: string): TlshubError {
  return new TlshubError('ERR_TLSHUB_INVALID_OPTION', why);
}
