// This process's end of a trunk: the one connection on which the daemon gives its servers their sessions, each on a lane of
// its own (trunk-pipe.ts). It takes what a server that listens is offered. It lives as long as its link.
import type { Socket } from 'node:net';
import { TlshubError } from '../../errors.ts';
import { TrunkWriter } from '../../link/trunk-writer.ts';
import { FRAME_FLAGS, FRAME_TYPES, type Frame, FrameDecoder } from '../../protocol/frame-codec.ts';
import { MAX_LINE_BYTES, PROTOCOL_VERSION } from '../../protocol/limits.ts';
import { decodeLine, encodeLine, LineDecoder } from '../../protocol/line-codec.ts';
import { parseLaneReply, type TrunkOpening } from '../../protocol/messages.ts';
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
  readonly #pipes = new Map<number, TrunkPipe>();
  /** Descriptions that have not come whole. */
  readonly #openings = new Map<number, Buffer[]>();
  /** Of the session that was described last. */
  #lastCertificate: string | null = null;
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
    if (frame.type === FRAME_TYPES.OFFER) {
      if (this.link.listenerOf(frame.offset)?.takesSessions)
        this.writer.send({ lane, type: FRAME_TYPES.TAKE, flags: 0, offset: 0 });
    } else if (frame.type === FRAME_TYPES.OPEN) {
      this.#takeOpening(frame);
    }
  }

  #takeOpening({ lane, flags, payload }: Frame): void {
    const parts = this.#openings.get(lane) ?? [];
    parts.push(payload);
    if ((flags & FRAME_FLAGS.END_OF_UNIT) === 0) {
      this.#openings.set(lane, parts);
      if (parts.reduce((sum, part) => sum + part.length, 0) > MAX_LINE_BYTES)
        throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'a description is too long');
      return;
    }
    this.#openings.delete(lane);
    const opening = readOpening(parts.length === 1 ? payload : Buffer.concat(parts));
    const { certificate = this.#lastCertificate } = opening.tls;
    this.#lastCertificate = certificate;
    opening.tls.certificate = certificate;
    const pipe = new TrunkPipe(this, lane);
    this.#pipes.set(lane, pipe);
    const listener = this.link.listenerOf(opening.listener);
    if (listener === undefined) pipe.close();
    else listener.linkOnSession(opening, pipe);
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

/** The description of a session. It comes from the daemon, of the same version: what it means is not looked at here. */
function readOpening(bytes: Buffer): TrunkOpening {
  const value = decodeLine(bytes);
  const isOpening = typeof value.listener === 'number' && typeof value.tls === 'object' && value.tls !== null;
  if (!isOpening || typeof value.framed !== 'object' || value.framed === null)
    throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'a description does not fit');
  return value as unknown as TrunkOpening;
}
