// What the connections of an endpoint need of the daemon, and what the endpoint needs of them: types only.
//
// endpoint.ts makes the target and owns the connections; raw-connection.ts and http-connection.ts serve one client each.

import type { AbandonSignal } from '../abandonment.ts';
import type { Logger } from '../log.ts';
import type { Session } from '../session.ts';

/** The origin of an endpoint, as its connections see it: sessions to lease, and how it is called. */
export interface EndpointTarget {
  /** `host` or `host:port` of the target, as the Host header has it (the port is left out when it is 443). */
  readonly authority: string;
  readonly keepHost: boolean;
  /** False for a request's host that is refused; absent: all are served. */
  servesHost?(host: string): boolean;
  /** Leases a session: an idle one of the pool, or a new one; `fresh`: never an idle one. Rejects with OpenFailure or TlshubError. */
  lease(options: {
    abandoned: AbandonSignal;
    fresh?: boolean;
  }): Promise<{ session: Session; reused: boolean }>;
  /**
   * Leases an idle session of the pool at once; `undefined` when that is not possible, and `lease` is to be asked. The
   * caller occupies the session before it does anything else.
   */
  leaseIdle(): Session | undefined;
  /** Gives a session back without doubt, warm; from then on it has another occupant. */
  release(session: Session): void;
  readonly log: Logger;
}

/** One client's connection to an endpoint. */
export interface EndpointConnection {
  /** Bytes that were given to the client. */
  readonly bytesToClient: number;
  /** Finish what is under way, take nothing new, then close. */
  drain(): void;
  /** Close at once. */
  destroy(): void;
}

/** What a connection tells when it is over; bytes the endpoint counts itself. */
export interface EndpointCounts {
  /** Requests that were taken from the client; 0 of kind raw. */
  readonly requests: number;
}
