// The one timer of an HTTP connection: the time by which something must have happened, moved at every step for the price
// of a clock reading. Made by http-connection.ts, which knows what is awaited.

/** Milliseconds of each wait of a connection. */
export interface HttpTimes {
  /** From the first byte of a request's head to its last. */
  readonly headMs: number;
  /** Between two requests, and before the first. */
  readonly idleMs: number;
  /** In the middle of an exchange, in which no byte comes from either side. */
  readonly silenceMs: number;
  /** After the last response, for the client to close the connection. */
  readonly closeMs: number;
}

/**
 * Head 30 s and idle 60 s as in nginx (`client_header_timeout`, `keepalive_timeout`) and HAProxy (`timeout http-request`);
 * silence 10 min, longer than what clients wait by themselves, for an answer may take its time.
 */
export const HTTP_TIMES: HttpTimes = {
  headMs: 30_000,
  idleMs: 60_000,
  silenceMs: 10 * 60_000,
  closeMs: 5_000,
};

/** A deadline that moves. The timer behind it is set anew only when it fires too early, or would fire too late. */
export class Deadline {
  readonly #onPassed: () => void;
  #atMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #firesAtMs = Number.POSITIVE_INFINITY;

  /** @param onPassed called when a deadline has passed; it may set another */
  constructor(onPassed: () => void) {
    this.#onPassed = onPassed;
  }

  /** Something must happen within `waitMs` from now on; what was awaited before no longer is. */
  set(waitMs: number): void {
    const nowMs = performance.now();
    this.#atMs = nowMs + waitMs;
    if (this.#firesAtMs > this.#atMs) this.#arm(waitMs, nowMs);
  }

  /** Nothing is awaited any more. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#atMs = Number.POSITIVE_INFINITY;
    this.#firesAtMs = Number.POSITIVE_INFINITY;
  }

  /** A long wait is slept in parts, so that a short one after it mostly finds the timer as it needs it. */
  #arm(waitMs: number, nowMs: number): void {
    clearTimeout(this.#timer);
    const sleepMs = Math.min(waitMs, HTTP_TIMES.idleMs);
    this.#firesAtMs = nowMs + sleepMs;
    this.#timer = setTimeout(this.#timerOnFire, sleepMs);
    this.#timer.unref();
  }

  readonly #timerOnFire = () => {
    this.#firesAtMs = Number.POSITIVE_INFINITY;
    const nowMs = performance.now();
    const leftMs = this.#atMs - nowMs;
    if (leftMs > 0) this.#arm(leftMs, nowMs);
    else this.#onPassed();
  };
}
