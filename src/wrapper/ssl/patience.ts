// How long one call of the SSL verbs waits: without end, for a time, or for one turn of the event loop, and until a
// signal aborts it. Knows nothing of sockets.
import { checkWait } from '../sharing-options.ts';

/** How a call waits. */
export interface WaitOptions {
  /**
   * Milliseconds until the call gives up with −1 and WANT_READ or WANT_WRITE. 0 looks at what is there and at what one
   * turn of the event loop brings. Default: without end.
   */
  wait?: number;
  /** Aborting it rejects the call with the signal's reason; the session goes on. */
  signal?: AbortSignal;
}

/** The time that one call has. */
export class Patience {
  readonly #deadline: number;
  readonly #signal: AbortSignal | undefined;

  /** Starts the time. Throws ERR_TLSHUB_INVALID_OPTION, or the reason of a signal that is aborted already. */
  constructor({ wait, signal }: WaitOptions = {}) {
    this.#deadline =
      wait === undefined ? Number.POSITIVE_INFINITY : performance.now() + checkWait(wait, 'wait');
    this.#signal = signal;
    signal?.throwIfAborted();
  }

  /**
   * Answers true when it is woken, false when the time is up first. Rejects with the signal's reason.
   * @param subscribe arranges for `wake` to be called, any number of times, and answers how to take that back
   */
  until(subscribe: (wake: () => void) => () => void): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#signal?.throwIfAborted();
      let unsubscribe: (() => void) | undefined;
      let over = false;
      const finish = (settle: () => void) => {
        if (over) return;
        over = true;
        stopTimer();
        this.#signal?.removeEventListener('abort', signalOnAbort);
        unsubscribe?.();
        settle();
      };
      const signalOnAbort = () => finish(() => reject(this.#signal?.reason));
      const stopTimer = this.#startTimer(() => finish(() => resolve(false)));
      this.#signal?.addEventListener('abort', signalOnAbort);
      unsubscribe = subscribe(() => finish(() => resolve(true)));
      if (over) unsubscribe();
    });
  }

  /** Answers true when the promise settles, either way, false when the time is up first. */
  forSettled(promise: Promise<unknown>): Promise<boolean> {
    return this.until((wake) => {
      promise.then(wake, wake);
      return () => {};
    });
  }

  #startTimer(onTimeUp: () => void): () => void {
    const leftMs = this.#deadline - performance.now();
    if (leftMs === Number.POSITIVE_INFINITY) return () => {};
    if (leftMs <= 0) {
      const immediate = setImmediate(onTimeUp);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(onTimeUp, Math.ceil(leftMs));
    return () => clearTimeout(timer);
  }
}
