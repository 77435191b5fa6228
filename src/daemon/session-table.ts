// All sessions of the daemon, one list per state. `move` is the only writer of a session's state, so the lists and
// the counts that status shows are always true.

import { TurnoverMap, TurnoverSet } from '../link/turnover.ts';
import { sessionIdPrefix } from '../protocol/shard.ts';
import { SESSION_STATES, type Session, type SessionState } from './session.ts';

/** The sessions by id and by state. */
export class SessionTable {
  readonly #byId = new TurnoverMap<string, Session>();
  readonly #byState: Record<Exclude<SessionState, 'closed'>, TurnoverSet<Session>> = {
    accepted: new TurnoverSet(),
    leased: new TurnoverSet(),
    idle: new TurnoverSet(),
    detached: new TurnoverSet(),
    lingering: new TurnoverSet(),
  };
  readonly #idPrefix: string;
  #nextId = 1;

  /** @param shard which of the directory's daemon processes this is */
  constructor(shard = 0) {
    this.#idPrefix = sessionIdPrefix(shard);
  }

  /** An id that no session of this daemon had before. */
  nextId(): string {
    return `${this.#idPrefix}${this.#nextId++}`;
  }

  /** Takes a new session in, in the state it has. */
  add(session: Session): void {
    this.#byId.set(session.id, session);
    if (session.state !== 'closed') this.#byState[session.state].add(session);
  }

  /** Puts a session into a state; `closed` takes it out of the table for good. */
  move(session: Session, state: SessionState): void {
    if (session.state !== 'closed') this.#byState[session.state].delete(session);
    session.state = state;
    session.stateSinceMs = Date.now();
    if (state !== 'closed') {
      this.#byState[state].add(session);
    } else {
      this.#byId.delete(session.id);
    }
  }

  /** The open session with this id. */
  get(id: string): Session | undefined {
    return this.#byId.get(id);
  }

  /** All open sessions, oldest first. */
  all(): IterableIterator<Session> {
    return this.#byId.values();
  }

  /** The sessions of one state, the one that has been in it longest first. */
  inState(state: Exclude<SessionState, 'closed'>): Iterable<Session> & { readonly size: number } {
    return this.#byState[state];
  }

  /** Open sessions. */
  get size(): number {
    return this.#byId.size;
  }

  /** Open sessions by state. */
  counts(): Record<string, number> {
    return Object.fromEntries(
      SESSION_STATES.filter((state) => state !== 'closed').map((state) => [state, this.inState(state).size]),
    );
  }
}
