// Finds where each frame of a client ends in its stream (RFC 6455 §5.2), which ws does not tell: so many bytes can be
// committed when the message is in the log.

const FINAL = 0x80;
const PING = 0x9;
const PONG = 0xa;

/** Follows one client's stream. */
export class ClientFrames {
  #offset;
  #header = [];
  #payloadLeft = 0;
  #inMessage = false;
  #ends = [];

  /** @param offset in the stream, of the first frame */
  constructor(offset) {
    this.#offset = offset;
  }

  push(chunk) {
    for (let read = 0; read < chunk.length; ) {
      if (this.#payloadLeft === 0) {
        this.#header.push(chunk[read]);
        read += 1;
        this.#offset += 1;
        if (this.#header.length < headerLength(this.#header)) continue;
        this.#payloadLeft = payloadLength(this.#header);
      }
      const length = Math.min(this.#payloadLeft, chunk.length - read);
      read += length;
      this.#offset += length;
      this.#payloadLeft -= length;
      if (this.#payloadLeft === 0) this.#end();
    }
  }

  /**
   * The end of the next message, ping or pong; `whole` is false of one that came within a message: what is committed
   * must not leave half a message behind.
   */
  next() {
    return this.#ends.shift();
  }

  #end() {
    const isLast = (this.#header[0] & FINAL) !== 0;
    const opcode = this.#header[0] & 0xf;
    this.#header = [];
    const isControl = opcode >= 0x8;
    if (!isControl) this.#inMessage = !isLast;
    if (isControl ? opcode === PING || opcode === PONG : isLast)
      this.#ends.push({ at: this.#offset, whole: !this.#inMessage });
  }
}

/** Of a frame of a client, which is masked; 2 as long as it is not known. */
function headerLength(header) {
  const size = header[1] & 0x7f;
  return header.length < 2 ? 2 : 6 + (size === 127 ? 8 : size === 126 ? 2 : 0);
}

function payloadLength(header) {
  const size = header[1] & 0x7f;
  if (size < 126) return size;
  return header.slice(2, -4).reduce((length, byte) => length * 256 + byte, 0);
}
