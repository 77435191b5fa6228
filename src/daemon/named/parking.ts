// Activate on receipt: a parked session has no process. When bytes are there, or the peer closes, or the session
// fails, or the time is over, its command is started once, with a handle to take the session over and the reason. A
// command that cannot start, or dies at once, is tried again with back-off; then the session is closed.
import { TlshubError } from '../../errors.ts';
import type { ActivationReason } from '../../protocol/session-report.ts';
import type { Handles } from '../handles.ts';
import type { Logger } from '../log.ts';
import type { CommandEnd, CommandOrder, CommandRunner } from './command-runner.ts';
import type { NamedSession } from './named-session.ts';

/** What a session is parked with. */
export interface ParkOrder {
  run: string[];
  /** Absolute. */
  cwd: string;
  /** Wires the session to the command's standard input and output instead of giving it the handle only. */
  stdio: boolean;
  /** Milliseconds until the command is started without a byte; `null` never. */
  timeoutMs: number | null;
}

interface ParkingServices {
  runner: Pick<CommandRunner, 'start'>;
  handles: Handles;
  log: Logger;
  directory: string;
}

/** Tries of one activation, and the pause after the first failed one, which doubles. */
const MAX_TRIES = 5;
const FIRST_PAUSE_MS = 500;
/** A command that ends sooner than this with a failure, and without taking the session, has not done its work. */
const AT_ONCE_MS = 1_000;

/** A parked session, until its command has taken over. */
export class Parking {
  readonly order: ParkOrder;
  readonly #named: NamedSession;
  readonly #services: ParkingServices;
  #timer: NodeJS.Timeout | undefined;
  #reason: ActivationReason | undefined;
  #tries = 0;
  #lastFailure: string | undefined;

  /** @param named without holders */
  constructor(named: NamedSession, order: ParkOrder, services: ParkingServices) {
    this.order = order;
    this.#named = named;
    this.#services = services;
    if (order.timeoutMs !== null) this.#timer = setTimeout(() => this.activate('timeout'), order.timeoutMs);
  }

  /** Why the command is started; `undefined` while nothing has happened. */
  get reason(): ActivationReason | undefined {
    return this.#reason;
  }

  /** How often the command was started, or was to be. */
  get tries(): number {
    return this.#tries;
  }

  /** What became of the last try that failed. */
  get lastFailure(): string | undefined {
    return this.#lastFailure;
  }

  /** Something has happened that the command is there for; only the first time counts. */
  activate(reason: ActivationReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    clearTimeout(this.#timer);
    this.#start();
  }

  /** The session is held again, or is gone. */
  cancel(): void {
    clearTimeout(this.#timer);
    this.#reason ??= 'close';
    this.#tries = MAX_TRIES;
  }

  #start(): void {
    this.#services.runner.start(
      () => this.#commandOrder(),
      (end) => this.#commandOnEnd(end),
    );
  }

  #isCurrent(): boolean {
    return this.#named.parking === this;
  }

  /** Asked when the command's turn has come. */
  #commandOrder(): CommandOrder | undefined {
    if (!this.#isCurrent()) return undefined;
    this.#tries += 1;
    const handle = this.#services.handles.issue(this.#named.session);
    const { run, cwd, stdio } = this.order;
    const env = {
      TLSHUB_HANDLE: handle,
      TLSHUB_REASON: this.#reason ?? 'data',
      TLSHUB_DIR: this.#services.directory,
    };
    return {
      run,
      cwd,
      env,
      stdio: stdio ? { handle, isTaken: () => !this.#isCurrent() } : undefined,
    };
  }

  #commandOnEnd({ failure, exitCode, ranMs }: CommandEnd): void {
    // Held, or held and left again: the command has done what it was started for.
    if (!this.#isCurrent()) return;
    const what =
      failure === undefined
        ? `ended with ${exitCode ?? 'a signal'} after ${Math.round(ranMs)} ms`
        : `could not be started: ${failure.message}`;
    const { id } = this.#named.session;
    const program = this.order.run[0];
    if (failure === undefined && (exitCode === 0 || ranMs >= AT_ONCE_MS)) {
      // It ended without taking the session: that stays, for its linger, for whoever comes.
      if (exitCode !== 0) this.#services.log.warn({ session: id, program }, `the command ${what}`);
      this.#named.unpark();
      return;
    }
    this.#lastFailure = `its command ${what}`;
    if (this.#tries < MAX_TRIES) {
      this.#services.log.warn({ session: id, program, try: this.#tries }, `the command ${what}`);
      this.#timer = setTimeout(() => this.#start(), FIRST_PAUSE_MS * 2 ** (this.#tries - 1));
      return;
    }
    const reason = `its command failed ${MAX_TRIES} times: ${what}`;
    this.#services.log.error({ session: id, program, reason }, 'a parked session is closed');
    this.#named.unpark();
    this.#named.close(reason, new TlshubError('ERR_TLSHUB_CLOSED', reason));
  }
}
