// Counts of what there is of each kind, for limits. Pure. Made by pool.ts for the sessions of an owner and of a user.
import { TurnoverMap } from '../link/turnover.ts';

/** Counts by key; a count of zero takes no room. */
export class Tally<Key> {
  readonly #counts = new TurnoverMap<Key, number>();

  /** The count of a key. */
  get(key: Key): number {
    return this.#counts.get(key) ?? 0;
  }

  /** Counts one more, or one less. */
  add(key: Key, difference: 1 | -1): void {
    const count = this.get(key) + difference;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}
