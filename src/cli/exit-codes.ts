// The exit codes of the command line and which error leads to which. `connect` has its own meaning for the code of a
// session that ended; it uses these for everything else.
import { codeOf } from '../errors.ts';

/** Exit codes of every verb. */
export const EXIT_CODES = {
  /** Done. */
  ok: 0,
  /** The operation failed. */
  failed: 1,
  /** The command line is wrong; nothing was done. */
  usage: 2,
  /** No daemon answers. */
  unreachable: 3,
} as const;

/** A command line that is wrong in a way that the parser could not see. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The exit code for an error that ends a verb. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT_CODES.usage;
  return codeOf(error) === 'ERR_TLSHUB_DAEMON_UNREACHABLE' ? EXIT_CODES.unreachable : EXIT_CODES.failed;
}
