// How a shared socket moves bytes when the lane is not its own handle: TLS in this process (in-process.ts), or the
// framed lane of a named session (framed-transport.ts).

/** Called when a write, or the end, has been taken. */
export type TransportCallback = (error?: Error | null) => void;

/** Moves a socket's bytes; it pushes what it receives to the socket that it was made for. */
export interface Transport {
  /** Bytes of the session received and sent so far. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** The stream can take more. */
  resume(): void;
  /** The application may have taken bytes from the stream. */
  noteConsumed(): void;
  /** A string comes with its encoding. */
  write(chunk: Buffer | string, encoding: BufferEncoding, callback: TransportCallback): void;
  writev(
    chunks: readonly { chunk: Buffer | string; encoding: BufferEncoding }[],
    callback: TransportCallback,
  ): void;
  end(callback: TransportCallback): void;
  destroy(error: Error | null): void;
  ref(): void;
  unref(): void;
}
