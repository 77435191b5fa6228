// Bytes of a stream between two absolute offsets: appended at the end, dropped from the front, read from anywhere
// between. Large chunks are kept as they came; small ones are copied together, so that a peer that sends byte by byte
// costs neither an object for each byte nor a long search.

/** Chunks shorter than this are copied into a block that they share. */
const SMALL_BYTES = 2 * 1024;
const BLOCK_BYTES = 8 * 1024;

/** A window of a byte stream. */
export class OffsetBuffer {
  readonly #chunks: Buffer[] = [];
  #start: number;
  #end: number;
  /** Room behind the last chunk, in the block that the chunk lies in. */
  #room: Buffer | undefined;

  /** @param start offset of the first byte that will be appended */
  constructor(start = 0) {
    this.#start = start;
    this.#end = start;
  }

  /** Offset of the first byte held. */
  get start(): number {
    return this.#start;
  }

  /** Offset behind the last byte held. */
  get end(): number {
    return this.#end;
  }

  /** Bytes held. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Appends bytes at the end; the buffer keeps a chunk of some length itself, which must not be changed. */
  append(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#end += chunk.length;
    if (chunk.length >= SMALL_BYTES) {
      this.#chunks.push(chunk);
      this.#room = undefined;
      return;
    }
    const last = this.#chunks.at(-1);
    if (this.#room !== undefined && this.#room.length >= chunk.length) {
      chunk.copy(this.#room);
      const copied = this.#room.subarray(0, chunk.length);
      this.#room = this.#room.subarray(chunk.length);
      // Where everything was dropped the block goes on to be filled: what was read of it may still be on its way.
      if (last === undefined) this.#chunks.push(copied);
      else
        this.#chunks[this.#chunks.length - 1] = Buffer.from(
          last.buffer,
          last.byteOffset,
          last.length + chunk.length,
        );
      return;
    }
    const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    chunk.copy(block);
    this.#chunks.push(block.subarray(0, chunk.length));
    this.#room = block.subarray(chunk.length);
  }

  /** Drops every byte before an offset; one outside the window is moved to its edge. */
  dropBefore(offset: number): void {
    for (let first = this.#chunks[0]; first !== undefined && this.#start < offset; first = this.#chunks[0]) {
      const surplus = offset - this.#start;
      if (surplus < first.length) {
        this.#chunks[0] = first.subarray(surplus);
        this.#start = offset;
        return;
      }
      this.#chunks.shift();
      this.#start += first.length;
    }
  }

  /**
   * Bytes from an offset on, as many as lie in one chunk and at most `limit`; empty at the end of the window.
   * @param offset within the window
   * @param limit in bytes
   */
  read(offset: number, limit: number): Buffer {
    let chunkStart = this.#start;
    for (const chunk of this.#chunks) {
      const within = offset - chunkStart;
      if (within < chunk.length) return chunk.subarray(within, within + limit);
      chunkStart += chunk.length;
    }
    return Buffer.alloc(0);
  }
}
