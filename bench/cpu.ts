// CPU time of processes, this one and others.
import { readFileSync } from 'node:fs';

/** What the kernel counts in (USER_HZ of proc(5), 100 on every architecture that Node runs on). */
const TICK_MS = 10;

/** Milliseconds of CPU, user and system, that a process has used; in steps of 10 ms. Linux only. */
export function cpuMsOf(pid: number): number {
  // The name of the program is in brackets and may hold anything, so fields are counted behind it.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** Adds up the CPU time that several processes use while something is done. */
export class CpuMeter {
  readonly #pids: Readonly<Record<string, number>>;
  readonly #usedMs: Record<string, number> = {};

  /** @param pids the processes by the names under which they are reported */
  constructor(pids: Readonly<Record<string, number>>) {
    this.#pids = pids;
    for (const name of Object.keys(pids)) this.#usedMs[name] = 0;
  }

  /** Does the work and counts what it cost. */
  async during<Result>(work: () => Promise<Result>): Promise<Result> {
    const before = this.#read();
    const result = await work();
    for (const [name, usedMs] of Object.entries(this.#read())) {
      this.#usedMs[name] = (this.#usedMs[name] ?? 0) + usedMs - (before[name] ?? 0);
    }
    return result;
  }

  /** Microseconds per operation, by process. */
  perOperation(operations: number): Record<string, number> {
    return Object.fromEntries(
      Object.entries(this.#usedMs).map(([name, usedMs]) => [name, Math.round((usedMs * 1000) / operations)]),
    );
  }

  #read(): Record<string, number> {
    return Object.fromEntries(Object.entries(this.#pids).map(([name, pid]) => [name, cpuMsOf(pid)]));
  }
}
