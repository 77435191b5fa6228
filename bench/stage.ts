// What a benchmark plays on: certificates, and an origin, delaying proxies and daemons in processes of their own. The
// benchmark's own process is the client.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Scope } from '#helpers/scope.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { createCa } from '#src/cli/demo/pki.js';
import type { ChildOrder } from './child-process.ts';

/** A server in a process of its own. */
export interface ServerProcess {
  readonly port: number;
  readonly pid: number;
}

/** A stage; everything on it ends with the scope that it was made for. */
export interface Stage {
  /** Certificate of the authority that the origins' certificate is from. */
  readonly ca: string;
  origin(kind: 'echo' | 'https'): Promise<ServerProcess>;
  /** A way to the port that takes so much longer there and back. */
  delay(targetPort: number, roundTripMs: number): Promise<ServerProcess>;
  /** A daemon that closes no session by itself. */
  daemon(): Promise<TestDaemon>;
}

/** Name that the certificate is for besides localhost: every name below it. */
export const WILDCARD = 'held.test';

const DAEMON_FLAGS = [
  '--pool-idle',
  '1h',
  '--idle-exit',
  '0',
  '--max-sessions',
  '20000',
  '--log-level',
  'warn',
];

/** Makes a stage. */
export async function makeStage(scope: Scope): Promise<Stage> {
  const authority = await createCa({ name: 'tlshub bench' });
  const { chain: cert, key } = await authority.issue({ names: ['localhost', `*.${WILDCARD}`] });
  const start = async (order: ChildOrder): Promise<ServerProcess> => {
    const child = fork(fileURLToPath(new URL('./child-process.js', import.meta.url)), [], { execArgv: [] });
    const exited = once(child, 'exit');
    scope.after(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    child.send(order);
    const [port] = (await once(child, 'message')) as [number];
    return { port, pid: child.pid ?? -1 };
  };
  return {
    ca: authority.cert,
    origin: (kind) => start({ kind, cert, key }),
    delay: (targetPort, roundTripMs) => start({ kind: 'delay', targetPort, roundTripMs }),
    daemon: () => startTestDaemon(scope, { arguments: DAEMON_FLAGS }),
  };
}

/** Runs a benchmark with a scope, and tidies up whatever happens. */
export async function withScope(run: (scope: Scope) => Promise<void>): Promise<void> {
  const tasks: (() => void | Promise<void>)[] = [];
  const tidy = async () => {
    for (const task of tasks.splice(0).reverse()) await task();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void tidy().finally(() => process.exit(1)));
  }
  try {
    await run({ after: (task) => void tasks.push(task) });
  } finally {
    await tidy();
  }
}
