// What the application trusts: its `ca` option, or else what its process trusts by default. Equal contents give
// equal hashes, as text or as bytes. Used by context-key.ts for every request, so lists seen before are not hashed
// again.
import { defaultCa, type TrustedCa, trustIn, type UntellableCa } from '../protocol/default-ca.ts';
import { bytesOf } from './options.ts';

/** Lists of the last requests; an application has one or two. */
const MAX_REMEMBERED = 8;

interface Remembered {
  /** Copies: the application may change its buffers. */
  readonly entries: readonly (string | Buffer)[];
  readonly ca: TrustedCa | UntellableCa;
}

const remembered: Remembered[] = [];

/**
 * The certificates that a `ca` option trusts; a falsy one means the default of the process, an empty list none.
 * @param ca a text, bytes, or a list of either, as node:tls takes it
 */
export function trustedCa(ca: unknown): TrustedCa | UntellableCa {
  if (!ca) return defaultCa();
  const given = (Array.isArray(ca) ? ca : [ca]) as (string | ArrayBufferView)[];
  const known = remembered.find(({ entries }) => haveSameContents(entries, given));
  if (known !== undefined) return known.ca;
  const entries = given.map((entry) => (typeof entry === 'string' ? entry : Buffer.from(bytesOf(entry))));
  const fresh = { entries, ca: trustIn(entries) };
  remembered.unshift(fresh);
  remembered.length = Math.min(remembered.length, MAX_REMEMBERED);
  return fresh.ca;
}

function haveSameContents(
  entries: readonly (string | Buffer)[],
  given: readonly (string | ArrayBufferView)[],
): boolean {
  return (
    entries.length === given.length &&
    given.every((value, index) => {
      const entry = entries[index];
      if (typeof value === 'string' || typeof entry === 'string') return value === entry;
      return entry?.equals(bytesOf(value)) ?? false;
    })
  );
}
