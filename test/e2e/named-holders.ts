// Processes that hold named sessions for a test: forked, told what to do, and killed.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Scope } from '#helpers/scope.js';
import { within } from '#helpers/wait-for.js';
import type { AttachOptions, ShareableConnectionOptions } from '#src/index.js';

const PROGRAM = fileURLToPath(new URL('./named-holder-process.js', import.meta.url));

/** One thing that a holder's process does; `as` names its socket. */
export type HolderOrder =
  | { do: 'connect'; as: string; options: ShareableConnectionOptions }
  | { do: 'attach'; as: string; handle: string; options: AttachOptions }
  /** Takes exactly so many bytes from the stream. */
  | { do: 'read'; as: string; bytes: number }
  /** Writes, and waits until that is called back. */
  | { do: 'write'; as: string; text: string }
  | { do: 'startWriting'; as: string; text: string }
  /** Collects the chunks that `data` brings. */
  | { do: 'flow'; as: string; encoding?: string }
  /** Collects the chunks of a `for await`, each committed before the next if so told. */
  | { do: 'iterate'; as: string; commits: boolean }
  | { do: 'setState'; as: string; text: string }
  | { do: 'setName'; as: string; name: string; linger?: number }
  | { do: 'commit' | 'release' | 'detach' | 'end' | 'destroy' | 'pause' | 'report'; as: string };

/** A reply of the process; 0 is its first word. */
export interface HolderReply {
  id: number;
  value?: unknown;
  /** Code of the error. */
  failure?: string;
}

/** What a socket says of its session. */
export interface JoinedSession {
  reused: boolean;
  resumedAt: number | null;
  name: string | null;
  sessionId: string | null;
  state: string | null;
}

/** What has become of a socket. */
export interface SocketReport {
  /** As they came since the last report. */
  chunks: string[];
  ended: boolean;
  closed: boolean;
  error: string | undefined;
  bytesRead: number;
}

/** An order that failed, with the code of its error. */
export class OrderFailure extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** A process that holds sessions. */
export class Holder {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: HolderReply) => void>();
  readonly #started: Promise<unknown>;
  #nextId = 1;
  alive = true;

  /**
   * @param scope ends it
   * @param directory of the daemon
   */
  constructor(scope: Scope, directory: string) {
    this.#child = fork(PROGRAM, { env: { ...process.env, TLSHUB_DIR: directory, TLSHUB_LOG: undefined } });
    this.#started = once(this.#child, 'message');
    this.#child.on('message', (reply: HolderReply) => {
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
    this.#child.on('exit', () => {
      this.alive = false;
      for (const [id, settle] of this.#waiting) settle({ id, failure: 'KILLED' });
      this.#waiting.clear();
    });
    scope.after(() => this.kill());
  }

  /** Makes it do something; rejects with {@link OrderFailure}. */
  async tell<Result = void>(order: HolderOrder): Promise<Result> {
    await this.#started;
    const id = this.#nextId++;
    const reply = new Promise<HolderReply>((resolve) => this.#waiting.set(id, resolve));
    this.#child.send({ id, order }, () => undefined);
    const what = `"${order.do}" of a holder`;
    const { failure, value } = await within(reply, { what, deadlineMs: 15_000 });
    if (failure !== undefined) throw new OrderFailure(failure);
    return value as Result;
  }

  /** What has become of a socket. */
  report(as: string): Promise<SocketReport> {
    return this.tell<SocketReport>({ do: 'report', as });
  }

  /** `kill -9`, and waits until the process is gone. */
  async kill(): Promise<void> {
    if (!this.alive) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
