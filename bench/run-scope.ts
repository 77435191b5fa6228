// What a benchmark tidies up: everything that it started, in reverse order, also when it is interrupted.
import type { Scope } from '#helpers/scope.js';

/** A scope that is closed by hand. */
export class RunScope implements Scope {
  readonly #tasks: (() => void | Promise<void>)[] = [];
  #isClosing = false;

  /** Whether it is over: what fails from now on fails for that reason. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  after(task: () => void | Promise<void>): void {
    this.#tasks.push(task);
  }

  /** Runs all tasks, those that are added meanwhile too. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (let task = this.#tasks.pop(); task !== undefined; task = this.#tasks.pop()) await task();
  }

  /** A scope within this one, which may be closed before it. */
  inner(): RunScope {
    const inner = new RunScope();
    this.after(() => inner.close());
    return inner;
  }
}

/** Runs a benchmark with a scope, and tidies up whatever happens; SIGINT and SIGTERM end the process with 1. */
export async function withScope(run: (scope: RunScope) => Promise<void>): Promise<void> {
  const scope = new RunScope();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      // What still runs finds its processes gone: that is no news, and no reason to start a daemon again.
      process.env.TLSHUB = 'off';
      process.on('uncaughtException', () => undefined);
      void scope.close().finally(() => process.exit(1));
    });
  }
  try {
    await run(scope);
  } finally {
    await scope.close();
  }
}
