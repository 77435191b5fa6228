// Many clients in a process of their own, for the tests of servers whose process comes and goes.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { childEnvironment } from '#helpers/run-node.js';
import type { Scope } from '#helpers/scope.js';
import { waitFor, within } from '#helpers/wait-for.js';

const PROGRAM = fileURLToPath(new URL('./swarm-process.js', import.meta.url));
const DEADLINE_MS = 120_000;

/** What the process is started with. */
export interface SwarmArguments {
  kind: 'websocket' | 'line' | 'mqtt';
  port: number;
  caFile: string;
  /** Clients. */
  count: number;
}

/** One thing that all clients do. */
export type SwarmOrder = { do: 'open' | 'progress' | 'report' } | { do: 'say'; count: number; half?: 0 | 1 };

/** How far the clients are. */
export interface SwarmProgress {
  /** Messages that the client has that has fewest, and most. */
  least: number;
  most: number;
  /** Answers that are still to come. */
  awaited: number;
  failures: string[];
}

/** What they have seen. */
export interface SwarmReport {
  /** What was received, in order, and the clients that received just this. */
  lists: { received: string[]; indexes: number[] }[];
  failures: string[];
}

/** The clients. */
export class Swarm {
  readonly #child: ChildProcess;
  #nextId = 1;

  constructor(scope: Scope, options: SwarmArguments) {
    this.#child = fork(PROGRAM, [JSON.stringify(options)], { env: childEnvironment() });
    this.#child.setMaxListeners(0);
    const exited = once(this.#child, 'exit');
    scope.after(async () => {
      this.#child.kill('SIGKILL');
      await exited;
    });
  }

  /** Opens all connections. */
  open(): Promise<SwarmProgress> {
    return this.#tell<SwarmProgress>({ do: 'open' });
  }

  /** Every client, or every client of one half, says so many messages; answers at once. */
  say(count: number, half?: 0 | 1): Promise<SwarmProgress> {
    return this.#tell<SwarmProgress>({ do: 'say', count, half });
  }

  /** Waits until every client has so many messages, and every answer that is due; fails when one loses its connection. */
  async until(received: number): Promise<void> {
    await this.#wait(received, ({ least, awaited }) => least >= received && awaited === 0);
  }

  /** Waits until some client has so many messages. */
  async untilSome(received: number): Promise<void> {
    await this.#wait(received, ({ most }) => most >= received);
  }

  report(): Promise<SwarmReport> {
    return this.#tell<SwarmReport>({ do: 'report' });
  }

  async #wait(received: number, isDone: (progress: SwarmProgress) => boolean): Promise<void> {
    let last: SwarmProgress | undefined;
    const done = async () => {
      last = await this.#tell<SwarmProgress>({ do: 'progress' });
      if (last.failures.length > 0) throw new Error(last.failures.slice(0, 10).join('\n'));
      return isDone(last);
    };
    const what = () => `${received} messages; there are ${JSON.stringify(last)}`;
    await waitFor(done, { what, deadlineMs: DEADLINE_MS });
  }

  async #tell<Result>(order: SwarmOrder): Promise<Result> {
    const id = this.#nextId++;
    const reply = new Promise<Result>((resolve) => {
      const childOnMessage = (message: { id: number; value: Result }) => {
        if (message.id !== id) return;
        this.#child.off('message', childOnMessage);
        resolve(message.value);
      };
      this.#child.on('message', childOnMessage);
    });
    this.#child.send({ id, order });
    return within(reply, { what: `"${order.do}" of the clients`, deadlineMs: DEADLINE_MS });
  }
}
