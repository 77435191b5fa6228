// What an application sees of one connection, as plain data that two runs can be compared by: events in order,
// errors property by property, and the bytes. Ports and thread ids differ between runs and are replaced.
import { createHash } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { within } from '#helpers/wait-for.js';

/** One event; neighbouring `data` events are one, for how a stream is cut into chunks is not promised. */
export type TraceEvent = [name: string, ...details: unknown[]];

/** A connection from the call to its end. */
export interface Trace {
  /** What the call itself threw. */
  thrown?: unknown;
  events: TraceEvent[];
}

/** A trace that is being written. */
export interface Recorder {
  readonly trace: Trace;
  /** Adds an event of the test's own. */
  note(name: string, ...details: unknown[]): void;
  /** Adds the members of a socket that tell the state of its streams. */
  noteState(socket: TLSSocket, name: string): void;
  /** Listens to everything; with `read: false` not to `data`, so that the stream stays paused. */
  watch(socket: TLSSocket, options?: { read?: boolean }): void;
  /** Waits for the socket's `close` and answers the trace. */
  finished(socket: TLSSocket): Promise<Trace>;
}

/** Not `session`: a ticket may come before or after the first bytes, with node:tls too. */
const PLAIN_EVENTS = ['connect', 'ready', 'end', 'finish', 'timeout', 'drain'] as const;
const LOOKUP_EVENTS = [
  'lookup',
  'connectionAttempt',
  'connectionAttemptFailed',
  'connectionAttemptTimeout',
] as const;
/** Longer data is shown by its length and hash. */
const MAX_TEXT_BYTES = 256;

/**
 * Starts a trace.
 * @param ports are replaced by `PORT` wherever they appear
 */
export function makeRecorder(ports: readonly (number | undefined)[] = []): Recorder {
  const plain = makePlain(ports.filter((port) => port !== undefined));
  const trace: Trace = { events: [] };
  const closedBy = new WeakMap<TLSSocket, Promise<void>>();
  let data: Buffer[] = [];
  const note = (name: string, ...details: unknown[]): void => {
    flush();
    trace.events.push([name, ...details.map(plain)]);
  };
  function flush(): void {
    if (data.length === 0) return;
    const bytes = Buffer.concat(data);
    data = [];
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    trace.events.push([
      'data',
      bytes.length > MAX_TEXT_BYTES ? `${bytes.length} ${sha256}` : bytes.toString('latin1'),
    ]);
  }
  return {
    trace,
    note,
    noteState: (socket, name) => note(name, stateOf(socket)),
    watch: (socket, options = {}) => {
      for (const name of PLAIN_EVENTS) socket.on(name, () => note(name));
      for (const name of LOOKUP_EVENTS) socket.on(name, (...details: unknown[]) => note(name, ...details));
      socket.on('secureConnect', () => note('secureConnect', descriptionOf(socket)));
      socket.on('OCSPResponse', (response: Buffer) => note('OCSPResponse', response.toString('base64')));
      socket.on('error', (error) => note('error', error));
      if (options.read !== false) {
        socket.on('data', (chunk: Buffer | string) => void data.push(Buffer.from(chunk as string)));
      }
      const closed = new Promise<void>((resolve) => {
        socket.on('close', (hadError) => {
          // Whether `pending` after the end depends on how node:tls came to it; the documents do not say.
          const { pending: _, ...state } = stateOf(socket);
          note('close', hadError, state);
          resolve();
        });
      });
      closedBy.set(socket, closed);
    },
    finished: async (socket) => {
      // `closed` is true before the event has been emitted.
      await within(closedBy.get(socket) ?? Promise.reject(new Error('the socket is not watched')), {
        what: () => `close after ${JSON.stringify(trace.events)}`,
      });
      return trace;
    },
  };
}

/** What `secureConnect` promises to be known. */
function descriptionOf(socket: TLSSocket): Record<string, unknown> {
  // Whether the peer's first bytes are counted by now is a matter of packets.
  const { bytesRead: _, ...state } = stateOf(socket);
  return {
    authorized: socket.authorized,
    authorizationError: socket.authorizationError,
    protocol: socket.getProtocol(),
    cipher: socket.getCipher(),
    alpnProtocol: socket.alpnProtocol,
    subject: socket.getPeerCertificate().subject?.CN,
    state,
  };
}

function stateOf(socket: TLSSocket): Record<string, unknown> {
  return {
    authorized: socket.authorized,
    authorizationError: socket.authorizationError,
    destroyed: socket.destroyed,
    errored: (socket.errored as { code?: string } | null)?.code,
    readable: socket.readable,
    readableEnded: socket.readableEnded,
    writable: socket.writable,
    writableFinished: socket.writableFinished,
    bytesRead: socket.bytesRead,
    bytesWritten: socket.bytesWritten,
    readyState: socket.readyState,
    connecting: socket.connecting,
    pending: socket.pending,
  };
}

/** Turns values into data that compares: errors with all their own properties, certificates by their fingerprint. */
function makePlain(ports: readonly number[]): (value: unknown) => unknown {
  const text = (value: string): string => {
    let result = value.replace(/\b[0-9A-F]{8,16}:error:/g, 'THREAD:error:');
    for (const port of ports) result = result.replaceAll(String(port), 'PORT');
    return result;
  };
  const plain = (value: unknown): unknown => {
    if (typeof value === 'string') return text(value);
    if (typeof value === 'number') return ports.includes(value) ? 'PORT' : value;
    if (typeof value === 'function') return 'a function';
    if (Buffer.isBuffer(value)) return `buffer ${value.toString('base64')}`;
    if (Array.isArray(value)) return value.map(plain);
    if (value instanceof Error) return describeError(value);
    if (typeof value !== 'object' || value === null) return value;
    if ('fingerprint256' in value) return `certificate ${String(value.fingerprint256)}`;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
  };
  const describeError = (error: Error): Record<string, unknown> => {
    // A property that is there but undefined tells nobody anything.
    const own = error as unknown as Record<string, unknown>;
    const names = Object.getOwnPropertyNames(error).filter((name) => own[name] !== undefined);
    const described: Record<string, unknown> = {
      class: error.constructor.name,
      name: error.name,
      message: text(error.message),
      shown: Object.keys(error)
        .filter((name) => own[name] !== undefined)
        .sort(),
    };
    for (const name of names) {
      if (name !== 'stack' && name !== 'message') described[name] = plain(own[name]);
    }
    return described;
  };
  return plain;
}
