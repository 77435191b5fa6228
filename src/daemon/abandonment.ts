// Whether a request is still wanted: an AbortSignal in what is used of one, at a tenth of its cost, for one is made for
// every lane. Made by lane-desk.ts; whoever waits for something listens to it.

/** As an AbortSignal, of which it is the used part. */
export interface AbandonSignal {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** The signal and its sender in one. */
export class Abandonment implements AbandonSignal {
  aborted = false;
  #listeners: Set<() => void> | undefined;

  /** The part for those who listen. */
  get signal(): AbandonSignal {
    return this;
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners?.delete(listener);
  }

  /** The request is not wanted any more; listeners are told once. */
  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    // A set goes on without those who leave meanwhile.
    for (const listener of this.#listeners ?? []) listener();
    this.#listeners = undefined;
  }
}
