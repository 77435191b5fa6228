// What a run depends on besides the code: the machine, and the versions of all programs that take part. Linux only.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { findProgram } from '#helpers/program.js';
import { VERSION } from '#src/version.js';
import { descriptorLimit } from './limits.ts';
import type { BenchNode } from './nodes.ts';

/** The machine that a run was made on. */
export interface Machine {
  readonly processor: string;
  readonly processors: number;
  readonly memoryMiB: number;
  readonly system: string;
  readonly kernel: string;
  readonly descriptors: number;
  /** Processes that wanted to run in the minute before the run: above 0.5 its figures are suspect. */
  readonly loadBefore: number;
}

/** The machine as it is now. */
export function machineFacts(): Machine {
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    processors: availableParallelism(),
    memoryMiB: Math.round(totalmem() / 1024 / 1024),
    system: systemName(),
    kernel: release(),
    descriptors: descriptorLimit(),
    loadBefore: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}

/** The load that makes figures suspect, and above which a run says so. */
export const BUSY_LOAD = 0.5;

/** Versions by program; those that are not there are missing. */
export function versions(nodes: readonly BenchNode[]): Record<string, string> {
  const found: Record<string, string> = { tlshub: VERSION, client: `Node ${process.version}` };
  for (const { version, openssl, label } of nodes)
    found[`daemon${label}`] = `Node ${version}, OpenSSL ${openssl}`;
  const programs = {
    HAProxy: [['haproxy', '-v'], /version (\S+)/],
    nginx: [['nginx', '-v'], /nginx\/(\S+)/],
    stunnel: [['stunnel', '-version'], /stunnel (\S+)/],
    wrk: [['wrk', '-v'], /wrk (\S+)/],
  } as const satisfies Record<string, readonly [readonly [string, string], RegExp]>;
  for (const [name, [[program, flag], pattern]] of Object.entries(programs)) {
    const version = pattern.exec(outputOf(program, flag))?.[1];
    if (version !== undefined) found[name] = version;
  }
  return found;
}

/** What a program says of itself; several say it on standard error, and with an exit code. */
function outputOf(program: string, flag: string): string {
  const path = findProgram(program);
  if (path === undefined) return '';
  return execFileSync('sh', ['-c', '"$0" "$1" 2>&1; true', path, flag], { encoding: 'utf8' });
}

function systemName(): string {
  try {
    return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  } catch {
    return process.platform;
  }
}
