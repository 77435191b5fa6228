// The daemon's log: JSON lines by pino, or readable text on a terminal. Each line is written at once, so that the last
// one before an end is there; a log that cannot be written (full disk, closed pipe) never stops the daemon. Fields with
// the names of secrets are cut out here, whoever logs them. daemon.ts hands one logger to all parts.
import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import pino, { type Logger as Pino } from 'pino';
import { SECRET_KEY_FIELDS } from '../protocol/session-key.ts';
import type { LogLevel } from './config.ts';

/** Milliseconds in which {@link Logger.once} logs an event of one key a single time. */
export const ONCE_WINDOW_MS = 60_000;

/** Keys that are remembered by {@link Logger.once} at most; they may be chosen by a peer. */
const MAX_ONCE_KEYS = 1_024;
/** Levels of nesting in which secrets are looked for. */
const REDACTED_DEPTH = 4;
const REDACTED_PATHS = SECRET_KEY_FIELDS.flatMap((field) =>
  Array.from({ length: REDACTED_DEPTH }, (_, depth) => '*.'.repeat(depth) + field),
);

/** A level that an event can have. */
export type EventLevel = Exclude<LogLevel, 'silent'>;
/** Named values of an event; an error goes under `err`. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Takes one line, newline included. */
export type LineWriter = (line: string) => void;

interface OnceEntry {
  untilMs: number;
  suppressed: number;
}

/** What the parts of the daemon log with. */
export class Logger {
  readonly #pino: Pino;
  readonly #nowMs: () => number;
  readonly #once = new Map<string, OnceEntry>();

  /**
   * @param level least level that is logged
   * @param write takes the JSON lines
   * @param nowMs a clock that never goes back, in milliseconds
   */
  constructor(level: LogLevel, write: LineWriter, nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#pino = pino(
      {
        level,
        base: { daemon: process.pid },
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        redact: { paths: REDACTED_PATHS, censor: '[secret]' },
      },
      { write },
    );
  }

  /** Logs what only a developer of tlshub wants to see. */
  debug(fields: LogFields, message: string): void {
    this.#pino.debug(fields, message);
  }

  /** Logs an event of normal life. */
  info(fields: LogFields, message: string): void {
    this.#pino.info(fields, message);
  }

  /** Logs what an operator should look at. */
  warn(fields: LogFields, message: string): void {
    this.#pino.warn(fields, message);
  }

  /** Logs what keeps the daemon from its work. */
  error(fields: LogFields, message: string): void {
    this.#pino.error(fields, message);
  }

  /**
   * Logs an event unless one of the same key was logged in the last {@link ONCE_WINDOW_MS}; the next that is logged
   * says in `suppressed` how many were not. For events that a peer can cause at will.
   * @param key what makes events the same
   */
  once(key: string, level: EventLevel, fields: LogFields, message: string): void {
    const nowMs = this.#nowMs();
    const entry = this.#once.get(key);
    if (entry !== undefined && nowMs < entry.untilMs) {
      entry.suppressed += 1;
      return;
    }
    if (entry === undefined && this.#once.size >= MAX_ONCE_KEYS) this.#forgetKeys(nowMs);
    this.#once.set(key, { untilMs: nowMs + ONCE_WINDOW_MS, suppressed: 0 });
    const suppressed = entry?.suppressed ?? 0;
    this.#pino[level](suppressed === 0 ? fields : { ...fields, suppressed }, message);
  }

  #forgetKeys(nowMs: number): void {
    for (const [key, entry] of this.#once) if (nowMs >= entry.untilMs) this.#once.delete(key);
    if (this.#once.size >= MAX_ONCE_KEYS) this.#once.clear();
  }
}

/**
 * A logger that writes to a descriptor: readable text to a terminal, JSON lines otherwise.
 * @param level least level that is logged
 * @param fd descriptor, standard error by default
 */
export function createLogger(level: LogLevel, fd = 2): Logger {
  const write: LineWriter = (line) => {
    try {
      writeSync(fd, line);
    } catch {
      // There is no other place to say it.
    }
  };
  return new Logger(level, isatty(fd) ? (line) => write(readableLine(line)) : write);
}

/**
 * One JSON line of the log as text for people: time, level, message, then the fields.
 * @param line a line that {@link Logger} wrote
 */
export function readableLine(line: string): string {
  const { time, level, msg, daemon: _daemon, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const shown = Object.entries(fields).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  const { stack } = (err ?? {}) as { stack?: unknown };
  const trace = stack === undefined ? '' : `\n${String(stack)}`;
  const clock = String(time).slice(11, 23);
  return `${clock} ${String(level).toUpperCase().padEnd(5)} ${String(msg)}${shown.join('')}${trace}\n`;
}
