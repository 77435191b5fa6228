// The reading of `turn` mode: the peer's bytes are cut into messages; waiting readers are served in order and get one
// message each. A message whose reader leaves before it has consumed it is given, whole, to the next.
import { TlshubError } from '../../errors.ts';
import { MAX_FRAME_PAYLOAD_BYTES } from '../../protocol/limits.ts';
import { type MessageRule, MessageSplitter } from '../../protocol/message-splitter.ts';
import type { FramedHolder } from './framed-holder.ts';
import { MAX_HELD_BYTES, type Reading } from './reading.ts';

/** Messages that wait for a reader before no more are read: many small ones cost more than their bytes. */
const MAX_QUEUED_MESSAGES = 4_096;

interface Message {
  offset: number;
  bytes: Buffer;
}

/** Gives each message to one reader. */
export class TurnReading implements Reading {
  readonly #splitter: MessageSplitter;
  /** Messages that no reader has, in the order of the stream. */
  readonly #queue: Message[] = [];
  #queuedBytes = 0;
  /** Messages that were given and not yet consumed, one for each reader at most. */
  readonly #given = new Map<FramedHolder, Message>();
  readonly #waiting: FramedHolder[] = [];
  #receivedOffset = 0;
  #cutOffset = 0;
  #heldBytes = 0;

  /** @param rule where a message ends */
  constructor(rule: MessageRule) {
    this.#splitter = new MessageSplitter(rule);
  }

  get receivedOffset(): number {
    return this.#receivedOffset;
  }

  get committedOffset(): number {
    let least = this.#queue[0]?.offset ?? this.#cutOffset;
    for (const { offset } of this.#given.values()) least = Math.min(least, offset);
    return least;
  }

  get heldBytes(): number {
    return this.#heldBytes + this.#splitter.pendingBytes;
  }

  /** A message at hand is read to its end, within the splitter's limit; what readers have in hand stops nobody else. */
  get isFull(): boolean {
    return this.#queuedBytes > MAX_HELD_BYTES || this.#queue.length > MAX_QUEUED_MESSAGES;
  }

  join(): number {
    return this.committedOffset;
  }

  leave(holder: FramedHolder): void {
    const place = this.#waiting.indexOf(holder);
    if (place !== -1) this.#waiting.splice(place, 1);
    const message = this.#given.get(holder);
    if (message === undefined) return;
    this.#given.delete(holder);
    const successor = this.#queue.findIndex(({ offset }) => offset > message.offset);
    this.#queue.splice(successor === -1 ? this.#queue.length : successor, 0, message);
    this.#queuedBytes += message.bytes.length;
    this.#serve();
  }

  receive(chunk: Buffer): void {
    this.#receivedOffset += chunk.length;
    for (const bytes of this.#splitter.push(chunk)) this.#enqueue(bytes);
    this.#serve();
    if (this.#splitter.failure !== undefined) throw this.#splitter.failure;
  }

  end(): void {
    // What came after the last boundary is given too: losing it would be worse than a message that is cut short. What
    // is over the limit is no message.
    const rest = this.#splitter.takeRest();
    if (rest.length > 0 && this.#splitter.failure === undefined) this.#enqueue(rest);
    this.#serve();
  }

  acknowledge(holder: FramedHolder, offset: number): void {
    const message = this.#given.get(holder);
    if (message === undefined || offset < message.offset + message.bytes.length) return;
    this.#given.delete(holder);
    this.#heldBytes -= message.bytes.length;
  }

  want(holder: FramedHolder): void {
    if (this.#given.has(holder)) {
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'WANT came before the message before was consumed');
    }
    if (this.#waiting.includes(holder)) throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'WANT came twice');
    this.#waiting.push(holder);
    this.#serve();
  }

  pump(holder: FramedHolder): void {
    const message = this.#given.get(holder);
    if (message === undefined) return;
    const end = message.offset + message.bytes.length;
    while (holder.deliveredOffset < end && holder.readRoom > 0) {
      const from = holder.deliveredOffset - message.offset;
      const bytes = message.bytes.subarray(from, from + Math.min(holder.readRoom, MAX_FRAME_PAYLOAD_BYTES));
      holder.deliver(bytes, holder.deliveredOffset + bytes.length === end);
    }
  }

  /** Nobody is told the end while a reader may still leave a message to another. */
  isDrained(): boolean {
    return this.#queue.length === 0 && this.#given.size === 0;
  }

  #enqueue(bytes: Buffer): void {
    this.#queue.push({ offset: this.#cutOffset, bytes });
    this.#cutOffset += bytes.length;
    this.#heldBytes += bytes.length;
    this.#queuedBytes += bytes.length;
  }

  #serve(): void {
    while (this.#queue.length > 0 && this.#waiting.length > 0) {
      const reader = this.#waiting.shift();
      const message = this.#queue.shift();
      if (reader === undefined || message === undefined) return;
      this.#queuedBytes -= message.bytes.length;
      this.#given.set(reader, message);
      reader.skipTo(message.offset);
      this.pump(reader);
    }
  }
}
