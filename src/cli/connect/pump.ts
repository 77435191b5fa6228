// Moves bytes between a program's two pipes and one session until the session is over or was given up. It obeys
// backpressure in both directions and decides when an answer is complete; it knows nothing of flags and prints nothing.
import type { Readable, Writable } from 'node:stream';
import { TlshubError } from '../../errors.ts';
import type { TlshubSocket } from '../../wrapper/connect.ts';

/** What is done with the session when the input has ended; `leave` is `release` without waiting for an answer. */
export type AtInputEnd = 'end' | 'release' | 'leave' | 'detach';

/** Between what bytes are moved. */
export interface PumpOptions {
  /** Open (`secureConnect` was emitted). */
  readonly socket: TlshubSocket;
  readonly input: Readable;
  readonly output: Writable;
  readonly atInputEnd: AtInputEnd;
  /** Milliseconds without a byte from the peer after which an answer counts as complete (`release`). */
  readonly quietMs: number;
}

/** How it ended: the session is over, or in the pool again, or waits for whoever has the handle. */
export type PumpResult = { ended: 'closed' } | { ended: 'released' } | { ended: 'detached'; handle: string };

/**
 * Moves bytes until the session is over or given up. Rejects with the session's error, and with
 * ERR_TLSHUB_NOT_DETACHABLE when the peer ended a session that was to be detached.
 */
export function pump({ socket, input, output, atInputEnd, quietMs }: PumpOptions): Promise<PumpResult> {
  const quiet = new QuietWatch(quietMs);
  const copied = copyToOutput(socket, output, quiet);
  return new Promise<PumpResult>((resolve, reject) => {
    let failure: Error | undefined;
    let givingUp = false;
    socket.on('error', (error) => {
      failure ??= error;
    });
    // A session that is given up closes too; its own promise tells how that went.
    socket.on('close', () => {
      if (failure !== undefined) reject(failure);
      else if (!givingUp && atInputEnd === 'detach') reject(endedTooEarly());
      else if (!givingUp) resolve({ ended: 'closed' });
    });
    input.on('error', reject);
    input.on('data', () => quiet.sent());
    const giveUp = async (): Promise<PumpResult> => {
      if (atInputEnd === 'detach') {
        givingUp = true;
        copied.stop();
        return { ended: 'detached', handle: await socket.detach() };
      }
      if (atInputEnd === 'release') await quiet.settled();
      else copied.stop();
      givingUp = true;
      await socket.release();
      return { ended: 'released' };
    };
    input.on('end', () => {
      if (socket.destroyed) return;
      if (atInputEnd === 'end') socket.end();
      else giveUp().then(resolve, (error) => reject(failure ?? error));
    });
    input.pipe(socket, { end: false });
  }).finally(() => {
    input.unpipe(socket);
    quiet.stop();
    copied.stop();
    socket.destroy();
  });
}

/** Writes what the peer sends to the output, no faster than that takes it. */
function copyToOutput(socket: TlshubSocket, output: Writable, quiet: QuietWatch): { stop(): void } {
  const outputOnDrain = () => {
    quiet.hear();
    socket.resume();
  };
  const socketOnData = (chunk: Buffer) => {
    quiet.received();
    if (output.write(chunk)) return;
    quiet.deafen();
    socket.pause();
  };
  socket.on('data', socketOnData);
  output.on('drain', outputOnDrain);
  return {
    stop() {
      // First: a stream that flows without a listener loses its bytes.
      socket.pause();
      socket.off('data', socketOnData);
      output.off('drain', outputOnDrain);
    },
  };
}

/**
 * Tells when an answer is complete as far as that can be told without knowing the protocol: something came after the
 * last byte that was sent (or nothing was sent), and then nothing for a while.
 */
class QuietWatch {
  readonly #quietMs: number;
  #answered = true;
  #deaf = false;
  #awaited: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(quietMs: number) {
    this.#quietMs = quietMs;
  }

  sent(): void {
    this.#answered = false;
  }

  received(): void {
    this.#answered = true;
    this.#restart();
  }

  /** Bytes may come unnoticed, so the peer cannot be called quiet; until {@link hear}. */
  deafen(): void {
    this.#deaf = true;
    this.stop();
  }

  hear(): void {
    this.#deaf = false;
    this.#restart();
  }

  /** Resolves at the end of the answer. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#awaited = resolve;
      this.#restart();
    });
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #restart(): void {
    this.stop();
    if (this.#awaited === undefined || !this.#answered || this.#deaf) return;
    this.#timer = setTimeout(this.#awaited, this.#quietMs);
  }
}

function endedTooEarly(): TlshubError {
  return new TlshubError('ERR_TLSHUB_NOT_DETACHABLE', 'the peer ended the session before it was detached');
}
