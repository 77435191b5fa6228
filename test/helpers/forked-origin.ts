// The counting origin in a process of its own, for tests that move many bytes or whose own process is busy.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { OriginCounts, OriginOptions } from './counting-origin.ts';
import type { ConnectionWatch } from './record-watch.ts';
import { childEnvironment, NODE } from './run-node.ts';
import type { Scope } from './scope.ts';
import { within } from './wait-for.ts';

/** An origin in another process. */
export interface ForkedOrigin {
  readonly port: number;
  readonly pid: number;
  /** What clients have cost it so far. */
  counts(): Promise<OriginCounts>;
  /** How the clients' sides ended; only with `watchEnds`. */
  outcomes(): Promise<ConnectionWatch['outcome'][]>;
  /** Sends a signal to the process (SIGSTOP makes a peer that never answers). */
  kill(signal: NodeJS.Signals): void;
}

interface Report {
  counts: OriginCounts;
  outcomes: ConnectionWatch['outcome'][];
}

/** Starts an origin in another process, which is ended after the test. */
export async function forkOrigin(scope: Scope, options: OriginOptions): Promise<ForkedOrigin> {
  const program = fileURLToPath(new URL('./origin-process.js', import.meta.url));
  const child = fork(program, [JSON.stringify(options)], { execPath: NODE, env: childEnvironment() });
  const exited = once(child, 'exit');
  scope.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const [{ port }] = (await within(once(child, 'message'), { what: 'the origin process' })) as [
    { port: number },
  ];
  const report = async (): Promise<Report> => {
    const answer = once(child, 'message');
    child.send('report');
    return (await within(answer, { what: 'a report of the origin process' }))[0] as Report;
  };
  return {
    port,
    pid: child.pid ?? -1,
    counts: async () => (await report()).counts,
    outcomes: async () => (await report()).outcomes,
    kill: (signal) => void child.kill(signal),
  };
}
