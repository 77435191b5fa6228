// A daemon of several processes (shards) in a directory of its own; all of them are gone after the test.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StatusReport } from '#src/daemon/status.js';
import { probeSocket } from '#src/link/probe-socket.js';
import { socketPath } from '#src/link/socket-path.js';
import { runCli } from './run-node.ts';
import type { Scope } from './scope.ts';
import { tempDir } from './temp-dir.ts';
import { startTestDaemon, type TestDaemon } from './test-daemon.ts';
import { waitFor } from './wait-for.ts';

/** The sum of `tlshub status --json`, as far as the tests look at it. */
export interface SummedStatus extends Omit<StatusReport, 'shard' | 'shardCount'> {
  shards: { shard: number; pid: number | null; sessions?: Record<string, number> }[];
}

/** A daemon and its directory. */
export interface ShardedDaemon {
  readonly directory: string;
  readonly first: TestDaemon;
  status(): Promise<SummedStatus>;
  /** Process ids by shard; fails when one does not answer. */
  pids(): Promise<number[]>;
  /** Kills one with SIGKILL; resolves when nobody listens there, or another process does. */
  kill(shard: number): Promise<void>;
}

/**
 * Starts a daemon.
 * @param count number of its processes
 * @param flags further flags of `tlshub daemon`
 */
export async function startShards(
  scope: Scope,
  count: number,
  flags: readonly string[] = [],
  directory = tempDir(scope),
): Promise<ShardedDaemon> {
  scope.after(() => killAll(directory));
  const first = await startTestDaemon(scope, { directory, arguments: ['--shards', `${count}`, ...flags] });
  const status = () => statusOf(directory);
  const pids = async () => {
    const { shards } = await status();
    return shards.map(({ pid }) => {
      if (pid === null) throw new Error('a shard does not answer');
      return pid;
    });
  };
  return {
    directory,
    first,
    status,
    pids,
    kill: async (shard) => {
      const pid = (await pids())[shard] ?? -1;
      process.kill(pid, 'SIGKILL');
      await waitFor(() => !isAlive(pid), { what: `shard ${shard} to be gone` });
    },
  };
}

/** What `tlshub status --json` prints. */
export async function statusOf(directory: string): Promise<SummedStatus> {
  const { code, stdout, stderr } = await runCli(['status', '--json', '-d', directory]);
  if (code !== 0) throw new Error(`status: ${stderr}`);
  return JSON.parse(stdout) as SummedStatus;
}

/** Waits until that many shards answer, none of them with one of these process ids. */
export async function allAnswer(
  directory: string,
  count: number,
  gone: readonly number[] = [],
): Promise<void> {
  await waitFor(
    async () => {
      for (let shard = 0; shard < count; shard++)
        if ((await probeSocket(socketPath(directory, shard))) !== 'listening') return false;
      const { shards } = await statusOf(directory);
      return shards.length === count && shards.every(({ pid }) => pid !== null && !gone.includes(pid));
    },
    { what: `${count} shards to answer`, deadlineMs: 20_000 },
  );
}

/** True while the process is there and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^\d+ \(.*\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Ends all processes of a daemon: whoever wrote its process id into a lock of the directory, the first one before it can start others. */
export function killAll(directory: string): void {
  let names: string[] = [];
  try {
    names = readdirSync(directory).filter((name) => /^daemon(\.\d+)?\.lock$/.test(name));
  } catch {
    // It is gone, and they end by themselves.
  }
  for (const name of names.sort((left, right) => right.localeCompare(left))) {
    try {
      const pid = Number(readFileSync(join(directory, name), 'utf8'));
      if (pid > 0 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory))
        process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
}
