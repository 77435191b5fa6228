// Programs of Debian that tests need: found, or installed where that is allowed.
import { execFileSync } from 'node:child_process';
import type { TestContext } from 'node:test';
import { messageOf } from '#src/errors.js';
import { findProgram } from './program.ts';

const INSTALL_DEADLINE_MS = 180_000;

/** Paths of the programs, or why there is none. */
const found = new Map<string, { path: string } | { reason: string }>();

/**
 * The path of a program. Where it neither is nor may be installed, the test is skipped with the reason and `undefined` is
 * answered; under `CI=true` that is a failure.
 * @param packageName the Debian package that brings it
 */
export function requireProgram(t: TestContext, name: string, packageName: string): string | undefined {
  const program = found.get(name) ?? findOrInstall(name, packageName);
  found.set(name, program);
  if ('path' in program) return program.path;
  if (process.env.CI === 'true') throw new Error(`${name} is needed under CI: ${program.reason}`);
  t.skip(`needs ${name}: ${program.reason}`);
  return undefined;
}

function findOrInstall(name: string, packageName: string): { path: string } | { reason: string } {
  const path = findProgram(name);
  if (path !== undefined) return { path };
  if (process.getuid?.() !== 0) return { reason: 'it is not installed and only root may install it' };
  try {
    install(name, packageName);
  } catch (error) {
    return { reason: `it could not be installed: ${messageOf(error)}` };
  }
  const installed = findProgram(name);
  return installed === undefined ? { reason: `its package brought no ${name}` } : { path: installed };
}

/** Installs under a lock: test files run side by side. */
function install(name: string, packageName: string): void {
  const commands = `command -v ${name} || { apt-get update -q && apt-get install -qy --no-install-recommends ${packageName}; }`;
  execFileSync('flock', ['/tmp/tlshub-test-apt.lock', 'sh', '-c', commands], {
    stdio: 'ignore',
    timeout: INSTALL_DEADLINE_MS,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
  });
}
