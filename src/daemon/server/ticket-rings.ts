// Which keys of session tickets a server has. ALWAYS: servers have the same ones only when they are on one address, of one
// user, and let clients in by the same rules and CA lists: a ticket carries what its client was found to be. They are kept
// for longer than a port is open: a server that is closed and listens again takes the tickets that it gave before.
import type { ServerKey } from '../../protocol/server-key.ts';
import { TicketKeyRing } from './ticket-keys.ts';

/** Rings kept; those that were used longest ago go first. */
const MAX_RINGS = 256;

/** What a server's tickets depend on. */
export interface TicketScope {
  uid: number;
  /** What was asked for, or a text of its own where the system chooses the port. */
  place: string;
  key: ServerKey;
  /** Of the context that the key names; another one for other contents. */
  contextVersion: number;
  /** It has certificates for server names, of its own or by SNICallback. */
  hasNames: boolean;
  /** Keys that the application gave. */
  fixed: Buffer | null;
}

/** All rings of the daemon. */
export class TicketRings {
  readonly #rings = new Map<string, TicketKeyRing>();

  /** The ring of a server as it is now; another one as soon as it lets clients in by other rules. */
  ringOf(scope: TicketScope): TicketKeyRing {
    // OpenSSL would take the ticket of a client that was verified for one name under another (as in CVE-2025-23419).
    const refusesAll = scope.key.requestCert && scope.hasNames;
    const ring = scope.fixed === null ? this.#named(nameOf(scope, refusesAll)) : fixedRing(scope.fixed);
    if (refusesAll) ring.refuseAll();
    return ring;
  }

  #named(name: string): TicketKeyRing {
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
}

function nameOf({ uid, place, key, contextVersion }: TicketScope, refusesAll: boolean): string {
  const { cert: _cert, key: _key, pfx: _pfx, passphrase: _passphrase, ...judgement } = key;
  return JSON.stringify([uid, place, judgement, contextVersion, refusesAll]);
}

function fixedRing(keys: Buffer): TicketKeyRing {
  const ring = new TicketKeyRing();
  ring.useFixed(keys);
  ring.stop();
  return ring;
}
