// The ticket keys of servers, for longer than their ports are open: a server that is closed and listens again with the
// same options takes the tickets that it gave before. Called by groups.ts.
import { TicketKeyRing } from './ticket-keys.ts';

/** Rings kept; those that were used longest ago go first. */
const MAX_RINGS = 256;

/** Rings by what a server is. */
export class TicketRings {
  readonly #rings = new Map<string, TicketKeyRing>();

  /**
   * The ring of a server. Two servers have the same one only when they are on one address, of one user, and judge their
   * clients alike: a ticket carries what its client was found to be.
   * @param address what was asked for; `undefined` where the system chooses: such a server gets a ring of its own
   * @param judgement what it judges its clients by, as one text
   */
  ringOf(uid: number, address: string | undefined, judgement: string): TicketKeyRing {
    if (address === undefined) return new TicketKeyRing();
    const name = JSON.stringify([uid, address, judgement]);
    const ring = this.#rings.get(name) ?? new TicketKeyRing();
    this.#rings.delete(name);
    this.#rings.set(name, ring);
    for (const [oldest, dropped] of this.#rings) {
      if (this.#rings.size <= MAX_RINGS) break;
      dropped.stop();
      this.#rings.delete(oldest);
    }
    return ring;
  }

  /** A server uses a ring no longer: one that no other server can get has no more keys to make. */
  release(ring: TicketKeyRing): void {
    if (![...this.#rings.values()].includes(ring)) ring.stop();
  }
}
