// Bytes of a stream between two absolute offsets: appended at the end, dropped from the front, read from anywhere
// between. Keeps the chunks as they came; copies nothing.

/** A window of a byte stream. */
export class OffsetBuffer {
  #chunks: Buffer[] = [];
  #start: number;
  #end: number;

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

  /** Appends bytes at the end. */
  append(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#end += chunk.length;
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
