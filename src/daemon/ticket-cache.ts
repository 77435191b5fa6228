// TLS session tickets, one per session key and uid, for resumption. ALWAYS: a ticket serves only the key it was
// issued under. NEVER: a ticket outlives the peer's certificate, or leaves the daemon; wrappers get an opaque name.
import { createHash } from 'node:crypto';
import { TICKET_NAME_PREFIX } from '../protocol/session-key.ts';

/** Longest life of a ticket whatever the peer says (RFC 8446 §4.6.1 allows seven days). */
const MAX_TICKET_AGE_MS = 24 * 60 * 60 * 1000;

interface Entry {
  ticket: Buffer;
  expiresAtMs: number;
}

/** The tickets; the least recently used goes first when the cache is full. */
export class TicketCache {
  readonly #capacity: number;
  readonly #entries = new Map<string, Entry>();

  /** @param capacity most tickets held at once */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Tickets held. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Keeps a ticket; it replaces an older one of the same key.
   * @param owner session key and uid as one text
   * @param ticket what node:tls emitted as `session`
   * @param certificateExpiresAtMs end of the peer certificate's validity
   */
  put(owner: string, ticket: Buffer, certificateExpiresAtMs: number): void {
    // A date that cannot be read must not make the ticket live for ever.
    const latestMs = Date.now() + MAX_TICKET_AGE_MS;
    const expiresAtMs = certificateExpiresAtMs < latestMs ? certificateExpiresAtMs : latestMs;
    this.#entries.delete(owner);
    this.#entries.set(owner, { ticket, expiresAtMs });
    if (this.#entries.size <= this.#capacity) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }

  /** The ticket for a key, if there is one that is still good. */
  get(owner: string): Buffer | undefined {
    const entry = this.#entries.get(owner);
    if (entry === undefined) return undefined;
    this.#entries.delete(owner);
    if (entry.expiresAtMs <= Date.now()) return undefined;
    this.#entries.set(owner, entry);
    return entry.ticket;
  }

  /** Forgets the ticket of a key (its peer was refused). */
  drop(owner: string): void {
    this.#entries.delete(owner);
  }
}

/** The opaque name of a ticket: equal tickets have equal names, and the name tells nothing about the ticket. */
export function ticketName(ticket: Buffer): Buffer {
  const digest = createHash('sha256').update('tlshub ticket').update(ticket).digest('base64');
  return Buffer.from(TICKET_NAME_PREFIX + digest);
}
