// The Nodes that daemons run with: this one, another program, or releases from npm (package `node`), kept in a folder.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** A Node that runs daemons. */
export interface BenchNode {
  readonly path: string;
  /** Behind the names of what it runs: ` · node 26`; empty when there is but one. */
  readonly label: string;
  /** `v26.1.0`. */
  readonly version: string;
  /** Of its OpenSSL. */
  readonly openssl: string;
}

const INSTALL_DEADLINE_MS = 300_000;

/** The one Node of a run. Throws when the program is no Node. */
export function singleNode(path: string): BenchNode {
  return { path, label: '', ...versionsOf(path) };
}

/**
 * Releases of Node from npm.
 * @param releases `24`, or anything that npm takes behind `node@`
 * @param say is told what takes long
 */
export function nodesFromNpm(releases: readonly string[], say: (text: string) => void): BenchNode[] {
  return releases.map((release) => {
    if (!/^[\w.-]+$/.test(release)) throw new Error(`--nodes: "${release}" is no release of Node`);
    const path = fetchNode(release, say);
    return { path, label: ` · node ${release}`, ...versionsOf(path) };
  });
}

/** Where releases are kept: below XDG_CACHE_HOME, else ~/.cache. */
function cacheDirectory(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tlshub-bench', 'nodes');
}

function fetchNode(release: string, say: (text: string) => void): string {
  const directory = join(cacheDirectory(), release);
  const program = (folder: string) => join(folder, 'node_modules', 'node', 'bin', 'node');
  if (existsSync(program(directory))) return program(directory);
  say(`fetching node@${release} from npm`);
  // Under another name until it is complete: an interrupted run leaves no half of one.
  const unfinished = `${directory}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  writeFileSync(join(unfinished, 'package.json'), '{ "private": true }\n');
  try {
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--foreground-scripts', `node@${release}`], {
      cwd: unfinished,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: INSTALL_DEADLINE_MS,
    });
    rmSync(directory, { recursive: true, force: true });
    renameSync(unfinished, directory);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  if (!existsSync(program(directory))) throw new Error(`node@${release} of npm brought no program`);
  return program(directory);
}

function versionsOf(path: string): Pick<BenchNode, 'version' | 'openssl'> {
  const script = 'console.log(JSON.stringify([process.version, process.versions.openssl]))';
  const [version, openssl] = JSON.parse(execFileSync(path, ['-e', script], { encoding: 'utf8' }));
  return { version, openssl };
}
