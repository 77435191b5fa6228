// The daemon's end of a trunk: the one connection of a worker's process on which it is offered sessions and holds them, each
// on a lane of its own. A lane that breaks the rules ends alone (trunk-lane.ts); a trunk whose frames cannot be told
// apart ends with its link. NEVER: a byte of a session leaves before its worker has taken it.
import type { Socket } from 'node:net';
import { keepReading } from '../../link/keep-reading.ts';
import { TrunkWriter } from '../../link/trunk-writer.ts';
import { TurnoverMap } from '../../link/turnover.ts';
import {
  FRAME_FLAGS,
  FRAME_TYPES,
  type Frame,
  FrameDecoder,
  MAX_TRUNK_LANE,
} from '../../protocol/frame-codec.ts';
import { FIRST_TRUNK_LANE, FRAME_WINDOW_BYTES, MAX_FRAME_PAYLOAD_BYTES } from '../../protocol/limits.ts';
import type { TlsInfo } from '../../protocol/messages.ts';
import { shortenInfo, type TrunkOffer } from '../../protocol/trunk-offers.ts';
import type { LinkPeer } from '../link-peer.ts';
import { TrunkLane } from './trunk-lane.ts';

/** Milliseconds that a trunk may take to end when its link is closed. */
const SETTLE_MS = 5_000;

/** Who offers a session on a trunk. */
export interface Offerer {
  /** The worker takes it. */
  offerOnTaken(lane: TrunkLane): void;
  /** The worker does not want it. */
  offerOnDeclined(): void;
  /** The trunk is gone. */
  offerOnLost(): void;
}

/** One trunk. */
export class Trunk {
  readonly writer: TrunkWriter;
  readonly #link: LinkPeer;
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder('trunk');
  readonly #offers = new TurnoverMap<number, Offerer>();
  readonly #lanes = new TurnoverMap<number, TrunkLane>();
  /** Lanes that have something to send and wait until the worker reads. */
  readonly #held = new Set<TrunkLane>();
  /** Of the session that was offered last. */
  #lastInfo: TlsInfo | undefined;
  #lastLane = FIRST_TRUNK_LANE - 1;

  /**
   * @param socket its reply is written; bytes that followed the request are back in it
   * @param link of the process
   */
  constructor(socket: Socket, link: LinkPeer) {
    this.#socket = socket;
    this.#link = link;
    this.writer = new TrunkWriter(socket);
    keepReading(socket, () => {});
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('drain', () => this.#drain());
    socket.on('end', () => socket.destroySoon());
    socket.on('close', () => this.#close());
    socket.resume();
  }

  /** Lanes that are open. */
  get size(): number {
    return this.#lanes.size;
  }

  /**
   * Offers a session to a server of the process. Answers how to take the offer back, as long as it was not taken: a worker
   * that comes too late finds that the session has ended for it.
   * @param describe makes the offer of what of the session's description is to be told
   */
  offer(describe: (tls: Partial<TlsInfo>) => TrunkOffer, info: TlsInfo, offerer: Offerer): () => void {
    const lane = this.#nextLane();
    this.#offers.set(lane, offerer);
    this.#sendOffer(lane, describe(shortenInfo(info, this.#lastInfo)));
    this.#lastInfo = info;
    return () => {
      if (this.#offers.delete(lane)) this.refuse(lane);
    };
  }

  /**
   * The worker takes what it was offered, if it still is.
   * @param hasSaidSo on the trunk; else its word may be on the way there
   */
  take(lane: number, hasSaidSo: boolean): void {
    const offerer = this.#offers.get(lane);
    if (offerer === undefined) return;
    this.#offers.delete(lane);
    const { uid, pid } = this.#link.identity;
    const taken = new TrunkLane(this, { uid, pid, link: this.#link, lane }, hasSaidSo);
    this.#lanes.set(lane, taken);
    offerer.offerOnTaken(taken);
  }

  /** The worker of a lane does not have the session. */
  refuse(lane: number): void {
    this.writer.send({ lane, type: FRAME_TYPES.END, flags: FRAME_FLAGS.FAILED, offset: 0 });
  }

  /** True while the worker does not read; the lane is told when it does. */
  isBackedUp(lane: TrunkLane): boolean {
    if (this.writer.waitingBytes < FRAME_WINDOW_BYTES) return false;
    this.#held.add(lane);
    return true;
  }

  /** A lane is over: what comes of it is dropped. */
  forget(lane: TrunkLane): void {
    this.#lanes.delete(lane.holder.lane);
    this.#held.delete(lane);
  }

  /** The process is gone, or its link is: what it has sent still counts. */
  linkOnClose(): void {
    this.writer.flush();
    this.#socket.end();
    const timer = setTimeout(() => this.#socket.destroy(), SETTLE_MS).unref();
    this.#socket.once('close', () => clearTimeout(timer));
  }

  #nextLane(): number {
    const { leases, openings } = this.#link;
    do this.#lastLane = this.#lastLane >= MAX_TRUNK_LANE ? FIRST_TRUNK_LANE : this.#lastLane + 1;
    while (leases.has(this.#lastLane) || openings.has(this.#lastLane) || this.#offers.has(this.#lastLane));
    return this.#lastLane;
  }

  #sendOffer(lane: number, offer: TrunkOffer): void {
    const payload = Buffer.from(JSON.stringify(offer));
    for (let start = 0; start < payload.length; start += MAX_FRAME_PAYLOAD_BYTES) {
      const part = payload.subarray(start, start + MAX_FRAME_PAYLOAD_BYTES);
      const flags = start + part.length === payload.length ? FRAME_FLAGS.END_OF_UNIT : 0;
      this.writer.send({ lane, type: FRAME_TYPES.OFFER, flags, offset: 0 }, part);
    }
  }

  #receive(chunk: Buffer): void {
    this.#link.showSign();
    try {
      this.#decoder.push(chunk);
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next())
        this.#handle(frame);
    } catch (error) {
      this.#link.close(error as Error);
      this.#socket.destroySoon();
    }
  }

  #handle(frame: Frame): void {
    const lane = this.#lanes.get(frame.lane);
    if (lane !== undefined) {
      lane.receive(frame);
      return;
    }
    // What comes of a lane that is over was sent before the worker knew.
    if (frame.type === FRAME_TYPES.TAKE) this.take(frame.lane, true);
    else if (frame.type === FRAME_TYPES.CLOSE) this.#decline(frame.lane);
  }

  #decline(lane: number): void {
    const offerer = this.#offers.get(lane);
    if (this.#offers.delete(lane)) offerer?.offerOnDeclined();
  }

  #drain(): void {
    const held = [...this.#held];
    this.#held.clear();
    for (const lane of held) lane.trunkOnDrain();
  }

  #close(): void {
    if (this.#link.trunk === this) this.#link.trunk = undefined;
    const lanes = [...this.#lanes.values()];
    this.#lanes.clear();
    for (const lane of lanes) lane.trunkOnClose();
    const offers = [...this.#offers.values()];
    this.#offers.clear();
    for (const offerer of offers) offerer.offerOnLost();
  }
}
