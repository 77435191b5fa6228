// TLSHUB_SHARE and TLSHUB_SHARE_SERVERS: which connections and which servers of an unchanged application are shared.
// Pure; parsed once by register.ts. What the text does not plainly name is not shared.
import { domainToASCII } from 'node:url';
import { TlshubError } from '../errors.ts';

/** Where a connection goes, as tls.connect and https.Agent have it in their options. */
export interface ShareTarget {
  host?: unknown;
  port?: unknown;
  path?: unknown;
}

/** A policy. */
export interface SharePolicy {
  /** True when no connection is shared unless the program asks for it. */
  readonly sharesNothing: boolean;
  /** Whether a connection for which the program did not say `shared` is shared. */
  shares(target: ShareTarget): boolean;
}

/** Which servers are shared of those that do not say `shared`. */
export interface ServerPolicy {
  /** True when none is. */
  readonly sharesNothing: boolean;
  /**
   * Whether a server that listens there is shared.
   * @param port `null` for what has none: Unix sockets, handles of the application
   */
  sharesPort(port: number | null): boolean;
}

interface Pattern {
  excludes: boolean;
  matches(host: string, port: number): boolean;
}

/** A policy that shares nothing. */
export const SHARE_NOTHING: SharePolicy = { sharesNothing: true, shares: () => false };

/** A policy that leaves every server alone. */
export const SERVE_ALONE: ServerPolicy = { sharesNothing: true, sharesPort: () => false };

const SHARE_ALL: SharePolicy = { sharesNothing: false, shares: () => true };

const KEYWORDS: Readonly<Record<string, SharePolicy>> = {
  all: SHARE_ALL,
  off: SHARE_NOTHING,
  none: SHARE_NOTHING,
};

/** `host`, `*.host`, `*`, `[IPv6]`, each with `:port` or without. */
const PATTERN = /^(?<host>\*|(?:\*\.)?[\p{L}\p{M}\p{N}._-]+|\[[0-9a-f:.]+\])(?::(?<port>\d{1,5}))?$/iu;

/**
 * The policy that a text describes: `all` (also when the text is absent or empty), `off` or `none`, or a list of
 * patterns with commas between them: `api.example.com`, `*.example.com` (names below it), `host:port`,
 * `[::1]:443`, `*` (any), each with a `!` before it to exclude. A list with nothing but exclusions shares all else;
 * an exclusion wins over any other pattern. Throws ERR_TLSHUB_INVALID_OPTION.
 * @param text value of TLSHUB_SHARE
 */
export function parseSharePolicy(text: string | undefined): SharePolicy {
  const trimmed = (text ?? '').trim();
  if (trimmed === '') return SHARE_ALL;
  const keyword = Object.hasOwn(KEYWORDS, trimmed.toLowerCase()) && KEYWORDS[trimmed.toLowerCase()];
  if (keyword) return keyword;
  const patterns = trimmed.split(',').map((item) => parsePattern(item.trim()));
  const excluding = patterns.filter((pattern) => pattern.excludes);
  const including = patterns.filter((pattern) => !pattern.excludes);
  return {
    sharesNothing: false,
    shares(target) {
      const { host, port } = addressOf(target);
      if (excluding.some((pattern) => pattern.matches(host, port))) return false;
      return including.length === 0 || including.some((pattern) => pattern.matches(host, port));
    },
  };
}

/**
 * The policy for servers that a text describes: `off` or `none` (also when the text is absent or empty), `all`, or a
 * list of ports with commas between them. Throws ERR_TLSHUB_INVALID_OPTION.
 * @param text value of TLSHUB_SHARE_SERVERS
 */
export function parseServerPolicy(text: string | undefined): ServerPolicy {
  const trimmed = (text ?? '').trim().toLowerCase();
  if (['', 'off', 'none'].includes(trimmed)) return SERVE_ALONE;
  if (trimmed === 'all') return { sharesNothing: false, sharesPort: () => true };
  const ports = new Set(trimmed.split(',').map((item) => parsePort(item.trim())));
  return { sharesNothing: false, sharesPort: (port) => port !== null && ports.has(port) };
}

function parsePort(item: string): number {
  const port = /^\d{1,5}$/.test(item) ? Number(item) : 0;
  if (port >= 1 && port <= 0xffff) return port;
  throw new TlshubError(
    'ERR_TLSHUB_INVALID_OPTION',
    `TLSHUB_SHARE_SERVERS: ${JSON.stringify(item)} is no port; it is "all", "off" or a list of ports`,
  );
}

function parsePattern(item: string): Pattern {
  const excludes = item.startsWith('!');
  const text = excludes ? item.slice(1).trim() : item;
  const { host = '', port }: Partial<Record<string, string>> =
    text.toLowerCase() === 'all' ? { host: '*' } : partsOf(text);
  const matchesHost = hostMatcher(host);
  const wantedPort = port === undefined ? undefined : Number(port);
  if (matchesHost === undefined || (wantedPort !== undefined && !(wantedPort >= 1 && wantedPort <= 0xffff))) {
    throw new TlshubError(
      'ERR_TLSHUB_INVALID_OPTION',
      `TLSHUB_SHARE: ${JSON.stringify(item)} is none of: HOST, *.HOST, HOST:PORT, [IPv6]:PORT, *, each with "!" before it; ` +
        '"off" and "none" stand alone',
    );
  }
  return {
    excludes,
    matches: (actualHost, actualPort) =>
      (wantedPort === undefined || wantedPort === actualPort) && matchesHost(actualHost),
  };
}

function partsOf(text: string): Partial<Record<string, string>> {
  return PATTERN.exec(text)?.groups ?? {};
}

/** Answers `undefined` for what names no host; the keywords do not. */
function hostMatcher(pattern: string): ((host: string) => boolean) | undefined {
  if (pattern === '*') return () => true;
  const isWild = pattern.startsWith('*.');
  const name = canonicalHost(isWild ? pattern.slice(2) : pattern);
  if (name === '' || Object.hasOwn(KEYWORDS, name)) return undefined;
  return isWild
    ? (host) => host.endsWith(`.${name}`) && host.length > name.length + 1
    : (host) => host === name;
}

/** A Unix socket has no host; only `*` matches it. */
function addressOf({ host, port, path }: ShareTarget): { host: string; port: number } {
  if (path) return { host: '', port: 0 };
  return { host: canonicalHost(host ? String(host) : 'localhost'), port: Number(port) };
}

/** Lower case, international names in ASCII, no dot at the end, no brackets. */
function canonicalHost(host: string): string {
  const bare = host
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase();
  return bare.includes(':') ? bare : domainToASCII(bare);
}
