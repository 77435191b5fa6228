// The workers of one group, and whose turn it is. A worker that shows no sign of life gets nothing until it does.
import type { Balance } from '../../protocol/server-key.ts';
import type { LinkPeer } from '../link-peer.ts';
import type { Worker as AnyWorker } from './worker.ts';

/** A worker that is linked to this daemon. */
export type Worker = AnyWorker<LinkPeer>;

/** Some workers. */
export class Workers {
  readonly #all = new Set<Worker>();
  #turn = 0;

  get size(): number {
    return this.#all.size;
  }

  /** Every worker, in the order in which they came. */
  [Symbol.iterator](): IterableIterator<Worker> {
    return this.#all.values();
  }

  add(worker: Worker): void {
    this.#all.add(worker);
  }

  /** Answers whether it was one of them. */
  delete(worker: Worker): boolean {
    return this.#all.delete(worker);
  }

  clear(): void {
    this.#all.clear();
  }

  /**
   * Workers that may have a session now.
   * @param adopted only those that take over what another had
   * @param except those that had it before
   */
  candidates(adopted: boolean, except?: ReadonlySet<Worker>): Worker[] {
    return [...this.#all].filter(
      (worker) =>
        !worker.link.closed &&
        !worker.hasClosed &&
        !worker.stalled &&
        !except?.has(worker) &&
        (!adopted || worker.adopts),
    );
  }

  /** The one that is next of the {@link candidates}. */
  pick(balance: Balance, adopted: boolean, except?: ReadonlySet<Worker>): Worker | undefined {
    const candidates = this.candidates(adopted, except);
    if (balance === 'round-robin') {
      this.#turn += 1;
      return candidates[this.#turn % candidates.length];
    }
    let best: Worker | undefined;
    for (const worker of candidates) {
      if (best === undefined || worker.load < best.load) best = worker;
      // Of equals the one that had its turn longest ago.
      else if (worker.load === best.load && worker.lastTurn < best.lastTurn) best = worker;
    }
    this.#turn += 1;
    if (best !== undefined) best.lastTurn = this.#turn;
    return best;
  }
}
