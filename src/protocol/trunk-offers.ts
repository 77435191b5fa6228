// What a worker is told of a session that it is offered on its trunk. The sessions of one server are much alike: each offer
// leaves out what its session has in common with the one offered before it. Pure; called by both ends of a trunk, each of
// which keeps the description that went last.
import { type LaneReply, type TlsInfo, tlsInfoSchema } from './messages.ts';

/** What an OFFER frame carries as JSON. */
export interface TrunkOffer {
  listener: number;
  /** Another worker had the session before. */
  adopted: boolean;
  session: string;
  reused: boolean;
  /** Without the fields that are as in the offer before it on this trunk. */
  tls: Partial<TlsInfo>;
  framed: Omit<NonNullable<Extract<LaneReply, { rc: 1 }>['framed']>, 'commit'>;
}

/** A session that was offered, with its whole description. */
export type OfferedOnTrunk = Omit<TrunkOffer, 'tls'> & { tls: TlsInfo };

const FIELDS = Object.keys(tlsInfoSchema.entries) as (keyof TlsInfo)[];

/**
 * What of a description the other end does not know.
 * @param before the description that was sent last on the trunk; `undefined` for the first one
 */
export function shortenInfo(info: TlsInfo, before: TlsInfo | undefined): Partial<TlsInfo> {
  if (before === undefined) return info;
  const short: Record<string, unknown> = {};
  for (const field of FIELDS) if (!isSame(info[field], before[field])) short[field] = info[field];
  return short;
}

/**
 * The whole description again.
 * @param before the description that came last on the trunk; `undefined` for the first one
 */
export function completeInfo(short: Partial<TlsInfo>, before: TlsInfo | undefined): TlsInfo {
  return { ...before, ...short } as TlsInfo;
}

/** Equal texts, numbers and truths, and equal lists and records of them. */
function isSame(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (Array.isArray(left) && Array.isArray(right))
    return left.length === right.length && left.every((each, place) => each === right[place]);
  const [one, other] = [left as Record<string, unknown>, right as Record<string, unknown>];
  const fields = Object.keys(one);
  return (
    fields.length === Object.keys(other).length && fields.every((field) => isSame(one[field], other[field]))
  );
}
