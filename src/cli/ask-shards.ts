// What a verb asks the daemon as a whole, when that is several processes (shards): each is asked, and what they answer is
// put together here. One that does not answer is told apart from a daemon that does not run.
import { bytesPerSession, type StatusReport } from '../daemon/status.ts';
import { messageOf } from '../errors.ts';
import { readShardCount } from '../link/shard-count.ts';
import type { LinkReply } from '../protocol/messages.ts';
import type { DaemonLink } from '../wrapper/daemon-link.ts';
import { type ClientFlags, openLink } from './client.ts';
import { directoryOf } from './daemon-options.ts';

/** The link to one shard, and what it answered. */
export interface ShardAnswer {
  readonly shard: number;
  readonly link: DaemonLink;
  /** `undefined` when it failed, for the reason in `error`. */
  readonly reply: LinkReply | undefined;
  readonly error?: unknown;
}

/** One shard in the output of `tlshub status`. */
export interface ShardLine extends Partial<Pick<StatusReport, 'links' | 'lanes' | 'sessions' | 'memory'>> {
  readonly shard: number;
  /** `null` of one that does not answer. */
  readonly pid: number | null;
  readonly uptimeMs?: number;
  readonly error?: string;
}

/**
 * Makes a call without parameters to every shard. Rejects when none of them answers it, with the first one's error.
 * @param flags which directory
 * @param name of the call
 */
export async function askShards(
  flags: ClientFlags,
  name: 'status' | 'sessions' | 'reload',
): Promise<ShardAnswer[]> {
  const shards = Array.from({ length: readShardCount(directoryOf(flags)) }, (_, shard) => shard);
  const answers = await Promise.all(shards.map((shard) => askShard(flags, shard, name)));
  if (answers.every(({ reply }) => reply === undefined)) throw answers[0]?.error;
  return answers;
}

async function askShard(
  flags: ClientFlags,
  shard: number,
  name: 'status' | 'sessions' | 'reload',
): Promise<ShardAnswer> {
  const link = await openLink(flags, shard);
  try {
    return { shard, link, reply: await link.call(name, {}) };
  } catch (error) {
    return { shard, link, reply: undefined, error };
  }
}

/** Whom to tell that the daemon is to end: the first shard, which ends the others; without it, each of them. */
export async function shardsToEnd(flags: ClientFlags): Promise<{ link: DaemonLink; pid: number }[]> {
  const answering = (await askShards(flags, 'status')).flatMap(({ shard, link, reply }) =>
    reply === undefined ? [] : [{ shard, link, pid: (reply.status as StatusReport).pid }],
  );
  return answering[0]?.shard === 0 ? answering.slice(0, 1) : answering;
}

/** The daemon as a whole: numbers are sums, the rest is the first shard's; `shards` has each of them. */
export function sumStatus(
  answers: readonly ShardAnswer[],
): Record<string, unknown> & { shards: ShardLine[] } {
  const reports = answers.flatMap(({ reply }) => (reply === undefined ? [] : [reply.status as StatusReport]));
  const [first] = reports;
  const { shard: _shard, shardCount: _count, ...whole } = first ?? ({} as StatusReport);
  const sums = Object.fromEntries(SUMS.map((field) => [field, sum(reports.map((report) => report[field]))]));
  const { rss = 0, atStart = 0 } = sums.memory as Record<string, number>;
  const perSession = bytesPerSession(rss, atStart, openSessions(sums.sessions as StatusReport['sessions']));
  return {
    ...whole,
    draining: reports.some(({ draining }) => draining),
    uptimeMs: Math.max(...reports.map(({ uptimeMs }) => uptimeMs)),
    idleMs: Math.min(...reports.map(({ idleMs }) => idleMs)),
    ...sums,
    memory: { ...(sums.memory as StatusReport['memory']), perSession },
    servers: reports.flatMap(({ servers }) => servers),
    endpoints: reports.flatMap(({ endpoints }) => endpoints),
    shards: answers.map(lineOf),
  };
}

/** Sessions of a status that are connections. */
export function openSessions(sessions: StatusReport['sessions']): number {
  const { accepted = 0, leased = 0, idle = 0, detached = 0, lingering = 0 } = sessions;
  return accepted + leased + idle + detached + lingering;
}

const SUMS = ['links', 'lanes', 'sessions', 'commands', 'handshakes', 'counters', 'memory'] as const;

/** Numbers, or numbers by name, added up; what is no number is the first one's. */
function sum(values: readonly unknown[]): unknown {
  const [first] = values;
  if (typeof first === 'number') return values.reduce((total: number, value) => total + Number(value), 0);
  if (typeof first !== 'object' || first === null) return first;
  const names = [...new Set(values.flatMap((value) => Object.keys(value as object)))];
  return Object.fromEntries(
    names.map((name) => [name, sum(values.map((value) => (value as Record<string, unknown>)[name] ?? 0))]),
  );
}

function lineOf({ shard, reply, error }: ShardAnswer): ShardLine {
  if (reply === undefined) return { shard, pid: null, error: messageOf(error) };
  const { pid, uptimeMs, links, lanes, sessions, memory } = reply.status as StatusReport;
  return { shard, pid, uptimeMs, links, lanes, sessions, memory };
}
