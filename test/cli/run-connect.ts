// `tlshub connect` as a process whose output is taken as bytes.
import { type ChildProcess, spawn } from 'node:child_process';
import { childEnvironment, NODE, PACKAGE_ROOT } from '#helpers/run-node.js';
import type { Scope } from '#helpers/scope.js';
import { waitFor, within } from '#helpers/wait-for.js';

/** How a process ended. */
export interface ConnectResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: Buffer;
  stderr: string;
}

/** A process that runs. */
export interface RunningConnect {
  readonly child: ChildProcess;
  /** What it has written so far. */
  stdout(): Buffer;
  stderr(): string;
  /** Waits until standard output has so many bytes. */
  received(bytes: number): Promise<Buffer>;
  /** Waits until standard error contains the text. */
  said(text: string): Promise<void>;
  /** How it ended; rejects when that takes too long. */
  readonly result: Promise<ConnectResult>;
}

/** Starts `tlshub connect`, with standard input open; it is killed after the test. */
export function startConnect(
  scope: Scope,
  args: readonly string[],
  env: Record<string, string | undefined>,
): RunningConnect {
  const child = spawn(NODE, ['dist/cli/main.js', 'connect', ...args], {
    cwd: PACKAGE_ROOT,
    env: childEnvironment(env),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  scope.after(() => void child.kill('SIGKILL'));
  const parts: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => void parts.push(chunk));
  child.stdout.on('error', () => undefined);
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // A process that does not read its input to the end is no failure of the test.
  child.stdin.on('error', () => undefined);
  const stdout = () => Buffer.concat(parts);
  const ended = new Promise<ConnectResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout: stdout(), stderr }));
  });
  const result = within(ended, { what: () => `the end of connect: ${stderr}`, deadlineMs: 30_000 });
  result.catch(() => undefined);
  return {
    child,
    stdout,
    stderr: () => stderr,
    result,
    received: (bytes) =>
      waitFor(() => stdout().length >= bytes && stdout(), {
        what: () => `${bytes} bytes of output: ${stdout().length}, ${stderr}`,
      }),
    said: async (text) => {
      await waitFor(() => stderr.includes(text), { what: () => `"${text}" on standard error: ${stderr}` });
    },
  };
}

/** Runs `tlshub connect` to its end with all of its input. */
export async function runConnect(
  scope: Scope,
  args: readonly string[],
  env: Record<string, string | undefined>,
  input: string | Buffer = '',
): Promise<ConnectResult> {
  const running = startConnect(scope, args, env);
  running.child.stdin?.end(input);
  return running.result;
}
