// The form in which trusted CA certificates travel: one blob, named by its SHA-256. Pure; the wrapper joins, the
// daemon splits. The entries of the `ca` option stay apart, because node:tls reads each until its first flaw: a
// broken entry must not swallow the ones behind it.
import { createHash } from 'node:crypto';

/** Parts entries; a PEM text has no such byte. A bundle of certificates in one text is one entry, and needs none. */
const SEPARATOR = '\0';

/** SHA-256 of a blob, in lower-case hexadecimal. */
export function blobHash(blob: string | Uint8Array): string {
  return createHash('sha256').update(blob).digest('hex');
}

/** The hash of a list without certificates, which trusts nobody. */
export const NO_CA_SHA256 = blobHash('');

/**
 * Entries of a `ca` option as one blob, or `undefined` when an entry holds the separator and so is no PEM text.
 * Equal contents give equal blobs, as strings or as bytes.
 * @param entries PEM texts, each with any number of certificates
 */
export function joinCa(entries: readonly (string | Uint8Array)[]): string | Buffer | undefined {
  const holdsSeparator = (entry: string | Uint8Array) =>
    typeof entry === 'string' ? entry.includes(SEPARATOR) : entry.includes(0);
  if (entries.some(holdsSeparator)) return undefined;
  if (entries.every((entry) => typeof entry === 'string')) return entries.join(SEPARATOR);
  return Buffer.concat(
    entries.flatMap((entry, index) => [
      Buffer.from(index === 0 ? '' : SEPARATOR),
      typeof entry === 'string' ? Buffer.from(entry) : entry,
    ]),
  );
}

/**
 * The entries of a blob, for the `ca` option; an empty blob has none, and so trusts nothing.
 * @param blob what {@link joinCa} made, or the bytes of a PEM file
 */
export function splitCa(blob: Buffer): Buffer[] {
  if (blob.length === 0) return [];
  const entries: Buffer[] = [];
  let start = 0;
  for (let end = blob.indexOf(0); end !== -1; end = blob.indexOf(0, start)) {
    entries.push(blob.subarray(start, end));
    start = end + 1;
  }
  entries.push(blob.subarray(start));
  return entries;
}
