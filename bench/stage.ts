// What a benchmark plays on: certificates, and origins, workers, proxies and daemons in processes of their own. The
// benchmark's own process is the client.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Scope } from '#helpers/scope.js';
import { startTestDaemon, type TestDaemon, type TestDaemonOptions } from '#helpers/test-daemon.js';
import { createCa, type KeyType } from '#src/cli/demo/pki.js';
import type { ChildOrder } from './child-process.ts';
import { startHaproxy } from './peers/haproxy.ts';
import type { WorkerOrder } from './worker-process.ts';

export { withScope } from './run-scope.ts';

/** A server in a process of its own. */
export interface ServerProcess {
  readonly port: number;
  readonly pid: number;
}

/** A stage; everything on it ends with the scope that it was made for. */
export interface Stage {
  /** Certificate of the authority that the origins' certificate is from. */
  readonly ca: string;
  /** That certificate and its key, for a server that is none of this stage's. */
  readonly leaf: { readonly cert: string; readonly key: string };
  origin(kind: 'echo' | 'https'): Promise<ServerProcess>;
  /** A way to the port that takes so much longer there and back. */
  delay(targetPort: number, roundTripMs: number): Promise<ServerProcess>;
  /**
   * A daemon that closes no session by itself.
   * @param name of the file with its profile
   * @param node program that runs it; default the one that runs the benchmark
   */
  daemon(name?: string, node?: string): Promise<TestDaemon>;
  /**
   * An application.
   * @param name of the file with its profile
   * @param daemon whose sessions it serves
   */
  worker(name: string, order: Omit<WorkerOrder, 'cert' | 'key'>, daemon?: TestDaemon): Promise<ServerProcess>;
  haproxy(mode: 'tcp' | 'http', targetPort: number): Promise<ServerProcess>;
}

/** How a stage is made. */
export interface StageOptions {
  /** Of the servers' certificate; default `ec`. */
  keyType?: KeyType | undefined;
  /** Directory for CPU profiles of workers and daemons; absent: none are made. */
  profileDirectory?: string | undefined;
}

/** Name that the certificate is for besides localhost: every name below it. */
export const WILDCARD = 'held.test';

const DAEMON_FLAGS = [
  '--pool-idle',
  '1h',
  '--idle-exit',
  '0',
  ...['--max-sessions', '100000', '--max-sessions-per-key', '100000', '--max-connections', '100000'],
  '--log-level',
  'warn',
];

/** Makes a stage. */
export async function makeStage(scope: Scope, options: StageOptions = {}): Promise<Stage> {
  const { keyType, profileDirectory } = options;
  const authority = await createCa({ name: 'tlshub bench' });
  const leaf = await authority.issue({ names: ['localhost', `*.${WILDCARD}`], keyType });
  const { chain: cert, key } = leaf;
  const profileArguments = (name: string): string[] =>
    profileDirectory === undefined
      ? []
      : ['--cpu-prof', `--cpu-prof-dir=${profileDirectory}`, `--cpu-prof-name=${name}.cpuprofile`];
  const start = (order: ChildOrder) => startChild(scope, { program: 'child-process', order });
  return {
    ca: authority.cert,
    leaf: { cert, key },
    origin: (kind) => start({ kind, cert, key }),
    delay: (targetPort, roundTripMs) => start({ kind: 'delay', targetPort, roundTripMs }),
    daemon: async (name = 'daemon', node = undefined) => {
      const daemon = await startBenchDaemon(scope, { node, nodeArguments: profileArguments(name) });
      // A profile is written by a process that ends in order.
      if (profileDirectory !== undefined) scope.after(async () => void (await daemon.stop()));
      return daemon;
    },
    worker: (name, order, daemon) => {
      return startChild(scope, {
        program: 'worker-process',
        order: { ...order, cert, key } satisfies WorkerOrder,
        nodeArguments: profileArguments(name),
        env: daemon && { TLSHUB_DIR: daemon.directory },
      });
    },
    haproxy: (mode, targetPort) => startHaproxy(scope, { mode, cert, key, targetPort }),
  };
}

interface Child {
  program: 'child-process' | 'worker-process';
  /** What it is told to be. */
  order: object;
  nodeArguments?: string[];
  env?: NodeJS.ProcessEnv | undefined;
}

async function startChild(
  scope: Scope,
  { program, order, nodeArguments = [], env }: Child,
): Promise<ServerProcess> {
  const child = fork(fileURLToPath(new URL(`./${program}.js`, import.meta.url)), [], {
    execArgv: nodeArguments,
    env: { ...process.env, ...env },
  });
  const exited = once(child, 'exit');
  scope.after(async () => {
    // It ends by itself when it is let go, which leaves it the time to write its profile.
    if (nodeArguments.length > 0) child.disconnect();
    else child.kill('SIGKILL');
    await exited;
  });
  child.send(order);
  const [port] = (await Promise.race([once(child, 'message'), failed(exited, program)])) as [number];
  return { port, pid: child.pid ?? -1 };
}

async function failed(exited: Promise<unknown[]>, program: string): Promise<never> {
  const [code] = await exited;
  throw new Error(`${program} ended with ${code}`);
}

/** A daemon that closes no session by itself and allows as many as the machine can hold. */
export function startBenchDaemon(
  scope: Scope,
  options: Pick<TestDaemonOptions, 'node' | 'nodeArguments'> = {},
): Promise<TestDaemon> {
  return startTestDaemon(scope, { ...options, arguments: DAEMON_FLAGS });
}
