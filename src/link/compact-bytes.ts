// Bytes of one lane of a trunk come in chunks with those of others. Who keeps few bytes of a chunk for long must not keep the
// chunk: one client that does not read would hold the traffic of all. Called by both ends of a trunk.

/** More bytes than this are kept as they are: a copy of them would cost more than what they hold is worth. */
const COPIED_BYTES = 4 * 1024;

/**
 * The same bytes, for keeping: in memory of about their own length when they are few and what they are part of is much.
 * @param bytes not changed by anybody any more
 */
export function compactBytes(bytes: Buffer): Buffer {
  if (bytes.length > COPIED_BYTES || bytes.buffer.byteLength < 4 * bytes.length) return bytes;
  const kept = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(kept);
  return kept;
}
