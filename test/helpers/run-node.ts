// Real node processes: a script text (ES module) runs in a process of its own, with `import 'tlshub'` meaning this
// package. TLSHUB_TEST_NODE names another node binary to run them with.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { waitFor, within } from './wait-for.ts';

/** Root of the package; the working directory of every script, so that the package can import itself by name. */
export const PACKAGE_ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The node binary that scripts and daemons run with. */
export const NODE = process.env.TLSHUB_TEST_NODE ?? process.execPath;

/** How a script is run. */
export interface RunOptions {
  /** Added to a copy of this process's environment; `undefined` takes a variable away. */
  env?: Record<string, string | undefined>;
  /** Options for node itself, before the script. */
  nodeArguments?: readonly string[];
  /** The script's `process.argv` from index 1 on. */
  arguments?: readonly string[];
  /** Written to standard input, which is then closed; absent: standard input stays open. */
  stdin?: string | Buffer;
  /** Milliseconds until the process is killed and the run fails; default 30,000. */
  deadlineMs?: number;
}

/** How a process ended. */
export interface RunResult {
  /** Exit code, or `null` after a signal. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A process that runs. */
export interface RunningNode {
  readonly child: ChildProcess;
  readonly pid: number;
  /** What it has written so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** Settles when it is over; rejects when that took longer than the deadline. */
  readonly result: Promise<RunResult>;
  /** Waits until standard output contains the text; fails when the process ends without it. */
  printed(text: string): Promise<void>;
}

/** The environment of a child: this process's without what node's test runner put there, and with changes. */
export function childEnvironment(changes: Record<string, string | undefined> = {}): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { ...process.env, ...changes };
  for (const name of Object.keys(environment)) {
    if (environment[name] === undefined || name === 'NODE_TEST_CONTEXT') delete environment[name];
  }
  return environment;
}

/** Starts a script. */
export function spawnNode(script: string, options: RunOptions = {}): RunningNode {
  return spawnProcess(
    NODE,
    [...(options.nodeArguments ?? []), '--input-type=module', '--eval', script, ...(options.arguments ?? [])],
    options,
  );
}

/** Runs a script to its end. */
export async function runNode(script: string, options: RunOptions = {}): Promise<RunResult> {
  return spawnNode(script, options).result;
}

/**
 * Runs a script to its end and answers its standard output as JSON; throws with its standard error when it failed.
 */
export async function runNodeForJson(script: string, options: RunOptions = {}): Promise<unknown> {
  const result = await runNode(script, options);
  if (result.code !== 0) {
    throw new Error(
      `the script ended with ${result.code ?? result.signal}: ${result.stderr}${result.stdout}`,
    );
  }
  return JSON.parse(result.stdout);
}

/** Runs the package's command line, as `tlshub` would. */
export async function runCli(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return spawnProcess(NODE, ['dist/cli/main.js', ...args], options).result;
}

/** Starts any program in the package's root. */
export function spawnProcess(command: string, args: readonly string[], options: RunOptions): RunningNode {
  const child = spawn(command, args, {
    cwd: PACKAGE_ROOT,
    env: childEnvironment(options.env),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  // A process that does not read its input is no failure of the test.
  child.stdin.on('error', () => undefined);
  if (options.stdin !== undefined) child.stdin.end(options.stdin);
  const ended = new Promise<RunResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, ...output }));
  });
  let over = false;
  const result = within(ended, { what: 'the end of the process', deadlineMs: options.deadlineMs ?? 30_000 })
    .catch((error: Error) => {
      child.kill('SIGKILL');
      error.message += `\n${output.stderr}${output.stdout}`;
      throw error;
    })
    .finally(() => {
      over = true;
    });
  // The caller may look at `printed` first; its failure must not count as unhandled.
  result.catch(() => undefined);
  return {
    child,
    pid: child.pid ?? -1,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    result,
    async printed(text) {
      const state = await waitFor(() => (output.stdout.includes(text) ? 'printed' : over && 'over'), {
        what: `"${text}" on standard output`,
      });
      if (state === 'over')
        throw new Error(`the process ended without "${text}": ${output.stderr}${output.stdout}`);
    },
  };
}
