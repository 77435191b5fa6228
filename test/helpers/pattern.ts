// A stream of bytes that both ends know, so that a lost, doubled or reordered byte is found at its offset.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

/** Prime, so that no power-of-two shift of the stream equals the stream. */
const PERIOD = 65_521;
const period = makePeriod();
const block = Buffer.concat(Array.from({ length: 32 }, () => period));

function makePeriod(): Buffer {
  const parts: Buffer[] = [];
  for (let bytes = 0; bytes < PERIOD; bytes += 64) {
    parts.push(createHash('sha512').update(`pattern ${bytes}`).digest());
  }
  return Buffer.concat(parts).subarray(0, PERIOD);
}

/**
 * Bytes of the stream, at most 1 MiB; the buffer must not be written to.
 * @param offset of the first byte in the stream
 * @param length number of bytes
 */
export function pattern(offset: number, length: number): Buffer {
  const start = offset % PERIOD;
  assert.ok(length <= block.length - PERIOD, 'a piece of the pattern is too long');
  return block.subarray(start, start + length);
}

/** The stream from its start in pieces of at most `pieceBytes`. */
export function* patternPieces(bytes: number, pieceBytes = 65_536): Generator<Buffer> {
  for (let offset = 0; offset < bytes; offset += pieceBytes) {
    yield pattern(offset, Math.min(pieceBytes, bytes - offset));
  }
}

/** SHA-256 of the stream's first bytes, in hexadecimal. */
export function patternSha256(bytes: number): string {
  const hash = createHash('sha256');
  for (const piece of patternPieces(bytes, 1024 * 1024)) hash.update(piece);
  return hash.digest('hex');
}

/** Compares what arrives with the stream. */
export class PatternChecker {
  /** Bytes that arrived and were right. */
  bytes = 0;

  /** Takes a chunk of any length; throws with the offset when it is not what the stream has there. */
  push(chunk: Buffer): void {
    for (let done = 0; done < chunk.length; ) {
      const length = Math.min(chunk.length - done, 1024 * 1024);
      const wanted = pattern(this.bytes, length);
      if (wanted.compare(chunk, done, done + length) !== 0) {
        throw new Error(`the stream differs within ${length} bytes after offset ${this.bytes}`);
      }
      this.bytes += length;
      done += length;
    }
  }
}
