// Starts the commands of parked sessions: as the daemon's user, a bounded number at once and a bounded number a
// second, first come, first served. What a command prints goes to the daemon's log; its end is told once.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { commandEnvironment } from './command-environment.ts';

/** A command to start. */
export interface CommandOrder {
  /** Program and arguments; no shell is involved. */
  run: readonly string[];
  /** Working directory. */
  cwd: string;
  /** Variables on top of {@link commandEnvironment}. */
  env: Readonly<Record<string, string>>;
  /** Wires a session to the command's standard input and output. */
  stdio: CommandWire | undefined;
}

/** The session that is wired to a command. */
export interface CommandWire {
  /** By which the wire takes the session over. */
  handle: string;
  /** True once the session is taken over: from then on the command's end is the end of its part. */
  isTaken(): boolean;
}

/** How a command ended. */
export interface CommandEnd {
  /** Why it could not start, or could not be wired, if so. */
  failure: Error | undefined;
  /** Exit code; `null` after a signal. */
  exitCode: number | null;
  /** Milliseconds it ran. */
  ranMs: number;
}

/** Limits of a runner. */
export interface RunnerLimits {
  maxRunning: number;
  maxStartsPerSecond: number;
}

interface QueuedCommand {
  order: () => CommandOrder | undefined;
  onEnd: (end: CommandEnd) => void;
}

type Tell = (failure: Error | undefined, exitCode: number | null) => void;

const MAIN = fileURLToPath(new URL('../../cli/main.js', import.meta.url));

/** Runs commands within the limits. */
export class CommandRunner {
  readonly #limits: RunnerLimits;
  readonly #queue: QueuedCommand[] = [];
  #running = 0;
  #startsThisSecond = 0;
  #secondTimer: NodeJS.Timeout | undefined;

  constructor(limits: RunnerLimits) {
    this.#limits = limits;
  }

  /** Commands that run now. */
  get running(): number {
    return this.#running;
  }

  /** Commands that wait for their turn. */
  get queued(): number {
    return this.#queue.length;
  }

  /**
   * Starts a command when its turn comes.
   * @param order asked when the turn has come; `undefined` when it is not wanted any more
   * @param onEnd called once for a command that was started, or could not be
   */
  start(order: () => CommandOrder | undefined, onEnd: (end: CommandEnd) => void): void {
    this.#queue.push({ order, onEnd });
    this.#next();
  }

  #next(): void {
    while (
      this.#running < this.#limits.maxRunning &&
      this.#startsThisSecond < this.#limits.maxStartsPerSecond
    ) {
      const entry = this.#queue.shift();
      if (entry === undefined) return;
      const order = entry.order();
      if (order !== undefined) this.#run(order, entry.onEnd);
    }
  }

  #run(order: CommandOrder, onEnd: (end: CommandEnd) => void): void {
    this.#running += 1;
    this.#countStart();
    const startedAtMs = performance.now();
    let told = false;
    const tell: Tell = (failure, exitCode) => {
      if (told) return;
      told = true;
      this.#running -= 1;
      onEnd({ failure, exitCode, ranMs: performance.now() - startedAtMs });
      this.#next();
    };
    try {
      if (order.stdio === undefined) runAlone(order, tell);
      else runWired(order, order.stdio, tell);
    } catch (error) {
      tell(error as Error, null);
    }
  }

  #countStart(): void {
    this.#startsThisSecond += 1;
    this.#secondTimer ??= setTimeout(() => {
      this.#secondTimer = undefined;
      this.#startsThisSecond = 0;
      this.#next();
    }, 1_000);
  }
}

/** A process group of its own: it outlives the daemon, and no signal for the daemon reaches it. */
function spawnCommand({ run, cwd, env }: CommandOrder, stdio: 'ignore' | 'pipe'): ChildProcess {
  const [program = '', ...args] = run;
  const standard = stdio === 'pipe' ? (['pipe', 'pipe'] as const) : (['ignore', 'inherit'] as const);
  return spawn(program, args, {
    cwd,
    env: commandEnvironment(env),
    detached: true,
    stdio: [...standard, 'inherit'],
  });
}

function runAlone(order: CommandOrder, tell: Tell): void {
  const child = spawnCommand(order, 'ignore');
  child.on('error', (error) => tell(error, null));
  child.on('exit', (code) => tell(undefined, code));
}

/**
 * A wrapper process of its own carries the bytes; the command has its pipes. The command is made first: one that
 * cannot start must not have cost the session anything.
 */
function runWired(order: CommandOrder, wire: CommandWire, tell: Tell): void {
  const child = spawnCommand(order, 'pipe');
  child.on('error', (error) => tell(error, null));
  if (child.pid === undefined) return;
  let wrapper: ChildProcess;
  try {
    wrapper = spawn(process.execPath, [MAIN, 'connect', '--attach', wire.handle], {
      env: commandEnvironment(order.env),
      stdio: [child.stdout, child.stdin, 'inherit'],
    });
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  // Our copies of the pipes would keep either side from seeing the other's end.
  child.stdin?.destroy();
  child.stdout?.destroy();
  let commandCode: number | null | undefined;
  let wireCode: number | null | undefined;
  const check = () => {
    if (commandCode === undefined || wireCode === undefined) return;
    const isUnwired = commandCode === 0 && wireCode !== 0 && !wire.isTaken();
    tell(isUnwired ? new Error('the session could not be wired to it') : undefined, commandCode);
  };
  child.on('exit', (code) => {
    commandCode = code;
    // A command that dies at once is tried again, with the session as it was.
    if (code !== 0 && !wire.isTaken()) wrapper.kill('SIGKILL');
    check();
  });
  wrapper.on('error', (error) => {
    child.kill('SIGKILL');
    tell(error, null);
  });
  wrapper.on('exit', (code) => {
    wireCode = code;
    check();
  });
}
