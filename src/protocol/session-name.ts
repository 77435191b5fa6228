// Names of named sessions: what is a name, the modes, and how a holder counts bytes as consumed.
import * as v from 'valibot';

/** Longest name, in bytes of UTF-8. */
export const MAX_NAME_BYTES = 128;

/** Handles begin like this, so no name may. */
const HANDLE_PREFIX = 'tlshub1.';

/** Who may read a named session: one holder; any, a message each in turn; all, every byte. */
export const SESSION_MODES = ['exclusive', 'turn', 'broadcast'] as const;
/** One of {@link SESSION_MODES}. */
export type SessionMode = (typeof SESSION_MODES)[number];

/** When a byte counts as consumed: taken from the stream, or committed by the application. */
export const COMMIT_KINDS = ['auto', 'manual'] as const;
/** One of {@link COMMIT_KINDS}. */
export type CommitKind = (typeof COMMIT_KINDS)[number];

/** What is wrong with a name, or `undefined` when nothing is. */
export function flawOfName(name: string): string | undefined {
  if (name === '') return 'a name must not be empty';
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `a name has at most ${MAX_NAME_BYTES} bytes`;
  if (/\p{Cc}/u.test(name)) return 'a name must not contain control characters';
  if (name.startsWith(HANDLE_PREFIX)) return `a name must not begin with "${HANDLE_PREFIX}"`;
  return undefined;
}

/** True for a text that is meant as a handle, not as a name. */
export function looksLikeHandle(text: string): boolean {
  return text.startsWith(HANDLE_PREFIX);
}

/** Schema of a name on the wire. */
export const sessionNameSchema = v.pipe(
  v.string(),
  v.check((name) => flawOfName(name) === undefined, 'is not a name'),
);
