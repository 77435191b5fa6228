// What the status tells of the ports of the daemon and of their workers.
import type { BoundAddress } from './acceptor.ts';
import type { Worker } from './worker.ts';

/** A worker of a port; `stalled` ones take nothing now. */
export interface WorkerReport {
  pid: number | null;
  adopts: boolean;
  stalled: boolean;
  sessions: number;
}

/** One port of the daemon, as `status` shows it. */
export interface ServerReport {
  /** `host:port`, or the path of a Unix socket. */
  address: string | null;
  /** `null` without one. */
  name: string | null;
  /** Linked processes that serve there. */
  workers: WorkerReport[];
  /** Now: sessions that workers have, and that wait for one. */
  held: number;
  waiting: number;
  /** Since the port was opened: sessions, handshakes that failed, sessions for which there was no room, adoptions. */
  sessions: number;
  failures: number;
  refused: number;
  adoptions: number;
}

/** A worker for the report. */
export function reportWorker({ link, adopts, load, stalled }: Worker): WorkerReport {
  return { pid: link.identity.pid, adopts, stalled, sessions: load };
}

/** An address as people write it. */
export function addressText(address: BoundAddress): string {
  if (typeof address === 'string') return address;
  const { address: host, family, port } = address;
  return `${family === 'IPv6' ? `[${host}]` : host}:${port}`;
}
