// Private directories with short paths (a Unix socket's path may have 107 bytes), removed after the test.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scope } from './scope.ts';

/** A new directory with mode 0700; the caller removes it (see {@link tempDir}). */
export function makeTempDir(): string {
  return mkdtempSync(join(tmpdir(), 'th-'));
}

/**
 * Removes a directory and all in it; one that is gone is no error. A process that is just ending may still put something
 * there, or take it away: that is tried again.
 */
export function removeTempDir(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
}

/** A new directory that is removed after the test. */
export function tempDir(scope: Scope): string {
  const directory = makeTempDir();
  scope.after(() => removeTempDir(directory));
  return directory;
}
