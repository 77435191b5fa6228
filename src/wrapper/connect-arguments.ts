// The overloads of tls.connect as one object of options and a callback, by the rules of node:tls and node:net:
// (options[, callback]), (path[, options][, callback]), (port[, host][, options][, callback]).
import type { ConnectionOptions } from 'node:tls';

/** What a call of tls.connect asks for. */
export interface ConnectArguments {
  /** The caller's own object, unless several had to be merged; do not change it. */
  readonly options: ConnectionOptions;
  /** A listener for `secureConnect`. */
  readonly callback: (() => void) | undefined;
}

/**
 * The arguments of tls.connect in one form. Options named in an object win over a host or port before it, as in
 * node:tls. Throws only what a getter of the caller's objects throws.
 * @param args arguments of the call, as they came
 */
export function normalizeConnectArguments(args: readonly unknown[]): ConnectArguments {
  const [first, second, third] = args;
  const last = args.at(-1);
  const callback = typeof last === 'function' ? (last as () => void) : undefined;
  const more = isObject(second) ? second : third;
  let options = isObject(first) ? first : addressOf(first, second, args.length);
  if (isObject(more)) options = { ...options, ...more };
  return { options, callback };
}

function addressOf(first: unknown, second: unknown, count: number): object {
  if (count === 0) return {};
  if (isPathName(first)) return { path: first };
  return typeof second === 'string' ? { port: first, host: second } : { port: first };
}

/** Text that is no number names a Unix socket. */
function isPathName(value: unknown): boolean {
  return typeof value === 'string' && !(Number(value) >= 0);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
