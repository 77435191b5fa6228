// Writes a stream to a client that an earlier process may have written a part of. The application writes the stream
// again, from its beginning or from a place that it has kept; what the client has, or will get from the daemon, is left
// out to the byte, in the middle of a message if need be.

/** The way out of one socket; to be made before anything is written. */
export class Outbound {
  /** Offset in the stream of the next byte that is written; a successor sets it to the place from which it goes on. */
  position = 0;
  #socket;
  #writtenAt;
  #write;

  constructor(socket) {
    this.#socket = socket;
    // So many bytes the daemon has taken for the client since the connection was made.
    this.#writtenAt = socket.sharing.writtenAt;
    this.#write = socket.write;
    socket.write = (...args) => this.#writeOn(...args);
  }

  #writeOn(chunk, encoding, callback) {
    if (typeof encoding === 'function') return this.#writeOn(chunk, undefined, encoding);
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
    const written = Math.min(Math.max(this.#writtenAt - this.position, 0), bytes.length);
    this.position += bytes.length;
    if (written > 0 && written === bytes.length) {
      if (callback !== undefined) process.nextTick(callback);
      return true;
    }
    return this.#write.call(this.#socket, bytes.subarray(written), callback);
  }
}
