// What this host offers to a daemon, asked without starting one. Used by `tlshub doctor`.
import { messageOf } from '../errors.ts';
import { descriptorLimit } from '../native/libc.ts';

/** Answers of {@link checkHost}. */
export interface HostCheck {
  /** Why native calls (peer credentials, lock) do not work here, or `undefined` when they do. */
  readonly nativeProblem: string | undefined;
  /** Descriptors that a process may have open; `undefined` without native calls. */
  readonly descriptorLimit: number | undefined;
}

/** Tries the native calls that a daemon needs. */
export function checkHost(): HostCheck {
  try {
    return { nativeProblem: undefined, descriptorLimit: descriptorLimit() };
  } catch (error) {
    return { nativeProblem: messageOf(error), descriptorLimit: undefined };
  }
}
