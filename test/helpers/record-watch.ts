// Reads the record layer of a TLS stream (RFC 8446 §5.1) without decrypting it, to tell how the stream ended.

const HEADER_BYTES = 5;
const ALERT = 21;
const APPLICATION_DATA = 23;
/** An alert (2 bytes), the content type (1) and the tag of AES-GCM or ChaCha20-Poly1305 (16), as TLS 1.3 sends it. */
const TLS13_ALERT_BYTES = 19;

/** One direction of a connection as seen on the wire. */
export class ConnectionWatch {
  /** All bytes so far. */
  bytes = 0;
  /** Type and length of the last record that began. */
  lastRecord: { type: number; bytes: number } | undefined;
  /** How the direction ended: FIN, RST, or not yet. */
  ended: 'fin' | 'reset' | undefined;
  #header = Buffer.alloc(0);
  #bodyLeft = 0;

  /**
   * True when the last record was an alert, which before a FIN is close_notify. In TLS 1.3 two bytes of data look the
   * same, so a test that asks must send more than two bytes at once.
   */
  get lastWasAlert(): boolean {
    if (this.lastRecord === undefined || this.#bodyLeft > 0) return false;
    const { type, bytes } = this.lastRecord;
    return type === ALERT || (type === APPLICATION_DATA && bytes === TLS13_ALERT_BYTES);
  }

  /** How the direction ended, in TLS's words. */
  get outcome(): 'open' | 'close_notify' | 'fin' | 'reset' {
    if (this.ended === undefined) return 'open';
    return this.ended === 'fin' && this.lastWasAlert ? 'close_notify' : this.ended;
  }

  /** Takes bytes of the direction. */
  push(chunk: Buffer): void {
    this.bytes += chunk.length;
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#bodyLeft > 0) {
        const taken = Math.min(this.#bodyLeft, rest.length);
        this.#bodyLeft -= taken;
        rest = rest.subarray(taken);
        continue;
      }
      const wanted = HEADER_BYTES - this.#header.length;
      this.#header = Buffer.concat([this.#header, rest.subarray(0, wanted)]);
      rest = rest.subarray(wanted);
      if (this.#header.length === HEADER_BYTES) {
        this.lastRecord = { type: this.#header.readUInt8(0), bytes: this.#header.readUInt16BE(3) };
        this.#bodyLeft = this.lastRecord.bytes;
        this.#header = Buffer.alloc(0);
      }
    }
  }

  /** The direction has ended; the first call counts. */
  end(how: 'fin' | 'reset'): void {
    this.ended ??= how;
  }
}
