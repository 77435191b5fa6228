// Bounds the handshakes that are in flight: a handshake costs the daemon a thousand times more than the client that
// asks for it. An address that has too many is turned away at once; when all together are too many, a connection waits
// its turn, unread, and those that hold others up for long are closed. Called by acceptor.ts for each accepted
// connection, and by groups.ts in each sweep.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { TurnoverMap, TurnoverSet } from '../../link/turnover.ts';
import { Tally } from '../tally.ts';

/** Limits of handshakes in flight. */
export interface HandshakeLimits {
  /** All together; more wait. */
  readonly maxHandshakes: number;
  /** From one address; more are closed. */
  readonly maxHandshakesPerAddress: number;
}

/** Connections that may wait for their handshake, as a multiple of those in flight. */
const QUEUE_FACTOR = 4;

/** Milliseconds that a handshake may take while others wait for its place. */
const PATIENCE_MS = 5_000;

interface Entrant {
  socket: Socket;
  address: string;
  begin(): void;
}

/** One gate for all ports. */
export class HandshakeGate {
  readonly #limits: HandshakeLimits;
  readonly #byAddress = new Tally<string>();
  /** Oldest first. */
  readonly #inFlight = new TurnoverMap<Socket, { address: string; sinceMs: number }>();
  readonly #queue = new TurnoverSet<Entrant>();
  /** Connections that were closed because of a limit. */
  turnedAway = 0;

  constructor(limits: HandshakeLimits) {
    this.#limits = limits;
  }

  /** Handshakes in flight. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Connections that wait for their turn. */
  get waiting(): number {
    return this.#queue.size;
  }

  /** What the status tells of it. */
  report(): { inFlight: number; waiting: number; turnedAway: number } {
    return { inFlight: this.inFlight, waiting: this.waiting, turnedAway: this.turnedAway };
  }

  /**
   * Begins a handshake, now or when there is room; closes the connection when there is none for it.
   * @param socket accepted, nothing read
   * @param begin begins the handshake
   */
  enter(socket: Socket, begin: () => void): void {
    const address = socket.remoteAddress ?? '';
    const count = this.#byAddress.get(address);
    // Those of a Unix socket have no address: they are bounded together only.
    const isTooMany = address !== '' && count >= this.#limits.maxHandshakesPerAddress;
    if (isTooMany || this.#queue.size >= this.#limits.maxHandshakes * QUEUE_FACTOR) {
      this.turnedAway += 1;
      socket.destroy();
      return;
    }
    this.#byAddress.add(address, 1);
    const entrant = { socket, address, begin };
    socket.once('close', () => this.#leave(entrant));
    if (this.#inFlight.size < this.#limits.maxHandshakes) this.#begin(entrant);
    else this.#queue.add(entrant);
  }

  /** A handshake is over; the connection lives on. */
  done(tls: TLSSocket): void {
    const socket = parentOf(tls);
    const entry = this.#inFlight.get(socket);
    if (entry !== undefined) this.#leave({ socket, address: entry.address, begin: () => {} });
  }

  /** Makes room for those that wait: at most as many handshakes end as there are waiting. */
  sweep(nowMs: number): void {
    let wanted = this.#queue.size;
    for (const [socket, { sinceMs }] of [...this.#inFlight]) {
      if (wanted === 0 || nowMs - sinceMs < PATIENCE_MS) return;
      wanted -= 1;
      this.turnedAway += 1;
      socket.destroy();
    }
  }

  #begin(entrant: Entrant): void {
    this.#inFlight.set(entrant.socket, { address: entrant.address, sinceMs: Date.now() });
    entrant.begin();
  }

  #leave(entrant: Entrant): void {
    const { socket, address } = entrant;
    if (!this.#queue.delete(entrant) && !this.#inFlight.delete(socket)) return;
    this.#byAddress.add(address, -1);
    for (const next of this.#queue) {
      if (this.#inFlight.size >= this.#limits.maxHandshakes) return;
      // One that is gone leaves by itself.
      if (next.socket.destroyed) continue;
      this.#queue.delete(next);
      this.#begin(next);
    }
  }
}

/** The connection that a server's TLS socket was made of; node:tls keeps it there. */
function parentOf(tls: TLSSocket): Socket {
  return (tls as unknown as { _parent: Socket })._parent;
}
