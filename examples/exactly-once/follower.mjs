// Sends one client what the log says, record by record: each process says the same, so that a successor can go on where
// the one before it was stopped. Now and then the place is kept with the session, so that it need not begin at the start.
import { Outbound } from './outbound.mjs';

/** Records between two places that are kept. */
const KEEP_EVERY = 100;

/** Follows the log for one client. */
export class Follower {
  #log;
  #socket;
  #outbound;
  #next;
  #stopped = false;

  /** @param socket nothing is written to it yet */
  constructor(log, socket) {
    this.#log = log;
    this.#socket = socket;
    this.#outbound = new Outbound(socket);
  }

  /**
   * Begins.
   * @param state as it was saved: `next` is the number of the first record that is said, `offset` that of its first byte
   *   in the stream to the client (default here)
   * @param say writes what follows from a record to the socket: a function of the log only
   * @param snapshot answers what else the next process must know to go on from here
   */
  start(state, say, snapshot = () => ({})) {
    this.#next = state.next;
    this.#outbound.position = state.offset ?? this.#outbound.position;
    const follow = () => this.#follow(say, () => ({ ...state, ...snapshot() }));
    this.#log.on('records', follow);
    this.#socket.on('drain', follow);
    this.#socket.on('close', () => this.#log.off('records', follow));
    follow();
  }

  /** Says no more: the rest is for another process. */
  stop() {
    this.#stopped = true;
  }

  /** Says what is new, as long as the client reads; the log keeps the rest. */
  #follow(say, stateNow) {
    const { records } = this.#log;
    this.#socket.cork();
    while (this.#next < records.length && this.#socket.writable && !this.#socket.writableNeedDrain) {
      if (this.#stopped) break;
      say(this.#next);
      this.#next += 1;
      if (this.#next % KEEP_EVERY === 0) this.#keep(stateNow());
    }
    this.#socket.uncork();
  }

  #keep(state) {
    const place = { ...state, next: this.#next, offset: this.#outbound.position };
    // Called back when the daemon has everything before it.
    this.#socket.write('', (error) => {
      if (!error) this.#socket.setState(Buffer.from(JSON.stringify(place))).catch(() => {});
    });
  }
}
