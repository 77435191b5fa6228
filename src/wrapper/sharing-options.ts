// The `shared` parameter: its type, its checks, its defaults. A wrong one throws at once, like a wrong option of
// node:tls does.
import * as v from 'valibot';
import { TlshubError } from '../errors.ts';
import { MAX_WAIT_MS } from '../protocol/limits.ts';
import { type MessageRule, messageRuleSchema } from '../protocol/message-splitter.ts';
import {
  COMMIT_KINDS,
  type CommitKind,
  flawOfName,
  SESSION_MODES,
  type SessionMode,
} from '../protocol/session-name.ts';

/** How a session is to be shared. */
export interface SharedOptions {
  /** Name of the session: join it, or open it. Without a name the session is a pooled one. */
  name?: string;
  /**
   * Name of a context that the daemon's configuration defines: its certificate, key, trust, versions and ciphers are
   * used, and the options of node:tls for these must be absent. There is no TLS in the process then (`fallback`).
   */
  context?: string;
  /** Named sessions: who may read, one holder, any in turn, or all (`exclusive`). */
  mode?: SessionMode;
  /** Named sessions: milliseconds that it stays with no holder (60,000). */
  linger?: number;
  /** Named sessions: when a byte counts as consumed, when the application took it or when it says so (`auto`). */
  commit?: CommitKind;
  /** Turn mode: where a message ends (`chunk`: as the peer's records come). */
  messages?: MessageRule;
  /** Milliseconds to wait for a session when a limit is reached or another holds it; 0 fails at once (30,000). */
  wait?: number;
  /** No daemon, or an option that cannot cross: TLS in the process (true), or an error (false). */
  fallback?: boolean;
}

/** What a named session is asked for with, as it travels. */
export interface NamedSettings {
  name: string;
  mode: SessionMode;
  linger: number;
  commit: CommitKind;
  messages: MessageRule;
}

/** Checked options with their defaults. */
export interface ResolvedSharedOptions {
  named: NamedSettings | undefined;
  /** Name of the daemon's context, or `null`. */
  context: string | null;
  waitMs: number;
  /** False with a context: this process has not got its key. */
  fallback: boolean;
}

const DEFAULT_WAIT_MS = 30_000;
const DEFAULT_LINGER_MS = 60_000;
const NAMED_OPTIONS = ['mode', 'linger', 'commit', 'messages'] as const;
const KNOWN_OPTIONS: ReadonlySet<string> = new Set(['wait', 'fallback', 'name', 'context', ...NAMED_OPTIONS]);

/**
 * Checks the `shared` parameter. Answers `undefined` when sharing is not wanted. Throws ERR_TLSHUB_INVALID_OPTION.
 * @param shared what the application gave
 */
export function resolveSharedOptions(shared: unknown): ResolvedSharedOptions | undefined {
  if (shared === undefined || shared === null || shared === false) return undefined;
  if (shared === true) return { waitMs: DEFAULT_WAIT_MS, fallback: true, context: null, named: undefined };
  if (typeof shared !== 'object' || Array.isArray(shared))
    throw invalid('shared', 'true, false or an object');
  const unknown = Object.keys(shared).find((name) => !KNOWN_OPTIONS.has(name));
  if (unknown !== undefined) {
    throw new TlshubError(
      'ERR_TLSHUB_INVALID_OPTION',
      `"shared.${unknown}" is not an option; there are: ${[...KNOWN_OPTIONS].join(', ')}`,
    );
  }
  const { wait = DEFAULT_WAIT_MS, fallback = true, context } = shared as Record<string, unknown>;
  return {
    context: checkContext(context),
    waitMs: checkWait(wait, 'shared.wait'),
    fallback: checkFlag(fallback, 'shared.fallback') && context === undefined,
    named: resolveNamed(shared),
  };
}

function resolveNamed(shared: SharedOptions): NamedSettings | undefined {
  const {
    name,
    mode = 'exclusive',
    linger = DEFAULT_LINGER_MS,
    commit = 'auto',
    messages = 'chunk',
  } = shared;
  if (name === undefined) {
    const meant = NAMED_OPTIONS.find((option) => shared[option] !== undefined);
    if (meant !== undefined) {
      throw new TlshubError(
        'ERR_TLSHUB_INVALID_OPTION',
        `"shared.${meant}" is for named sessions: give "shared.name"`,
      );
    }
    return undefined;
  }
  const flaw = typeof name === 'string' ? flawOfName(name) : 'a name must be a string';
  if (flaw !== undefined) throw new TlshubError('ERR_TLSHUB_NAME_INVALID', flaw);
  if (!SESSION_MODES.includes(mode)) throw invalid('shared.mode', `one of ${SESSION_MODES.join(', ')}`);
  if (!v.is(messageRuleSchema, messages)) {
    throw invalid('shared.messages', `'chunk', { delimiter: text } or { lengthPrefix: 1, 2 or 4 }`);
  }
  return { name, mode, linger: checkWait(linger, 'shared.linger'), commit: checkCommit(commit), messages };
}

/** Checks a kind of commit. Throws ERR_TLSHUB_INVALID_OPTION. */
export function checkCommit(value: unknown): CommitKind {
  const kind = COMMIT_KINDS.find((known) => known === value);
  if (kind === undefined) throw invalid('commit', `one of ${COMMIT_KINDS.join(', ')}`);
  return kind;
}

/** Checks a number of milliseconds to wait. Throws ERR_TLSHUB_INVALID_OPTION. */
export function checkWait(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > MAX_WAIT_MS) {
    throw invalid(name, `a whole number of milliseconds from 0 to ${MAX_WAIT_MS}`);
  }
  return value;
}

function checkContext(value: unknown): string | null {
  if (value === undefined) return null;
  if (typeof value !== 'string') throw invalid('shared.context', 'the name of a context');
  const flaw = flawOfName(value);
  if (flaw === undefined) return value;
  throw new TlshubError('ERR_TLSHUB_INVALID_OPTION', `"shared.context": ${flaw}`);
}

function checkFlag(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw invalid(name, 'true or false');
  return value;
}

function invalid(name: string, expected: string): TlshubError {
  return new TlshubError('ERR_TLSHUB_INVALID_OPTION', `"${name}" must be ${expected}`);
}
