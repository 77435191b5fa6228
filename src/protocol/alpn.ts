// ALPN protocol lists in wire form (RFC 7301 §3.1). Pure; the wrapper encodes, the daemon checks what it was sent
// before node:tls sees it: several versions of Node end the process when the list is malformed.

/** Longest list that fits the extension, in bytes. */
const MAX_LIST_BYTES = 0xffff;

/** The list that asks for HTTP/1.1 alone, in wire form (RFC 7301 §6). */
export const HTTP1_ALPN = Buffer.from('\u0008http/1.1');

/**
 * True for a list in wire form: each name of 1–255 bytes after its length, nothing missing, nothing left over. The
 * empty list is one too; it asks for nothing.
 */
export function isAlpnWire(list: Uint8Array): boolean {
  if (list.byteLength > MAX_LIST_BYTES) return false;
  let offset = 0;
  while (offset < list.byteLength) {
    const length = list[offset] ?? 0;
    if (length === 0) return false;
    offset += 1 + length;
  }
  return offset === list.byteLength;
}

/**
 * The wire form of a list of names, or `undefined` when a name is empty, over 255 bytes, or the list too long.
 * @param names protocol names in order of preference
 */
export function encodeAlpn(names: readonly string[]): Buffer | undefined {
  const parts: Buffer[] = [];
  for (const name of names) {
    const bytes = Buffer.from(name);
    if (bytes.length === 0 || bytes.length > 255) return undefined;
    parts.push(Buffer.of(bytes.length), bytes);
  }
  const list = Buffer.concat(parts);
  return list.length > MAX_LIST_BYTES ? undefined : list;
}
