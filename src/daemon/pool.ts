// The pool: idle sessions waiting to be leased, and requests waiting for a session.
// ALWAYS: a request gets a session of its own uid and of an equal session key, compared in full.
// ALWAYS: waiting requests are served first come, first served, per session key.
// NEVER: a session with a doubt about its bytes enters the pool; the relay says whether there is one.

import { TlshubError } from '../errors.ts';
import { TurnoverMap } from '../link/turnover.ts';
import type { SessionKey } from '../protocol/session-key.ts';
import { Abandonment, type AbandonSignal } from './abandonment.ts';
import type { DaemonConfig } from './config.ts';
import type { ResolvedContext } from './contexts/contexts.ts';
import { IdleWatch } from './idle-watch.ts';
import { ownerOf } from './owner.ts';
import { Session } from './session.ts';
import type { SessionTable } from './session-table.ts';
import { Tally } from './tally.ts';
import type { TicketCache } from './ticket-cache.ts';
import type { OnOpenEvent, Upstream } from './upstream.ts';

const TOO_OLD = 'reached its greatest age';

/** A session ready for a lease. */
export interface Leased {
  session: Session;
  /** False when the session was opened for this request. */
  reused: boolean;
}

/** A request for a session. */
export interface LeaseRequest {
  /** Whose session. */
  uid: number;
  /** What session. */
  key: SessionKey;
  /** What the key's `context` stands for; absent where it names none. */
  context?: ResolvedContext | undefined;
  /** Milliseconds to wait when a limit is reached; 0 fails at once. */
  waitMs: number;
  /** Aborted when the holder is gone. */
  abandoned: AbandonSignal;
  /** No idle session serves. */
  fresh?: boolean;
  /** Told of the events on the way to a new session. */
  onOpenEvent: OnOpenEvent;
}

/** What a waiting request is given: a session that became free, or a slot in which to open one. */
type Grant = Session | 'slot';

interface Waiter {
  uid: number;
  owner: string;
  /** Whether a session that became free serves, or only a slot for a new one. */
  takesSessions: boolean;
  grant(what: Grant): void;
  refuse(error: Error): void;
}

interface PoolOptions {
  config: DaemonConfig;
  table: SessionTable;
  upstream: Upstream;
  tickets: TicketCache;
  /** Called once for each session that is gone. */
  sessionOnClosed(session: Session): void;
}

/** Leases sessions and takes them back. */
export class Pool {
  readonly #config: DaemonConfig;
  readonly #table: SessionTable;
  readonly #upstream: Upstream;
  readonly #tickets: TicketCache;
  readonly #sessionOnClosed: (session: Session) => void;
  /** Idle sessions by owner, the one used last at the end. */
  readonly #idle = new TurnoverMap<string, Session[]>();
  /** Sessions open or being opened. */
  readonly #slotsOfOwner = new Tally<string>();
  readonly #slotsOfUid = new Tally<number>();
  #waiters: Waiter[] = [];
  #opening = 0;
  #draining = false;
  readonly counters = {
    handshakes: 0,
    resumptions: 0,
    openFailures: 0,
    leases: 0,
    reuses: 0,
    waits: 0,
    waitMs: 0,
  };

  constructor(options: PoolOptions) {
    this.#config = options.config;
    this.#table = options.table;
    this.#upstream = options.upstream;
    this.#tickets = options.tickets;
    this.#sessionOnClosed = options.sessionOnClosed;
  }

  /** Sessions being opened now. */
  get opening(): number {
    return this.#opening;
  }

  /** Requests that wait for a session. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /**
   * A session for one holder: an idle one of the same owner, or a new one, or the next that becomes free. Rejects
   * with OpenFailure (the peer's fault), ERR_TLSHUB_POOL_TIMEOUT, ERR_TLSHUB_LIMIT or ERR_TLSHUB_DRAINING.
   */
  async lease(request: LeaseRequest): Promise<Leased> {
    if (this.#draining) throw new TlshubError('ERR_TLSHUB_DRAINING');
    const { uid, key, context, waitMs, abandoned, fresh = false } = request;
    const owner = ownerOf(uid, key, context);
    let grant: Grant | undefined;
    if (!this.#waiters.some((waiter) => waiter.owner === owner)) {
      if (fresh) this.#makeRoom(owner);
      else {
        grant = this.#takeIdle(owner);
        grant?.occupy(undefined);
      }
      grant ??= this.#reserve(uid, owner) ? 'slot' : undefined;
    }
    grant ??= await this.#wait(uid, owner, waitMs, abandoned, !fresh);
    const leased =
      grant === 'slot'
        ? { session: await this.#open(request, owner), reused: false }
        : { session: grant, reused: true };
    if (abandoned.aborted) {
      this.giveBack(leased.session);
      throw new TlshubError('ERR_TLSHUB_NOT_LEASED', 'the holder went away before its session was ready');
    }
    this.#beginLease(leased.session, leased.reused);
    return leased;
  }

  /**
   * What {@link lease} would answer, where it need not wait for anything: an idle session of the same owner that no
   * request before this one waits for. The caller occupies it before it does anything else; until then it is watched.
   */
  leaseIdle(uid: number, key: SessionKey, context: ResolvedContext | undefined): Session | undefined {
    if (this.#draining || this.#waiters.length > 0) return undefined;
    const session = this.#takeIdle(ownerOf(uid, key, context));
    if (session !== undefined) this.#beginLease(session, true);
    return session;
  }

  /**
   * A new session for a life of its own: no idle one serves, for its peer must not have said anything to others.
   * Rejects as {@link lease}.
   */
  async openAlone(request: Omit<LeaseRequest, 'abandoned'>): Promise<Session> {
    if (this.#draining) throw new TlshubError('ERR_TLSHUB_DRAINING');
    const { uid, key, context, waitMs } = request;
    const owner = ownerOf(uid, key, context);
    if (!this.#reserve(uid, owner)) await this.#wait(uid, owner, waitMs, new Abandonment().signal, false);
    return this.#open(request, owner);
  }

  /**
   * Takes back a session about whose bytes there is no doubt, from its occupant if it has one; it waits for the next
   * holder, or serves one now. Answers why it is closed instead.
   */
  giveBack(session: Session): string | undefined {
    const obstacle = this.#obstacleToPooling(session);
    if (obstacle !== undefined) {
      session.occupy(undefined);
      session.close(obstacle, 'orderly');
      return obstacle;
    }
    const { owner } = session;
    const next = this.#waiters.find((waiter) => waiter.takesSessions && waiter.owner === owner);
    if (next !== undefined) {
      session.occupy(undefined);
      next.grant(session);
      return undefined;
    }
    this.#table.move(session, 'idle');
    const idle = this.#idle.get(owner);
    if (idle === undefined) this.#idle.set(owner, [session]);
    else idle.push(session);
    new IdleWatch(session, () => this.#forgetIdle(session));
    this.#serveSlots();
    return undefined;
  }

  /** Closes the idle sessions that were unused for too long or are too old; returns how many. */
  sweepIdle(nowMs: number): number {
    let closed = 0;
    for (const session of this.#table.inState('idle')) {
      // The list is in the order of entry, so the first one that may stay ends the sweep of unused ones.
      if (nowMs - session.stateSinceMs < this.#config.poolIdleMs) break;
      this.#forgetIdle(session);
      session.close('idle in the pool for too long', 'orderly');
      closed += 1;
    }
    return closed;
  }

  /** The peer of this session was refused: nothing of it is used again, no ticket and no idle sister session. */
  refuse(session: Session): void {
    const { owner } = session;
    this.#tickets.drop(owner);
    for (const idle of this.#idle.get(owner) ?? []) idle.close('its peer was refused', 'orderly');
    this.#idle.delete(owner);
    const reason = 'its peer was refused by checkServerIdentity';
    // The holder of a pooled session is the one that refused; a named session may have others, who must be told.
    const error = session.named && new TlshubError('ERR_TLSHUB_CLOSED', `${reason} of another process`);
    session.close(reason, 'abrupt', error);
  }

  /** From now on no lease is given; idle sessions are closed and waiting requests refused. */
  drain(): void {
    this.#draining = true;
    for (const session of [...this.#table.inState('idle')])
      session.close('the daemon is shutting down', 'orderly');
    this.#idle.clear();
    for (const waiter of [...this.#waiters]) waiter.refuse(new TlshubError('ERR_TLSHUB_DRAINING'));
  }

  #beginLease(session: Session, reused: boolean): void {
    this.#table.move(session, 'leased');
    session.leases += 1;
    this.counters.leases += 1;
    if (reused) this.counters.reuses += 1;
  }

  #obstacleToPooling(session: Session): string | undefined {
    if (session.side === 'server') return 'the session of a server is not pooled';
    if (session.tainted !== undefined) return session.tainted;
    if (session.peerEnded) return 'the peer has ended the session';
    if (session.hasUnread) return 'the peer sent bytes that nobody read';
    if (this.#draining) return 'the daemon is shutting down';
    if (this.#isTooOld(session)) return TOO_OLD;
    return undefined;
  }

  #isTooOld(session: Session): boolean {
    return Date.now() - session.createdAtMs > this.#config.sessionAgeMs;
  }

  async #open(
    { uid, key, context, onOpenEvent }: Omit<LeaseRequest, 'abandoned'>,
    owner: string,
  ): Promise<Session> {
    this.#opening += 1;
    try {
      if (this.#draining) throw new TlshubError('ERR_TLSHUB_DRAINING');
      const opened = await this.#upstream.open(key, owner, onOpenEvent, context);
      if (opened.info.resumed) this.counters.resumptions += 1;
      else this.counters.handshakes += 1;
      const session = new Session(
        {
          id: this.#table.nextId(),
          uid,
          side: 'client',
          peer: key.path ?? `${key.host}:${key.port}`,
          key,
          owner,
          ...opened,
        },
        (closed) => {
          this.#forgetIdle(closed);
          this.#table.move(closed, 'closed');
          this.#freeSlot(uid, owner);
          this.#sessionOnClosed(closed);
        },
      );
      this.#table.add(session);
      return session;
    } catch (error) {
      this.counters.openFailures += 1;
      this.#freeSlot(uid, owner);
      throw error;
    } finally {
      this.#opening -= 1;
    }
  }

  #takeIdle(owner: string): Session | undefined {
    const idle = this.#idle.get(owner);
    for (let session = idle?.pop(); session !== undefined; session = idle?.pop()) {
      if (session.peerEnded || session.tls.destroyed || session.hasUnread) continue;
      if (this.#isTooOld(session)) {
        session.close(TOO_OLD, 'orderly');
        continue;
      }
      if (idle?.length === 0) this.#idle.delete(owner);
      return session;
    }
    this.#idle.delete(owner);
    return undefined;
  }

  #forgetIdle(session: Session): void {
    const { owner } = session;
    const idle = this.#idle.get(owner);
    // Sweeps take the oldest, at the front, so the search is short where there are many.
    const index = idle?.indexOf(session) ?? -1;
    if (index !== -1) idle?.splice(index, 1);
    if (idle?.length === 0) this.#idle.delete(owner);
  }

  /** Takes a slot for a new session; at the uid's limit the session that was idle longest makes room. */
  #reserve(uid: number, owner: string): boolean {
    if (this.#slotsOfOwner.get(owner) >= this.#config.maxSessionsPerKey) return false;
    if (this.#slotsOfUid.get(uid) >= this.#config.maxSessions && !this.#evictIdle(uid)) return false;
    this.#slotsOfOwner.add(owner, 1);
    this.#slotsOfUid.add(uid, 1);
    return true;
  }

  /** At the limit of a session key an idle session makes room for one that must be new. */
  #makeRoom(owner: string): void {
    if (this.#slotsOfOwner.get(owner) < this.#config.maxSessionsPerKey) return;
    const [idle] = this.#idle.get(owner) ?? [];
    if (idle === undefined) return;
    this.#forgetIdle(idle);
    idle.close('made room for another session', 'abrupt');
  }

  #evictIdle(uid: number): boolean {
    for (const session of this.#table.inState('idle')) {
      if (session.uid !== uid) continue;
      this.#forgetIdle(session);
      session.close('made room for another session', 'abrupt');
      return true;
    }
    return false;
  }

  #freeSlot(uid: number, owner: string): void {
    this.#slotsOfOwner.add(owner, -1);
    this.#slotsOfUid.add(uid, -1);
    this.#serveSlots();
  }

  #serveSlots(): void {
    if (this.#waiters.length === 0) return;
    for (const waiter of [...this.#waiters]) {
      if (!this.#reserve(waiter.uid, waiter.owner)) continue;
      waiter.grant('slot');
      return;
    }
  }

  #wait(
    uid: number,
    owner: string,
    waitMs: number,
    abandoned: AbandonSignal,
    takesSessions = true,
  ): Promise<Grant> {
    return new Promise((resolve, reject) => {
      const startedAtMs = performance.now();
      const leave = () => {
        clearTimeout(timer);
        abandoned.removeEventListener('abort', holderOnAbandon);
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        this.counters.waitMs += Math.round(performance.now() - startedAtMs);
      };
      const waiter: Waiter = {
        uid,
        owner,
        takesSessions,
        grant: (what) => {
          leave();
          resolve(what);
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      const timer = setTimeout(() => waiter.refuse(this.#overLimit(owner, waitMs)), waitMs);
      const holderOnAbandon = () => waiter.refuse(new TlshubError('ERR_TLSHUB_NOT_LEASED'));
      abandoned.addEventListener('abort', holderOnAbandon);
      this.counters.waits += 1;
      this.#waiters.push(waiter);
    });
  }

  #overLimit(owner: string, waitMs: number): TlshubError {
    const { maxSessions, maxSessionsPerKey } = this.#config;
    const ofKey = this.#slotsOfOwner.get(owner) >= maxSessionsPerKey;
    const limit = ofKey
      ? `${maxSessionsPerKey} sessions of this session key`
      : `${maxSessions} sessions of this user`;
    return new TlshubError(
      'ERR_TLSHUB_POOL_TIMEOUT',
      `no session became free within ${waitMs} ms: ${limit} are in use; release sessions, or raise the limit`,
    );
  }
}
