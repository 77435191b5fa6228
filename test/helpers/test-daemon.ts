// A private daemon: the real command line in a process and a directory of its own, gone after the test.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Readable } from 'node:stream';
import { socketPath } from '#src/link/socket-path.js';
import { PROTOCOL_VERSION } from '#src/protocol/limits.js';
import { decodeLine, encodeLine, LineDecoder } from '#src/protocol/line-codec.js';
import { childEnvironment, NODE, PACKAGE_ROOT } from './run-node.ts';
import type { Scope } from './scope.ts';
import { tempDir } from './temp-dir.ts';
import { waitFor, within } from './wait-for.ts';

/** How a daemon is started. */
export interface TestDaemonOptions {
  /** Further arguments of `tlshub daemon`. */
  arguments?: readonly string[];
  /** Added to a copy of this process's environment. */
  env?: Record<string, string | undefined>;
  /** Node's program; default the one that all scripts run with. */
  node?: string | undefined;
  /** Options for node itself. */
  nodeArguments?: readonly string[];
  /** Default a new one, removed after the test. */
  directory?: string;
}

/** A running daemon. */
export interface TestDaemon {
  readonly directory: string;
  readonly pid: number;
  readonly child: ChildProcess;
  /** Everything that it has written to its log. */
  log(): string;
  /** The answer to `status`, asked for on the wire without the wrapper. */
  status(): Promise<Record<string, unknown>>;
  /** The answer to `sessions`, likewise. */
  sessions(): Promise<Record<string, unknown>[]>;
  /** Sends a signal; waits for the end after one that ends the process. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Ends it with SIGTERM and waits; answers its exit code. */
  stop(): Promise<number | null>;
}

/** Starts a daemon and waits until it says that it is ready. */
export async function startTestDaemon(scope: Scope, options: TestDaemonOptions = {}): Promise<TestDaemon> {
  const directory = options.directory ?? tempDir(scope);
  const child = spawn(
    options.node ?? NODE,
    [
      ...(options.nodeArguments ?? []),
      'dist/cli/main.js',
      'daemon',
      '--directory',
      directory,
      '--ready-fd',
      '3',
      ...(options.arguments ?? []),
    ],
    {
      cwd: PACKAGE_ROOT,
      env: childEnvironment({ TLSHUB_DIR: undefined, ...options.env }),
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    },
  );
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
  }
  const exited = once(child, 'exit');
  scope.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  await waitUntilReady(child, () => log);
  return {
    directory,
    pid: child.pid ?? -1,
    child,
    log: () => log,
    status: () => askDaemon(directory, 'status'),
    sessions: async () => (await askDaemon(directory, 'sessions')).sessions as Record<string, unknown>[],
    kill: async (signal) => {
      child.kill(signal);
      if (signal === 'SIGKILL' || signal === 'SIGTERM') {
        await within(exited, { what: `the daemon to end after ${signal}` });
      }
    },
    stop: async () => {
      child.kill('SIGTERM');
      await within(exited, { what: 'the daemon to end' });
      return child.exitCode;
    },
  };
}

async function waitUntilReady(child: ChildProcess, log: () => string): Promise<void> {
  let text = '';
  const ready = child.stdio[3] as Readable;
  ready.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  await waitFor(
    () => {
      if (child.exitCode !== null) throw new Error(`the daemon ended with ${child.exitCode}: ${log()}`);
      return text.includes('\n');
    },
    { what: `the daemon's ready line` },
  );
  if ((JSON.parse(text) as { ready?: unknown }).ready !== true) throw new Error(`not ready: ${text}`);
}

/**
 * Makes one call on a link of its own and answers the reply; throws when the daemon refuses the call.
 * @param directory where the daemon's socket is
 */
export async function askDaemon(directory: string, call: string): Promise<Record<string, unknown>> {
  const socket = connect(socketPath(directory));
  const process = '0'.repeat(32);
  const decoder = new LineDecoder();
  let reply: Record<string, unknown> | undefined;
  let failure: Error | undefined;
  socket.on('error', (error) => {
    failure = error;
  });
  socket.on('data', (chunk: Buffer) => {
    decoder.push(chunk);
    for (let line = decoder.next(); line !== undefined; line = decoder.next()) {
      const message = decodeLine(line);
      if (message.reply === 2) reply = message;
    }
  });
  socket.write(
    encodeLine({ call: 'hello', id: 1, protocol: PROTOCOL_VERSION, process, pid: 1, version: 'test' }),
  );
  socket.write(encodeLine({ call, id: 2 }));
  try {
    await waitFor(
      () => {
        if (failure !== undefined) throw failure;
        return reply !== undefined;
      },
      { what: `the reply to ${call}` },
    );
  } finally {
    socket.destroy();
  }
  if (reply?.rc !== 1) throw new Error(`${call} was refused: ${JSON.stringify(reply)}`);
  return reply;
}
