// How the frames of one socket travel to the daemon and back: on a Unix socket of its own (here), or on the trunk of this
// process (trunk.ts). What the frames mean is framed-transport.ts.
import { Socket, type SocketConstructorOpts } from 'node:net';
import {
  encodeFrame,
  type Frame,
  FrameDecoder,
  type FrameType,
  writeDataFrame,
} from '../protocol/frame-codec.ts';
import type { StreamHandle } from './lane-handle.ts';

/** Who is told what comes. */
export interface FramePipeOwner {
  /** Throws for what the daemon must not send. */
  pipeOnFrame(frame: Frame): void;
  pipeOnFault(error: Error): void;
  /** Nothing more comes. */
  pipeOnEnd(): void;
  /** What is written does not arrive. */
  pipeOnBroken(error: Error): void;
}

/** Carries frames, both ways. */
export interface FramePipe {
  /** It shares a trunk: the daemon acknowledges rarely, and also behind its own end. */
  readonly isOnTrunk: boolean;
  start(owner: FramePipeOwner): void;
  sendData(flags: number, offset: number, payload: Buffer): void;
  /** A frame without a payload. */
  send(type: FrameType, offset: number): void;
  /** On a trunk: runs `then` when the system has what was sent; nothing that this process suffers undoes it then. */
  afterWritten?(then: () => void): void;
  /** Keeps state with the session, on a trunk. */
  sendState?(state: Buffer): void;
  /** Runs `note` soon, before what was sent meanwhile can have its effect. */
  soon(note: () => void): void;
  /** Runs `then` when the system has everything that was sent. */
  afterSent(then: () => void): void;
  /** Nothing is told while it is held. */
  hold(held: boolean): void;
  /** The socket is done with it; what was sent still leaves. */
  close(): void;
  ref(): void;
  unref(): void;
}

/** A lane of its own. */
export class OwnPipe implements FramePipe {
  readonly isOnTrunk = false;
  readonly #carrier: Socket;
  readonly #head: Buffer;
  readonly #decoder = new FrameDecoder();

  /**
   * @param handle of the lane, its reply line read
   * @param head what came behind that line
   */
  constructor(handle: StreamHandle, head: Buffer) {
    this.#carrier = new Socket({ handle, allowHalfOpen: true } as unknown as SocketConstructorOpts);
    this.#head = head;
  }

  start(owner: FramePipeOwner): void {
    const carrier = this.#carrier;
    carrier.on('data', (chunk: Buffer) => this.#receive(chunk, owner));
    carrier.on('end', () => owner.pipeOnEnd());
    carrier.on('close', () => owner.pipeOnEnd());
    carrier.on('error', (error) => owner.pipeOnBroken(error));
    if (this.#head.length > 0) this.#receive(this.#head, owner);
    carrier.resume();
  }

  sendData(flags: number, offset: number, payload: Buffer): void {
    writeDataFrame(this.#carrier, { flags, offset, payload });
  }

  send(type: FrameType, offset: number): void {
    this.#carrier.write(encodeFrame({ type, offset }));
  }

  soon(note: () => void): void {
    process.nextTick(note);
  }

  afterSent(then: () => void): void {
    if (this.#carrier.writableLength === 0) then();
    else this.#carrier.write('', then);
  }

  hold(held: boolean): void {
    if (held) this.#carrier.pause();
    else this.#carrier.resume();
  }

  close(): void {
    this.#carrier.destroySoon();
  }

  ref(): void {
    this.#carrier.ref();
  }

  unref(): void {
    this.#carrier.unref();
  }

  #receive(chunk: Buffer, owner: FramePipeOwner): void {
    // What the application writes in answer, and the acknowledgement of what it took, leave together.
    this.#carrier.cork();
    try {
      this.#decoder.push(chunk);
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next())
        owner.pipeOnFrame(frame);
    } catch (error) {
      owner.pipeOnFault(error as Error);
    }
    process.nextTick(() => this.#carrier.uncork());
  }
}
