// Where in the stream of its requests a connection is: whether a chunk is one request that may be answered again, and
// whether Node's parser is within a request or between two, as Node itself counts it for `closeIdleConnections`, but
// for one connection. Used by http-connection.ts.

/** Node's parser, as far as it is used (lib/_http_common.js and src/node_http_parser.cc, the same from Node 20 to 26). */
interface Parser {
  [callback: number]: unknown;
  /** It has begun a request, and has not come to its end. */
  [WITHIN]?: boolean;
  constructor: { kOnMessageBegin?: unknown; kOnMessageComplete?: unknown };
}

type Callback = (this: Parser, ...args: unknown[]) => unknown;

const WITHIN = Symbol('within a request');
/** By Node's callback for the end of a message, what stands in its place; Node uses its parsers again and again. */
const watchers = new WeakMap<Callback, Callback>();

function parserOnMessageBegin(this: Parser): void {
  this[WITHIN] = true;
}

/**
 * Begins to watch a parser that has read nothing yet.
 * @param socket the connection, after Node's HTTP server got it
 * @returns whether `isWithinRequest` can tell
 */
export function watchRequests(socket: { parser?: object | null }): boolean {
  const parser = socket.parser as Parser | null | undefined;
  const { kOnMessageBegin: begin, kOnMessageComplete: complete } = parser?.constructor ?? {};
  if (!parser || typeof begin !== 'number' || typeof complete !== 'number') return false;
  const nodes = parser[complete] as Callback | undefined;
  // Node has no use for the beginning; a version that has is not one that this knows.
  if (
    (parser[begin] !== parserOnMessageBegin && typeof parser[begin] === 'function') ||
    typeof nodes !== 'function'
  )
    return false;
  const watcher = watchers.get(nodes) ?? watcherOf(nodes);
  watchers.set(nodes, watcher).set(watcher, watcher);
  parser[complete] = watcher;
  parser[begin] = parserOnMessageBegin;
  parser[WITHIN] = false;
  return true;
}

/** True from the first byte of a request to its last, on a connection that is watched. */
export function isWithinRequest(parser: object): boolean {
  return (parser as Parser)[WITHIN] === true;
}

function watcherOf(nodes: Callback): Callback {
  return function parserOnMessageComplete(...args) {
    this[WITHIN] = false;
    return nodes.apply(this, args);
  };
}

/**
 * The head of one request with a safe method (RFC 9110 §9.2.1) and nothing behind it. With an upgrade the connection is
 * another one afterwards. Line ends are CRLF: where Node's parser takes others, it could see a second request here.
 */
const SAFE_REQUEST = /^(?:GET|HEAD|OPTIONS) (?:[^\r\n]+\r\n(?!upgrade[ \t]*:))+\r\n$/i;

/** True when nothing but one request was received, by the head of which nobody asked to change anything. */
export function isSafeRequest(chunk: unknown): boolean {
  return Buffer.isBuffer(chunk) && SAFE_REQUEST.test(chunk.toString('latin1'));
}
