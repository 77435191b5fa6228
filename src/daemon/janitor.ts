// The janitor: one timer that enforces every limit of time and memory on what lives in the daemon. Its rules are
// methods of those who know the things; it only decides when.

import { TlshubError } from '../errors.ts';
import type { DaemonConfig } from './config.ts';
import type { Endpoints } from './endpoint/endpoints.ts';
import type { LaneDesk } from './lane-desk.ts';
import type { Names } from './named/names.ts';
import type { Pool } from './pool.ts';
import type { Groups } from './server/groups.ts';
import type { Session } from './session.ts';
import type { SessionTable } from './session-table.ts';

/** Milliseconds between two sweeps; no limit is enforced more exactly than that. */
const SWEEP_INTERVAL_MS = 500;
/** However short a limit is. */
const LEAST_INTERVAL_MS = 20;

interface JanitorOptions {
  config: DaemonConfig;
  table: SessionTable;
  pool: Pool;
  lanes: LaneDesk;
  names: Names;
  groups: Groups;
  endpoints: Endpoints;
  /** Processes that are linked now. */
  linkCount(): number;
  /** Nobody has needed the daemon for `idleExitMs`. */
  onIdle(): void;
}

/** Sweeps until it is stopped. */
export class Janitor {
  readonly #options: JanitorOptions;
  readonly #timer: NodeJS.Timeout;
  #neededAtMs = Date.now();

  constructor(options: JanitorOptions) {
    this.#options = options;
    this.#timer = setInterval(
      () => this.sweep(Date.now()),
      Math.max(LEAST_INTERVAL_MS, Math.min(SWEEP_INTERVAL_MS, options.config.poolIdleMs)),
    );
  }

  /** Milliseconds in which nobody has needed the daemon. */
  idleMs(nowMs = Date.now()): number {
    return nowMs - this.#neededAtMs;
  }

  /** One sweep. */
  sweep(nowMs: number): void {
    this.#options.pool.sweepIdle(nowMs);
    this.#sweepDetached(nowMs);
    this.#options.names.sweep(nowMs);
    this.#options.groups.sweep(nowMs);
    this.#options.endpoints.sweep(nowMs);
    this.#sweepBuffers();
    this.#watchIdleness(nowMs);
  }

  /** No more sweeps. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #sweepDetached(nowMs: number): void {
    const { table, config } = this.#options;
    for (const session of table.inState('detached')) {
      if (nowMs - session.stateSinceMs < config.handleTtlMs) return;
      session.close('its handle was not used in time', 'orderly');
    }
  }

  /** Streams bound each session; this bounds all of a user's sessions together, the fullest one pays. */
  #sweepBuffers(): void {
    const { lanes, names, endpoints, config } = this.#options;
    const holding: Buffering[] = [...lanes.leases(), ...names.all(), ...endpoints.leases()];
    const bytesOfUid = new Map<number, number>();
    for (const { session, bufferedBytes } of holding)
      bytesOfUid.set(session.uid, (bytesOfUid.get(session.uid) ?? 0) + bufferedBytes);
    for (const [uid, bytes] of bytesOfUid) {
      if (bytes <= config.maxBufferedBytes) continue;
      let fullest: Buffering | undefined;
      for (const one of holding) {
        if (one.session.uid === uid && one.bufferedBytes > (fullest?.bufferedBytes ?? 0)) fullest = one;
      }
      const error = new TlshubError(
        'ERR_TLSHUB_LIMIT',
        'the sessions of this user hold too many bytes unread',
      );
      const reason = 'the buffers of its user are over the limit';
      // A named session would keep what it holds, for a reader.
      const { session } = fullest ?? {};
      session?.close(reason, 'abrupt', error);
      session?.named?.close(reason, error);
    }
  }

  #watchIdleness(nowMs: number): void {
    const { table, names, groups, endpoints, pool, config, linkCount, onIdle } = this.#options;
    // A session that has ended may still have something for a reader, or a command to start.
    const live = table.size + names.all().size + groups.all().size + endpoints.size;
    if (live > 0 || pool.opening > 0 || linkCount() > 0) this.#neededAtMs = nowMs;
    else if (config.idleExitMs > 0 && nowMs - this.#neededAtMs >= config.idleExitMs) onIdle();
  }
}

/** A lease or a named session. */
interface Buffering {
  readonly bufferedBytes: number;
  readonly session: Session;
}
