// `tlshub endpoint` as a process that stays: its address, what it says, and how it ends.
import type { ChildProcess } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { NODE, type RunResult, spawnProcess } from '#helpers/run-node.js';
import type { Scope } from '#helpers/scope.js';

/** An endpoint that is open. */
export interface RunningEndpoint {
  readonly child: ChildProcess;
  readonly pid: number;
  /** As it was printed. */
  readonly address: string;
  readonly port: number;
  stderr(): string;
  readonly result: Promise<RunResult>;
  /** A plain connection to it; destroyed after the test. */
  connect(options?: { allowHalfOpen?: boolean }): Socket;
}

/** Starts `tlshub endpoint` and waits until it is open; it is killed after the test. */
export async function startEndpoint(
  scope: Scope,
  args: readonly string[],
  directory: string,
): Promise<RunningEndpoint> {
  const running = spawnProcess(NODE, ['dist/cli/main.js', 'endpoint', '-d', directory, ...args], {
    deadlineMs: 120_000,
  });
  scope.after(async () => {
    running.child.kill('SIGKILL');
    await running.result.catch(() => undefined);
  });
  await running.printed('\n');
  const address = running.stdout.trim();
  const port = Number(/:(\d+)$/.exec(address)?.[1]);
  return {
    child: running.child,
    pid: running.pid,
    address,
    port,
    stderr: () => running.stderr,
    result: running.result,
    connect(options = {}) {
      const host = '127.0.0.1';
      const client = connect({
        ...(address.startsWith('/') ? { path: address } : { host, port }),
        ...options,
      });
      client.on('error', () => undefined);
      scope.after(() => void client.destroy());
      return client;
    },
  };
}
