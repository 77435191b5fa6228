// The overloads of net.Server.listen as one address, by the rules of node:net (lib/net.js of Node 20 to 26):
// (port[, host][, backlog][, callback]), (path[, backlog][, callback]), (options[, callback]),
// (handle[, backlog][, callback]). Changes nothing and never throws: what is wrong is left to Node's own listen, which
// throws what it always throws. Called by the wrapper's server.
import net from 'node:net';
import { resolve as resolvePath } from 'node:path';
import { MAX_BACKLOG } from '../../protocol/limits.ts';
import type { ListenAddress } from '../../protocol/server-key.ts';
import { fitsUnixSocket } from '../../protocol/unix-path.ts';
import { isIpAddress } from '../options.ts';
import { lookupObstacle } from '../process-settings.ts';

/** Where a server is to listen, and what comes with it. */
export interface ListenRequest {
  readonly address: ListenAddress;
  /** A listener for `listening`. */
  readonly callback: (() => void) | undefined;
  /** Closes the server. */
  readonly signal: AbortSignal | undefined;
}

/** Node's own listen must be called with the same arguments. */
export interface LeftToNode {
  readonly nodes: true;
  /** Why they cannot cross; without it they are wrong, and Node throws. */
  readonly reason?: string;
}

type ListenOptions = Readonly<Record<string, unknown>>;

/**
 * The arguments of net.Server.listen in one form. Never throws.
 * @param args arguments of the call, as they came
 */
export function normalizeListenArguments(args: readonly unknown[]): ListenRequest | LeftToNode {
  try {
    return normalize(args);
  } catch {
    // A getter, or a Symbol that is to become a number: the same happens in Node.
    return { nodes: true };
  }
}

function normalize(args: readonly unknown[]): ListenRequest | LeftToNode {
  const [first, second, third] = args;
  const last = args.at(-1);
  const options = isObject(first) ? first : addressOf(args);
  const backlogFromArgs = (args.length > 1 && toNumber(second)) || (args.length > 2 && toNumber(third));
  if (holdsHandle(options)) return { nodes: true, reason: 'a handle of the application cannot cross' };
  const { signal } = options;
  if (signal !== undefined && !isSignal(signal)) return { nodes: true };
  if (typeof options.fd === 'number' && options.fd >= 0) {
    return { nodes: true, reason: 'a descriptor of the application cannot cross' };
  }
  const address = toAddress(portOf(first, options, args.length), options, backlogFromArgs);
  if ('nodes' in address) return address;
  const callback = typeof last === 'function' ? (last as () => void) : undefined;
  return { address, callback, signal };
}

function addressOf(args: readonly unknown[]): ListenOptions {
  const [first, second] = args;
  if (args.length === 0) return {};
  if (isPathName(first)) return { path: first };
  return typeof second === 'string' ? { port: first, host: second } : { port: first };
}

/** Absent, or plainly given as nothing, it is one that the system chooses. */
function portOf(first: unknown, options: ListenOptions, count: number): unknown {
  const { port } = options;
  const isAny =
    count === 0 || typeof first === 'function' || port === null || (port === undefined && 'port' in options);
  return isAny ? 0 : port;
}

function toAddress(
  port: unknown,
  options: ListenOptions,
  backlogFromArgs: number | false,
): ListenAddress | LeftToNode {
  const { host, path } = options;
  const backlog = toBacklog(options.backlog || backlogFromArgs);
  const nothing = { host: null, port: null, path: null, ipv6Only: false, reusePort: false };
  const common = { ...nothing, readableAll: false, writableAll: false, backlog };
  if (typeof port === 'number' || typeof port === 'string') {
    if (!isPort(port) || (host && typeof host !== 'string')) return { nodes: true };
    const obstacle = host && !isIpAddress(String(host)) ? lookupObstacle() : undefined;
    if (obstacle !== undefined) return { nodes: true, reason: obstacle };
    const reusePort = options.reusePort === true;
    return {
      ...common,
      ...{ host: host ? String(host) : null, port: Number(port) },
      ...{ ipv6Only: options.ipv6Only === true, reusePort },
      exclusive: Boolean(options.exclusive) || reusePort,
    };
  }
  if (!isPathName(path) || path === '') return { nodes: true };
  if (path.startsWith('\0') && (options.readableAll || options.writableAll)) return { nodes: true };
  // The daemon runs in another directory. Abstract names (Linux) are no files.
  const absolute = path.startsWith('\0') ? path : resolvePath(path);
  if (!fitsUnixSocket(absolute)) {
    return { nodes: true, reason: 'the absolute path does not fit a Unix socket' };
  }
  return {
    ...common,
    path: absolute,
    readableAll: options.readableAll === true,
    writableAll: options.writableAll === true,
    exclusive: Boolean(options.exclusive),
  };
}

/** The kernel takes a negative length for the longest, and cuts a longer one itself (listen(2)). */
function toBacklog(given: unknown): number | null {
  if (!given) return null;
  const length = Number(given) | 0;
  return length < 0 ? MAX_BACKLOG : Math.min(length, MAX_BACKLOG);
}

function isPort(port: number | string): boolean {
  if (typeof port === 'string' && port.trim() === '') return false;
  const value = Number(port);
  return value === value >>> 0 && value <= 0xffff;
}

/** Text that is no number names a Unix socket. */
function isPathName(value: unknown): value is string {
  return typeof value === 'string' && toNumber(value) === false;
}

function toNumber(value: unknown): number | false {
  const number = Number(value);
  return number >= 0 ? number : false;
}

/** Of this process (Node 26). */
const { BoundSocket } = net as unknown as { BoundSocket?: new () => object };

function holdsHandle(options: ListenOptions): boolean {
  if (BoundSocket !== undefined && options instanceof BoundSocket) return true;
  return Boolean(options._handle || options.handle);
}

/** An AbortSignal, as node:net recognises one. */
function isSignal(value: unknown): value is AbortSignal {
  return isObject(value) && 'aborted' in value && value instanceof EventTarget;
}

function isObject(value: unknown): value is ListenOptions {
  return typeof value === 'object' && value !== null;
}
