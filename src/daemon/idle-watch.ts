// What is done with a session while it is idle in the pool: it is read, because a byte or an end that comes from its peer
// then must end it, and must not be found by the next holder. Made by pool.ts.
import type { CloseManner, Occupant, Session } from './session.ts';

/** Watches an idle session: whatever its peer sends or does ends it, for nobody is there to be told. */
export class IdleWatch implements Occupant {
  readonly #session: Session;
  readonly #leave: () => void;

  /**
   * Begins at once.
   * @param session idle
   * @param leave the session is not to be leased any more
   */
  constructor(session: Session, leave: () => void) {
    this.#session = session;
    this.#leave = leave;
    session.occupy(this);
  }

  readonly sessionOnBytes = () => this.#end('the peer sent bytes while the session was idle', 'abrupt');

  sessionOnPeerEnd(): void {
    this.#end('the peer ended the session while it was idle', 'orderly');
  }

  sessionOnClose(): void {
    this.#leave();
  }

  sessionOnLeave(): void {}

  #end(reason: string, manner: CloseManner): void {
    this.#leave();
    this.#session.close(reason, manner);
  }
}
