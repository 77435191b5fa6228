// The named sessions of the daemon: joins a name or opens it, so that two processes that ask at the same moment cause
// one handshake; sweeps those that nobody holds. A name belongs to one uid and means one session key.
import { codeOf, TlshubError } from '../../errors.ts';
import { TurnoverMap, TurnoverSet } from '../../link/turnover.ts';
import type { SessionKey } from '../../protocol/session-key.ts';
import { flawOfName } from '../../protocol/session-name.ts';
import type { Handles } from '../handles.ts';
import type { LeaseRequest, Pool } from '../pool.ts';
import type { Session } from '../session.ts';
import type { SessionTable } from '../session-table.ts';
import type { NameClaims } from '../shards/name-claims.ts';
import { OpenFailure } from '../upstream.ts';
import { type NamedOptions, NamedSession, type NamedSessionOwner } from './named-session.ts';

/** A request for a name. */
export interface NameRequest extends NamedOptions, LeaseRequest {
  name: string;
}

/** A named session that a requester was admitted to. */
export interface Joined {
  named: NamedSession;
  /** False when it was opened for this request. */
  reused: boolean;
}

/** All named sessions. */
export class Names implements NamedSessionOwner {
  readonly #pool: Pool;
  readonly #table: SessionTable;
  readonly #handles: Handles;
  readonly #claims: NameClaims;
  readonly #byName = new TurnoverMap<string, NamedSession>();
  readonly #opening = new Map<string, { request: NameRequest; session: Promise<NamedSession> }>();
  readonly #all = new TurnoverSet<NamedSession>();

  constructor(options: { pool: Pool; table: SessionTable; handles: Handles; claims: NameClaims }) {
    this.#pool = options.pool;
    this.#table = options.table;
    this.#handles = options.handles;
    this.#claims = options.claims;
  }

  /** Every named session. */
  all(): Iterable<NamedSession> & { readonly size: number } {
    return this.#all;
  }

  /** Sessions that wait for their command. */
  get parkedCount(): number {
    let count = 0;
    for (const { parking } of this.#all) if (parking !== undefined) count += 1;
    return count;
  }

  /** The session of a name. Throws ERR_TLSHUB_NAME_INVALID, ERR_TLSHUB_NAME_UNKNOWN or ERR_TLSHUB_OTHER_SHARD. */
  get(uid: number, name: string): NamedSession {
    refuseFlaw(name);
    const named = this.#byName.get(keyOf(uid, name));
    if (named === undefined) {
      this.#claims.refuseElsewhere(uid, name);
      throw new TlshubError('ERR_TLSHUB_NAME_UNKNOWN', `there is no session named "${name}"`);
    }
    return named;
  }

  /**
   * Joins the session of a name, or opens it. Rejects with OpenFailure, ERR_TLSHUB_NAME_INVALID, ERR_TLSHUB_NAME_IN_USE
   * (another session key or mode), ERR_TLSHUB_SESSION_BUSY, and what a lease rejects with.
   */
  async join(request: NameRequest): Promise<Joined> {
    refuseFlaw(request.name);
    const key = keyOf(request.uid, request.name);
    const deadlineMs = performance.now() + request.waitMs;
    for (;;) {
      const existing = await this.#existing(key, request);
      if (existing === undefined) {
        this.#claims.refuseElsewhere(request.uid, request.name);
        const named = await this.#open(key, request);
        await named.admit(request.waitMs, request.abandoned);
        return { named, reused: false };
      }
      refuseDifference(existing, request);
      try {
        await existing.admit(Math.max(0, deadlineMs - performance.now()), request.abandoned);
      } catch (error) {
        // It ended while we waited for it: the name is free.
        if (codeOf(error) === 'ERR_TLSHUB_NAME_UNKNOWN') continue;
        throw error;
      }
      if (!existing.isSpent) return { named: existing, reused: true };
      existing.dismiss();
    }
  }

  /** The live session of a name, also one that is just being opened; what became of that is the opener's error too. */
  async #existing(key: string, request: NameRequest): Promise<NamedSession | undefined> {
    for (let opening = this.#opening.get(key); opening !== undefined; opening = this.#opening.get(key)) {
      try {
        await opening.session;
      } catch (error) {
        // Only who wants the very same from the same peer has failed with it.
        if (error instanceof OpenFailure && isEqual(opening.request.key, request.key)) throw error;
      }
    }
    const named = this.#byName.get(key);
    return named?.isSpent === true ? undefined : named;
  }

  /** Gives a session that has no other occupant a life of its own, with or without a name. */
  adopt(session: Session, name: string | null, options: NamedOptions): NamedSession {
    const named = new NamedSession(session, name, options, this);
    this.#all.add(named);
    if (name !== null) this.#byName.set(keyOf(session.uid, name), named);
    this.#table.move(session, 'lingering');
    return named;
  }

  /** Names a session that has none, or renames it. Throws ERR_TLSHUB_NAME_INVALID or ERR_TLSHUB_NAME_IN_USE. */
  rename(named: NamedSession, name: string): void {
    if (named.name === name) return;
    this.refuseTaken(named.session.uid, name);
    this.#forgetName(named);
    named.name = name;
    this.#byName.set(keyOf(named.session.uid, name), named);
  }

  /** Another session got the name of this one; who has it keeps it, without a name. */
  unname(named: NamedSession): void {
    this.#forgetName(named);
    named.name = null;
  }

  /** Closes what nobody has held for its linger. */
  sweep(nowMs: number): void {
    for (const named of this.#all) {
      if (named.unheldSinceMs === undefined || named.parking !== undefined || named.waiting > 0) continue;
      if (nowMs - named.unheldSinceMs >= named.options.lingerMs) named.close('nobody held it for its linger');
    }
  }

  namedOnHeld(named: NamedSession, held: boolean): void {
    if (named.session.state !== 'closed') this.#table.move(named.session, held ? 'leased' : 'lingering');
    if (!held) named.session.home?.sessionOnUnheld(named);
  }

  namedOnOver(named: NamedSession): void {
    this.#all.delete(named);
    this.#forgetName(named);
    this.#claims.release(named.session);
    this.#handles.revoke(named.session);
    named.session.home?.sessionOnGone(named.session);
  }

  #forgetName({ name, session }: NamedSession): void {
    if (name === null || this.#byName.get(keyOf(session.uid, name))?.session !== session) return;
    this.#byName.delete(keyOf(session.uid, name));
  }

  #open(key: string, request: NameRequest): Promise<NamedSession> {
    const { mode, messages, lingerMs } = request;
    const opening = this.#pool
      .openAlone(request)
      .then((session) => this.adopt(session, request.name, { mode, messages, lingerMs }))
      .finally(() => this.#opening.delete(key));
    this.#opening.set(key, { request, session: opening });
    return opening;
  }

  /** Throws ERR_TLSHUB_NAME_INVALID or ERR_TLSHUB_NAME_IN_USE when a name cannot be given to a session. */
  refuseTaken(uid: number, name: string): void {
    refuseFlaw(name);
    const key = keyOf(uid, name);
    const named = this.#byName.get(key);
    const isFree = !this.#opening.has(key) && (named === undefined || named.isSpent);
    if (isFree && !this.#claims.isHeld(uid, name)) return;
    throw new TlshubError('ERR_TLSHUB_NAME_IN_USE', `another session is named "${name}"`);
  }
}

function refuseFlaw(name: string): void {
  const flaw = flawOfName(name);
  if (flaw !== undefined) throw new TlshubError('ERR_TLSHUB_NAME_INVALID', flaw);
}

function refuseDifference({ session, options }: NamedSession, request: NameRequest): void {
  const { key } = session;
  if (key === null)
    throw new TlshubError('ERR_TLSHUB_NAME_IN_USE', `"${request.name}" is the session of a server`);
  const fields = Object.keys(request.key) as (keyof SessionKey)[];
  const differing: string[] = fields.filter((field) => !isEqual(key[field], request.key[field]));
  if (options.mode !== request.mode) differing.push('mode');
  if (!isEqual(options.messages, request.messages)) differing.push('messages');
  if (differing.length === 0) return;
  throw new TlshubError(
    'ERR_TLSHUB_NAME_IN_USE',
    `the session named "${request.name}" was opened with another ${differing.map((name) => `"${name}"`).join(', ')}`,
  );
}

function isEqual(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

function keyOf(uid: number, name: string): string {
  return `${uid} ${name}`;
}
