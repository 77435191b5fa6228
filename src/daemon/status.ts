// What the daemon tells about itself and its sessions: the shapes behind `tlshub status`, `sessions` and `inspect`
// and `tls.sessions()`. Nothing secret passes here: no key, passphrase, ticket or handle.
import type { EndpointReport } from '../protocol/endpoint-report.ts';
import { SECRET_KEY_FIELDS, type SessionKey } from '../protocol/session-key.ts';
import type { ParkedReport, SessionReport } from '../protocol/session-report.ts';
import type { ContextCounts } from './contexts/contexts.ts';
import type { NamedSession } from './named/named-session.ts';
import type { ServerReport } from './server/server-report.ts';
import type { Session } from './session.ts';

/** The daemon, as `status` shows it. */
export interface StatusReport {
  version: string;
  protocol: number;
  pid: number;
  node: string;
  directory: string;
  generation: string;
  /** Which of the directory's daemon processes this is, and how many there are. */
  shard: number;
  shardCount: number;
  uptimeMs: number;
  /** Time in which nobody has needed this process. */
  idleMs: number;
  draining: boolean;
  links: number;
  lanes: number;
  /** Now: sessions by state, being opened, named, parked; requests waiting. */
  sessions: Record<string, number>;
  /** Of the configuration file, by side. */
  contexts: ContextCounts;
  /** Commands of parked sessions. */
  commands: { running: number; queued: number };
  /** Open ports. */
  servers: ServerReport[];
  /** Open endpoints, and those of the configuration that could not be opened. */
  endpoints: EndpointReport[];
  /** Handshakes of clients now, those that wait their turn, and connections that were turned away since the start. */
  handshakes: { inFlight: number; waiting: number; turnedAway: number };
  /** Since the start. */
  counters: Record<string, number>;
  memory: Record<string, number>;
}

/**
 * Describes a session.
 * @param detail `in full` adds the session key without its secrets
 */
export function describeSession(session: Session, detail?: 'in full'): SessionReport {
  const { info, key, named } = session;
  const nowMs = Date.now();
  return {
    id: session.id,
    state: session.state === 'closed' ? 'ended' : session.state,
    name: named?.name ?? null,
    mode: named?.options.mode ?? null,
    side: session.side,
    peer: session.peer,
    servername: info.servername === false ? null : info.servername,
    alpn: info.alpnProtocol === false ? null : info.alpnProtocol,
    protocol: info.protocol,
    cipher: info.cipher?.name ?? null,
    authorized: info.authorized,
    resumed: info.resumed,
    leases: session.leases,
    holders: holdersOf(session),
    endpoint: (session.state === 'leased' && session.holder?.endpoint) || null,
    waiting: named?.waiting ?? 0,
    parked: parkedReport(named),
    ageMs: nowMs - session.createdAtMs,
    stateMs: nowMs - session.stateSinceMs,
    idleMs: nowMs - session.lastByteAtMs,
    bytesFromPeer: session.bytesFromPeer,
    bytesToPeer: session.bytesToPeer,
    receivedOffset: named?.reading.receivedOffset ?? null,
    committedOffset: named?.reading.committedOffset ?? null,
    unreadBytes: unreadBytesOf(session),
    bufferedBytes: session.bufferedBytes + (named?.bufferedBytes ?? 0),
    writes: session.writes,
    waits: session.waits,
    waitMs: session.waitMs,
    reason: session.closeReason ?? session.tainted ?? named?.parking?.lastFailure ?? null,
    ...(detail && key !== null && { key: withoutSecrets(key) }),
  };
}

function holdersOf({ named, state, holder }: Session): SessionReport['holders'] {
  if (named !== undefined) {
    return [...named.holders].map(({ lane }) => ({ pid: lane.holder.pid, uid: lane.holder.uid }));
  }
  return state === 'leased' && holder !== undefined ? [{ pid: holder.pid, uid: holder.uid }] : [];
}

function parkedReport(named: NamedSession | undefined): ParkedReport | null {
  const parking = named?.parking;
  if (parking === undefined) return null;
  const { order, reason = null, tries } = parking;
  return { program: order.run[0] ?? '', reason, tries };
}

function unreadBytesOf({ tls, unread, named }: Session): number {
  let bytes = tls.readableLength + (named?.reading.heldBytes ?? 0);
  for (const part of unread) bytes += part.length;
  return bytes;
}

/** What passed through sessions. */
type Traffic = Pick<Session, 'bytesFromPeer' | 'bytesToPeer' | 'writes' | 'waits' | 'waitMs'>;

/** Nothing yet. */
export function noTraffic(): Traffic {
  return { bytesFromPeer: 0, bytesToPeer: 0, writes: 0, waits: 0, waitMs: 0 };
}

/** Adds what passed through a session. */
export function addTraffic(sum: Traffic, session: Traffic): void {
  for (const name of Object.keys(sum) as (keyof Traffic)[]) sum[name] += session[name];
}

/**
 * The counters of the daemon: those of the pool, and what passed through its sessions.
 * @param closed sum of the sessions that are gone
 */
export function addCounters(
  pool: Readonly<Record<string, number>>,
  closed: Traffic,
  open: Iterable<Session>,
): Record<string, number> {
  const sum = { ...closed };
  for (const session of open) addTraffic(sum, session);
  const { waits = 0, waitMs = 0 } = pool;
  return { ...pool, ...sum, waits: waits + sum.waits, waitMs: waitMs + sum.waitMs };
}

/** How many named sessions there are, with or without a name, and of what kind. */
export function countNamed(all: Iterable<NamedSession>): Record<'named' | 'parked' | 'ended', number> {
  const counts = { named: 0, parked: 0, ended: 0 };
  for (const { name, parking, session } of all) {
    // Those of servers have a life of their own without anybody having named them.
    if (session.side === 'client' || name !== null) counts.named += 1;
    if (parking !== undefined) counts.parked += 1;
    if (session.state === 'closed') counts.ended += 1;
  }
  return counts;
}

/**
 * The memory of this process, in bytes. `perSession` is what has come since the start, divided among the open sessions: with
 * few of them mostly what everyone shares, with thousands what one costs.
 * @param atStart resident memory before the first session
 */
export function describeMemory(atStart: number, sessions: number): Record<string, number> {
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heapUsed, external, atStart, perSession: bytesPerSession(rss, atStart, sessions) };
}

/** What one of so many sessions takes, of the resident memory beyond that at the start. */
export function bytesPerSession(rss: number, atStart: number, sessions: number): number {
  return sessions === 0 ? 0 : Math.max(0, Math.round((rss - atStart) / sessions));
}

function withoutSecrets(key: SessionKey): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(key)) {
    if (value === null) continue;
    shown[field] = (SECRET_KEY_FIELDS as readonly string[]).includes(field) ? '(secret)' : value;
  }
  return shown;
}
