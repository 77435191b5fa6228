// What a worker is offered: a session that is its to take, on the trunk of its process or by a handle on its link. Which
// session is offered to whom is the business of group.ts.
import type { TrunkOffer } from '../../protocol/trunk-offers.ts';
import { encodeError } from '../../protocol/wire-error.ts';
import type { Handles } from '../handles.ts';
import type { NamedSession } from '../named/named-session.ts';
import type { Session } from '../session.ts';
import type { Offerer } from './trunk.ts';
import type { Worker } from './workers.ts';

/** A session that a worker may take. */
export interface Offer {
  worker: Worker;
  sinceMs: number;
  adopted: boolean;
  /** Who had it before, and does not get it back. */
  last: Worker | undefined;
  /** It was made on a trunk, where each offer is answered. */
  isAnswered: boolean;
  /** Takes it back there; a handle is revoked by who takes the offer back. */
  withdraw: () => void;
}

/** Bytes that may wait on a worker's link before it is told of no more failed handshakes. */
const MAX_UNTOLD_BYTES = 64 * 1024;

/**
 * Makes an offer: on the trunk where there is one and the session has a life of its own, else by a handle.
 * @param offerer told what becomes of it on a trunk
 */
export function makeOffer(
  session: Session,
  { worker, adopted, last }: Pick<Offer, 'worker' | 'adopted' | 'last'>,
  handles: Handles,
  offerer: Offerer,
): Offer {
  const { link, listener } = worker;
  const { named, info } = session;
  const { trunk } = link;
  const isAnswered = named !== undefined && trunk !== undefined;
  let withdraw = () => {};
  if (isAnswered)
    withdraw = trunk.offer((tls) => describeOffer(named, { listener, adopted, tls }), info, offerer);
  else link.send({ event: 'offer', listener, handle: handles.issue(session), adopted });
  return { worker, sinceMs: Date.now(), adopted, last, isAnswered, withdraw };
}

/** What is told of a session that nobody holds; it does not change until somebody takes it. */
function describeOffer(
  { session, name, options, reading, state }: NamedSession,
  { listener, adopted, tls }: Pick<TrunkOffer, 'listener' | 'adopted' | 'tls'>,
): TrunkOffer {
  return {
    listener,
    adopted,
    session: session.id,
    reused: session.leases > 0,
    tls,
    framed: {
      name,
      mode: options.mode,
      resumedAt: reading.committedOffset,
      writtenAt: session.bytesToPeer,
      state: state === null ? null : state.toString('base64'),
    },
  };
}

/** Nothing can be read of it and nothing written to it; a client that has only ended its side may wait for an answer. */
export function isOver(named: NamedSession): boolean {
  const { tls } = named.session;
  return named.isSpent && (tls.destroyed || tls.writableEnded);
}

/** Where a failed handshake came from. */
interface FailedClient {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly remoteFamily?: string | undefined;
}

/** Tells a worker of a handshake that failed; clients must not be able to fill the link of one that is busy. */
export function tellFailure({ link, listener }: Worker, error: Error, client: FailedClient): void {
  if (link.unsentBytes > MAX_UNTOLD_BYTES) return;
  link.send({
    event: 'client-error',
    listener,
    error: encodeError(error),
    remoteAddress: client.remoteAddress ?? null,
    remotePort: client.remotePort ?? null,
    remoteFamily: client.remoteFamily ?? null,
  });
}
