// The `shared` parameter: its type, its checks, its defaults. A wrong one throws at once, like a wrong option of
// node:tls does.
import { TlshubError } from '../errors.ts';
import { MAX_WAIT_MS } from '../protocol/limits.ts';

/** How a session is to be shared. */
export interface SharedOptions {
  /** Milliseconds to wait for a session when a limit is reached or another holds it; 0 fails at once (30,000). */
  wait?: number;
  /** No daemon, or an option that cannot cross: TLS in the process (true), or an error (false). */
  fallback?: boolean;
}

/** Checked options with their defaults. */
export interface ResolvedSharedOptions {
  waitMs: number;
  fallback: boolean;
}

const DEFAULT_WAIT_MS = 30_000;
const KNOWN_OPTIONS: ReadonlySet<string> = new Set(['wait', 'fallback']);

/**
 * Checks the `shared` parameter. Answers `undefined` when sharing is not wanted. Throws ERR_TLSHUB_INVALID_OPTION.
 * @param shared what the application gave
 */
export function resolveSharedOptions(shared: unknown): ResolvedSharedOptions | undefined {
  if (shared === undefined || shared === null || shared === false) return undefined;
  if (shared === true) return { waitMs: DEFAULT_WAIT_MS, fallback: true };
  if (typeof shared !== 'object' || Array.isArray(shared))
    throw invalid('shared', 'true, false or an object');
  const unknown = Object.keys(shared).find((name) => !KNOWN_OPTIONS.has(name));
  if (unknown !== undefined) {
    throw new TlshubError(
      'ERR_TLSHUB_INVALID_OPTION',
      `"shared.${unknown}" is not an option; there are: ${[...KNOWN_OPTIONS].join(', ')}`,
    );
  }
  const { wait = DEFAULT_WAIT_MS, fallback = true } = shared as Record<string, unknown>;
  return { waitMs: checkWait(wait, 'shared.wait'), fallback: checkFlag(fallback, 'shared.fallback') };
}

/** Checks a number of milliseconds to wait. Throws ERR_TLSHUB_INVALID_OPTION. */
export function checkWait(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > MAX_WAIT_MS) {
    throw invalid(name, `a whole number of milliseconds from 0 to ${MAX_WAIT_MS}`);
  }
  return value;
}

function checkFlag(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw invalid(name, 'true or false');
  return value;
}

function invalid(name: string, expected: string): TlshubError {
  return new TlshubError('ERR_TLSHUB_INVALID_OPTION', `"${name}" must be ${expected}`);
}
