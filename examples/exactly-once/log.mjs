// The log that a server's processes have in common: an append-only file, one record a line. Its order is the order of
// everything, for each of them and for those that come after them; what is in it has happened, what is not has not.
import { EventEmitter } from 'node:events';
import { appendFileSync, openSync, readSync, watch } from 'node:fs';

/** Emits `records` when there are more, also those of other processes. */
export class Log extends EventEmitter {
  /** All records, as every process numbers them. */
  records = [];
  #file;
  #readTo = 0;
  #tail = Buffer.alloc(0);
  /** How far each client's stream is in the log. */
  #takenTo = new Map();
  #telling = false;

  /** @param path is made if it is not there */
  constructor(path) {
    super();
    this.setMaxListeners(0);
    this.#file = openSync(path, 'a+');
    this.readOn();
    watch(path, { persistent: false }, () => this.readOn());
  }

  /**
   * Appends a record, unless it is there already: after a crash a client's last bytes are given again.
   * @param from name of the connection
   * @param at offset in the client's stream behind the bytes that the record was made of
   */
  append(from, at, record) {
    this.readOn();
    if (at <= (this.#takenTo.get(from) ?? 0)) return;
    // A line that the death of a process has cut off stays a line of its own.
    const begin = this.#tail.length > 0 ? '\n' : '';
    appendFileSync(this.#file, `${begin}${JSON.stringify({ from, at, ...record })}\n`);
    this.readOn();
  }

  /** Reads what has been appended, by this process or another. */
  readOn() {
    const before = this.records.length;
    for (let chunk = this.#read(); chunk.length > 0; chunk = this.#read()) {
      let bytes = Buffer.concat([this.#tail, chunk]);
      for (let end = bytes.indexOf('\n'); end !== -1; end = bytes.indexOf('\n')) {
        this.#take(bytes.subarray(0, end).toString());
        bytes = bytes.subarray(end + 1);
      }
      this.#tail = bytes;
    }
    if (this.records.length > before) this.#tell();
  }

  /** Once for all records that come in one turn of the event loop. */
  #tell() {
    if (this.#telling) return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      this.emit('records');
    });
  }

  #read() {
    const chunk = Buffer.alloc(64 * 1024);
    const length = readSync(this.#file, chunk, 0, chunk.length, this.#readTo);
    this.#readTo += length;
    return chunk.subarray(0, length);
  }

  #take(line) {
    let record;
    try {
      record = JSON.parse(line);
    } catch {
      // Cut off: its bytes were never committed, so they are given again and logged then.
      return;
    }
    this.#takenTo.set(record.from, record.at);
    this.records.push(record);
  }
}
