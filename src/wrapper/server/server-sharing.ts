// The `shared` parameter of a server: which servers are wanted from the daemon, and how. Checked once, when the server is made.
import { TlshubError } from '../../errors.ts';
import { MAX_BACKLOG, MAX_TIMER_MS } from '../../protocol/limits.ts';
import { BALANCES, type Balance, type GroupSettings } from '../../protocol/server-key.ts';
import { type CommitKind, flawOfName } from '../../protocol/session-name.ts';
import { checkCommit } from '../sharing-options.ts';

/** `shared` of a server, where `true` is not enough. */
export interface ServerSharedOptions {
  /** Workers that give the same name are one group, also when each listens on port 0. */
  name?: string;
  /** Milliseconds that the daemon keeps the port when the last worker has gone (30,000). */
  linger?: number;
  /** Most sessions that wait for a worker meanwhile (511). */
  backlog?: number;
  /** Which worker gets a new session: the one with the `fewest`, or each in turn (`fewest`). */
  balance?: Balance;
  /** Whether sessions outlive this process. Default: when the server has a listener for `adopt`. */
  survive?: boolean;
  /** When a byte of a session that survives counts as consumed (`auto`). */
  commit?: CommitKind;
  /** Name of a context of the daemon's configuration: certificate and key are never in this process. */
  context?: string;
  /** No daemon, or an option that cannot cross: listen in this process, or fail (`true`). */
  fallback?: boolean;
}

/** The parameter with its defaults. */
export interface ServerSharing {
  group: GroupSettings;
  survive: boolean | null;
  commit: CommitKind;
  context: string | undefined;
  fallback: boolean;
}

const DEFAULT_LINGER_MS = 30_000;
/** As many as the kernel keeps by Node's default. */
const DEFAULT_BACKLOG = 511;

const KNOWN_OPTIONS: ReadonlySet<string> = new Set([
  ...['name', 'linger', 'backlog', 'balance', 'survive', 'commit', 'context', 'fallback'],
]);

/**
 * Checks the `shared` parameter of a server. Answers `undefined` when sharing is not wanted. Throws
 * ERR_TLSHUB_INVALID_OPTION or ERR_TLSHUB_NAME_INVALID.
 * @param shared what the application gave
 */
export function resolveServerSharing(shared: unknown): ServerSharing | undefined {
  if (shared === undefined || shared === null || shared === false) return undefined;
  if (shared !== true && (typeof shared !== 'object' || Array.isArray(shared)))
    throw invalid('shared', 'true, false or an object');
  const options: ServerSharedOptions = shared === true ? {} : shared;
  const unknown = Object.keys(options).find((name) => !KNOWN_OPTIONS.has(name));
  if (unknown !== undefined) {
    const known = [...KNOWN_OPTIONS].join(', ');
    throw new TlshubError(
      'ERR_TLSHUB_INVALID_OPTION',
      `"shared.${unknown}" is not an option of a server; there are: ${known}`,
    );
  }
  const { name, linger = DEFAULT_LINGER_MS, backlog = DEFAULT_BACKLOG, balance = 'fewest' } = options;
  const { survive, commit = 'auto', context, fallback = true } = options;
  if (!BALANCES.includes(balance)) throw invalid('shared.balance', `one of ${BALANCES.join(', ')}`);
  return {
    group: {
      name: name === undefined ? null : checkName(name),
      balance,
      linger: checkCount(linger, MAX_TIMER_MS, 'shared.linger', 'of milliseconds'),
      backlog: checkCount(backlog, MAX_BACKLOG, 'shared.backlog', 'of sessions'),
    },
    survive: survive === undefined ? null : checkFlag(survive, 'shared.survive'),
    commit: checkCommit(commit),
    context: context === undefined ? undefined : checkName(context),
    // Without the certificate there is nothing that this process could do by itself.
    fallback: context === undefined && checkFlag(fallback, 'shared.fallback'),
  };
}

function checkName(name: unknown): string {
  const flaw = typeof name === 'string' ? flawOfName(name) : 'a name must be a string';
  if (flaw !== undefined) throw new TlshubError('ERR_TLSHUB_NAME_INVALID', flaw);
  return String(name);
}

function checkCount(value: unknown, most: number, name: string, what: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw invalid(name, `a whole number ${what} from 0 to ${most}`);
}

function checkFlag(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw invalid(name, 'true or false');
  return value;
}

function invalid(name: string, expected: string): TlshubError {
  return new TlshubError('ERR_TLSHUB_INVALID_OPTION', `"${name}" must be ${expected}`);
}
