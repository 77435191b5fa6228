// The `onread` option of net.Socket for bytes that come from a lane: they are copied into the application's buffer and
// given to its callback instead of being emitted (Node docs, `net.Socket`, `onread`).

/** The option, as Node documents it. */
export interface OnRead {
  /** A buffer to use again and again, or a function that gives one for each read. */
  buffer: Uint8Array | (() => Uint8Array);
  /** Gets the number of bytes and the buffer; `false` stops the reading until `resume()`. */
  callback(bytesRead: number, buffer: Uint8Array): boolean;
}

/** Feeds chunks to an `onread` callback. */
export class OnReadFeeder {
  readonly #option: OnRead;

  constructor(option: OnRead) {
    this.#option = option;
  }

  /** Hands a chunk over, in pieces of the buffer's size; answers whether reading should go on. */
  feed(chunk: Buffer): boolean {
    let goOn = true;
    for (let offset = 0; offset < chunk.length; ) {
      const { buffer: given } = this.#option;
      const buffer = typeof given === 'function' ? given() : given;
      const piece = chunk.subarray(offset, offset + buffer.length);
      buffer.set(piece);
      offset += piece.length;
      goOn = this.#option.callback(piece.length, buffer) !== false;
    }
    return goOn;
  }
}
