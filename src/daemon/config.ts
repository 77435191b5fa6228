// Every timer and limit of the daemon that an operator may set, with its default. The command line makes a config of
// its flags (cli/daemon-options.ts), daemon.ts hands out the parts; nothing else in the daemon has a number of its own.
// What both ends of the wire must agree on is in protocol/limits.ts.

/** Levels of the log, most talkative first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;

/** A level of {@link LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** True for a level of {@link LOG_LEVELS}. */
export function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text);
}

/** Name of the configuration file in the daemon's directory. */
export const CONFIG_NAME = 'tlshub.toml';

/** Settings of one daemon. Times are in milliseconds, sizes in bytes. */
export interface DaemonConfig {
  /** Directory of the socket, the lock and the log: absolute, private (0700) and ours. */
  readonly directory: string;
  /** Absolute path of the configuration file; `null` is `tlshub.toml` in the directory, if it is there. */
  readonly configFile: string | null;
  /** Daemon processes of the directory, 1–64; `null` is what the file says, else by the number of cores. */
  readonly shards: number | null;
  /** Which of them this is; the first, 0, starts the others. */
  readonly shard: number;
  /** Check on accept that the other process has our uid; `false` only where the host offers no such check. */
  readonly peerCredentials: boolean;
  /** Least level that is logged. */
  readonly logLevel: LogLevel;
  /** Milliseconds without sessions and links after which the daemon ends; 0 = never. */
  readonly idleExitMs: number;
  /** Milliseconds for name look-up, TCP connect and TLS handshake of a new session. */
  readonly connectTimeoutMs: number;
  /** Milliseconds in which an accepted connection must have sent its first line. */
  readonly helloTimeoutMs: number;
  /** Milliseconds that a released session stays in the pool unused. */
  readonly poolIdleMs: number;
  /** Milliseconds after its handshake from which a session is not leased again. */
  readonly sessionAgeMs: number;
  /** Milliseconds that a named session stays without a holder, unless its opener said otherwise. */
  readonly lingerMs: number;
  /** Milliseconds that a detached session waits for its handle to be used. */
  readonly handleTtlMs: number;
  /** Milliseconds that lanes may still run after a drain began. */
  readonly drainDeadlineMs: number;
  /** Most sessions of one uid. */
  readonly maxSessions: number;
  /** Most sessions with the same session key. */
  readonly maxSessionsPerKey: number;
  /** Most accepted connections (links and lanes). */
  readonly maxConnections: number;
  /** Most handshakes of clients in flight, all together; more wait their turn. */
  readonly maxHandshakes: number;
  /** Most handshakes in flight from one address; more are turned away. */
  readonly maxHandshakesPerAddress: number;
  /** Most bytes that all sessions of one uid may hold in buffers together. */
  readonly maxBufferedBytes: number;
  /** Most TLS session tickets kept for resumption. */
  readonly ticketCacheSize: number;
}

/** Defaults of everything but the directory. */
export const DEFAULT_CONFIG = {
  configFile: null,
  shards: null,
  shard: 0,
  peerCredentials: true,
  logLevel: 'info',
  idleExitMs: 10 * 60_000,
  connectTimeoutMs: 15_000,
  helloTimeoutMs: 5_000,
  poolIdleMs: 60_000,
  sessionAgeMs: 24 * 60 * 60_000,
  lingerMs: 60_000,
  handleTtlMs: 60_000,
  drainDeadlineMs: 10_000,
  maxSessions: 10_000,
  maxSessionsPerKey: 1_024,
  maxConnections: 20_000,
  maxHandshakes: 1_024,
  maxHandshakesPerAddress: 256,
  maxBufferedBytes: 256 * 1024 * 1024,
  ticketCacheSize: 10_000,
} as const satisfies Omit<DaemonConfig, 'directory'>;
