// The only place where tests let time pass: until a predicate holds, with a deadline that names what was awaited.
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 5;

/** What is awaited and how long. */
export interface WaitOptions {
  /** Names the condition in the error; a function is asked when it fails. */
  what: string | (() => string);
  /** Milliseconds until the wait fails; default 10,000. */
  deadlineMs?: number;
}

/**
 * Waits until the predicate answers something other than `undefined`, `null` or `false`, and answers that.
 * Throws when the deadline passes first; what the predicate throws passes through.
 */
export async function waitFor<Result>(
  predicate: () => Result | Promise<Result>,
  options: WaitOptions,
): Promise<Exclude<Awaited<Result>, undefined | null | false>> {
  const { what, deadlineMs = 10_000 } = options;
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const result = await predicate();
    if (result !== undefined && result !== null && result !== false) {
      return result as Exclude<Awaited<Result>, undefined | null | false>;
    }
    if (performance.now() > deadline) throw lateError(deadlineMs, what);
    await delay(POLL_MS);
  }
}

/**
 * The promise's result, or an error that names what was awaited when it does not settle in time.
 * @param promise what is awaited
 */
export async function within<Result>(promise: Promise<Result>, options: WaitOptions): Promise<Result> {
  const { what, deadlineMs = 10_000 } = options;
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(lateError(deadlineMs, what)), deadlineMs);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

function lateError(deadlineMs: number, what: WaitOptions['what']): Error {
  return new Error(`not within ${deadlineMs} ms: ${typeof what === 'string' ? what : what()}`);
}
