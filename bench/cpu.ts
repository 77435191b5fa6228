// CPU time of processes, this one and others. Linux only.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { codeOf } from '#src/errors.js';

/** What the kernel counts in (USER_HZ of proc(5), 100 on every architecture that Node runs on). */
const TICK_US = 10_000;
/** Whether the kernel tells the nanoseconds of each thread. */
const EXACT = existsSync('/proc/self/schedstat');

/** A process whose CPU time is counted. */
export interface MeasuredProcess {
  readonly pid: number;
  /** Whether its threads come and go: the kernel tells what ended ones have used only in steps of 10 ms. */
  readonly threadsEnd?: boolean;
}

/** Microseconds of CPU that all the processes have used together. */
export function cpuUsOfAll(processes: readonly MeasuredProcess[]): number {
  const used = processes.map(({ pid, threadsEnd }) => (threadsEnd ? tickedCpuUsOf(pid) : cpuUsOf(pid)));
  return used.reduce((sum, us) => sum + us, 0);
}

/** Microseconds of CPU, user and system, that a process has used; in steps of 10 ms on a kernel without schedstat. */
export function cpuUsOf(pid: number): number {
  return EXACT ? exactCpuUsOf(pid) : tickedCpuUsOf(pid);
}

function exactCpuUsOf(pid: number): number {
  let usedNs = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      usedNs += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    } catch (error) {
      // A thread that has ended since it was listed.
      if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ESRCH') throw error;
    }
  }
  return usedNs / 1000;
}

function tickedCpuUsOf(pid: number): number {
  // The name of the program is in brackets and may hold anything, so fields are counted behind it.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

/** Counts the CPU time that several processes use while something is done, once or many times. */
export class CpuMeter {
  readonly #pids: Readonly<Record<string, number>>;
  readonly #rounds: Record<string, number>[] = [];

  /** @param pids the processes by the names under which they are reported */
  constructor(pids: Readonly<Record<string, number>>) {
    this.#pids = pids;
  }

  /** Does the work and counts what it cost. */
  async during<Result>(work: () => Promise<Result>): Promise<Result> {
    const before = this.#read();
    const result = await work();
    const after = this.#read();
    this.#rounds.push(mapValues(after, (usedUs, name) => usedUs - (before[name] ?? 0)));
    return result;
  }

  /** Microseconds per operation, by process, over all that was done. */
  perOperation(operations: number): Record<string, number> {
    return mapValues(this.#pids, (_, name) => {
      const usedUs = this.#rounds.reduce((sum, round) => sum + (round[name] ?? 0), 0);
      return Math.round(usedUs / operations);
    });
  }

  /** Microseconds of all processes together, each time that something was done. */
  totalsUs(): number[] {
    return this.#rounds.map((round) => Object.values(round).reduce((sum, usedUs) => sum + usedUs, 0));
  }

  #read(): Record<string, number> {
    return mapValues(this.#pids, cpuUsOf);
  }
}

function mapValues(
  table: Readonly<Record<string, number>>,
  map: (value: number, name: string) => number,
): Record<string, number> {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, map(value, name)]));
}
