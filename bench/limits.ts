// What the machine allows a process: descriptors and memory. Linux only.
import { readFileSync } from 'node:fs';

/** Descriptors that a process of a benchmark needs besides those of the connections that it holds. */
export const SPARE_DESCRIPTORS = 200;

/** The hard limit of open descriptors, which Node and its children raise their own to. */
export function descriptorLimit(): number {
  return numberOf('/proc/self/limits', /^Max open files +\S+ +(\d+)/m);
}

/** Bytes of memory that can still be had without swapping. */
export function availableMemory(): number {
  return numberOf('/proc/meminfo', /^MemAvailable: +(\d+) kB/m) * 1024;
}

/** Bytes of resident memory of a process. */
export function residentBytes(pid: number): number {
  return numberOf(`/proc/${pid}/status`, /^VmRSS:\s+(\d+) kB/m) * 1024;
}

/** The group of a pattern in a file; infinite where the file does not say. */
function numberOf(path: string, pattern: RegExp): number {
  const [, text] = pattern.exec(readFileSync(path, 'utf8')) ?? [];
  return text === undefined ? Number.POSITIVE_INFINITY : Number(text);
}
