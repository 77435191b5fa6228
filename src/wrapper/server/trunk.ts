// This process's end of a trunk: the one connection on which the daemon gives its servers their sessions, each on a lane of
// its own (trunk-pipe.ts). It takes what a server that listens is offered, and gives it to that server at once; what the
// daemon takes back before, nobody hears of. It lives as long as its link.
import type { Socket } from 'node:net';
import { TlshubError } from '../../errors.ts';
import { TrunkWriter } from '../../link/trunk-writer.ts';
import { TurnoverMap } from '../../link/turnover.ts';
import { FRAME_FLAGS, FRAME_TYPES, type Frame, FrameDecoder } from '../../protocol/frame-codec.ts';
import { MAX_LINE_BYTES, PROTOCOL_VERSION } from '../../protocol/limits.ts';
import { decodeLine, encodeLine, LineDecoder } from '../../protocol/line-codec.ts';
import { parseLaneReply, type TlsInfo } from '../../protocol/messages.ts';
import { completeInfo, type OfferedOnTrunk, type TrunkOffer } from '../../protocol/trunk-offers.ts';
import { decodeError } from '../../protocol/wire-error.ts';
import type { DaemonLink } from '../daemon-link.ts';
import { connectToDaemon } from '../daemon-socket.ts';
import { TrunkPipe } from './trunk-pipe.ts';

/** Trunks by their link; one that could not be opened is tried again. */
const trunks = new WeakMap<DaemonLink, Promise<Trunk>>();

/** One trunk. */
export class Trunk {
  readonly writer: TrunkWriter;
  readonly link: DaemonLink;
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder('trunk');
  readonly #pipes = new TurnoverMap<number, TrunkPipe>();
  /** Offers that have not come whole. */
  readonly #parts = new Map<number, Buffer[]>();
  /** Offers of the chunk that is being read. */
  readonly #offers = new TurnoverMap<number, OfferedOnTrunk>();
  /** Of the session that was offered last. */
  #lastInfo: TlsInfo | undefined;
  #error: Error | undefined;
  isLost = false;
  #isReceiving = false;
  #mustFlush = false;

  private constructor(link: DaemonLink, socket: Socket, rest: Buffer) {
    this.link = link;
    this.#socket = socket;
    this.writer = new TrunkWriter(socket);
    socket.unref();
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    socket.on('end', () => this.#lose());
    socket.on('close', () => this.#lose());
    // What was written in the turn in which the process ends leaves all the same.
    process.on('exit', this.writer.flush);
    if (rest.length > 0) this.#receive(rest);
    socket.resume();
  }

  /** The trunk of a link that is up. Rejects with the daemon's error, or that of the connection. */
  static of(link: DaemonLink): Promise<Trunk> {
    let trunk = trunks.get(link);
    if (trunk === undefined) {
      trunk = Trunk.#open(link);
      trunks.set(link, trunk);
      trunk.catch(() => trunks.delete(link));
    }
    return trunk;
  }

  static #open(link: DaemonLink): Promise<Trunk> {
    return new Promise((resolve, reject) => {
      const socket = connectToDaemon(link.directory, { checked: true, shard: link.shard });
      const decoder = new LineDecoder();
      const socketOnGone = () => reject(new TlshubError('ERR_TLSHUB_DAEMON_LOST'));
      const socketOnData = (chunk: Buffer) => {
        try {
          decoder.push(chunk);
          const line = decoder.next();
          if (line === undefined) return;
          const message = decodeLine(line);
          if (message.rc !== 1) {
            const reply = parseLaneReply(message);
            throw reply.rc === -1 ? decodeError(reply.error) : new TlshubError('ERR_TLSHUB_PROTOCOL');
          }
          socket.removeAllListeners();
          const trunk = new Trunk(link, socket, decoder.takeRest());
          link.useTrunk(trunk);
          resolve(trunk);
        } catch (error) {
          socket.destroy();
          reject(error);
        }
      };
      socket.on('data', socketOnData);
      socket.on('error', reject);
      socket.on('close', socketOnGone);
      socket.on('end', socketOnGone);
      socket.write(encodeLine({ call: 'trunk', protocol: PROTOCOL_VERSION, process: link.processId }));
    });
  }

  /** A pipe is done with: what still comes for it is dropped. */
  forget(lane: number): void {
    this.#pipes.delete(lane);
  }

  /** Ends it, with its link. */
  end(): void {
    this.writer.flush();
    this.#socket.destroySoon();
  }

  /** Runs `then` when the system has everything that was sent, and sees to it that it soon has. */
  afterSent(then: () => void): void {
    this.writer.afterWritten(then);
    this.#mustFlush = this.#isReceiving;
    if (!this.#isReceiving) process.nextTick(this.writer.flush);
  }

  #receive(chunk: Buffer): void {
    this.#isReceiving = true;
    try {
      this.#decoder.push(chunk);
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next())
        this.#handle(frame);
      // A process that was stopped may read an offer and its end together.
      this.#takeOffers();
    } catch (error) {
      this.#error = error as Error;
      this.#socket.destroy();
    }
    this.#isReceiving = false;
    // What must be known before an application goes on leaves now, for all lanes of a chunk together.
    if (!this.#mustFlush) return;
    this.#mustFlush = false;
    this.writer.flush();
  }

  #handle(frame: Frame): void {
    const { lane } = frame;
    const pipe = this.#pipes.get(lane);
    if (pipe !== undefined) {
      pipe.receive(frame);
      return;
    }
    if (frame.type === FRAME_TYPES.OFFER) this.#readOffer(frame);
    else if (frame.type === FRAME_TYPES.END) this.#offers.delete(lane);
  }

  #readOffer({ lane, flags, payload }: Frame): void {
    const parts = this.#parts.get(lane) ?? [];
    parts.push(payload);
    if ((flags & FRAME_FLAGS.END_OF_UNIT) === 0) {
      this.#parts.set(lane, parts);
      if (parts.reduce((sum, part) => sum + part.length, 0) > MAX_LINE_BYTES)
        throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'an offer is too long');
      return;
    }
    this.#parts.delete(lane);
    const offer = decodeOffer(parts.length === 1 ? payload : Buffer.concat(parts));
    const tls = completeInfo(offer.tls, this.#lastInfo);
    this.#lastInfo = tls;
    this.#offers.set(lane, { ...offer, tls });
  }

  #takeOffers(): void {
    for (const [lane, offer] of this.#offers) {
      this.#offers.delete(lane);
      const listener = this.link.listenerOf(offer.listener);
      const isTaken = listener?.takesSessions === true;
      const type = isTaken ? FRAME_TYPES.TAKE : FRAME_TYPES.CLOSE;
      this.writer.send({ lane, type, flags: 0, offset: 0 });
      if (!isTaken) continue;
      const pipe = new TrunkPipe(this, lane);
      this.#pipes.set(lane, pipe);
      listener.linkOnSession(offer, pipe);
    }
  }

  #lose(): void {
    if (this.isLost) return;
    this.isLost = true;
    process.off('exit', this.writer.flush);
    this.#socket.destroy();
    const pipes = [...this.#pipes.values()];
    this.#pipes.clear();
    for (const pipe of pipes) pipe.trunkOnLost();
    this.link.trunkOnLost(this.#error);
  }
}

/** An offer. It comes from the daemon, of the same version: what it means is not looked at here. */
function decodeOffer(bytes: Buffer): TrunkOffer {
  const value = decodeLine(bytes);
  const isOffer = typeof value.listener === 'number' && typeof value.tls === 'object' && value.tls !== null;
  if (!isOffer || typeof value.framed !== 'object' || value.framed === null)
    throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'an offer does not fit');
  return value as unknown as TrunkOffer;
}
