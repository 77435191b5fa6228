// The only file of the command line that prints. The rules:
//
// 1. Standard output carries the result of the verb and nothing else; remarks and errors go to standard error.
// 2. With --json the result is exactly one JSON value on one line, and so is an error (`{"error":{code,message,help}}`).
// 3. Without it the text is for people and may change; programs use --json and the exit code.
// 4. An error says what happened (`tlshub: …`), its code, and what to do; never a stack.
// 5. Text that came from outside cannot control the terminal: control characters are shown escaped.
// 6. Colour only on a terminal, and not with NO_COLOR; nothing is told by colour alone.
// 7. Silence is fine: no greeting, no progress, no "done" where the exit code says it.
import { codeOf, messageOf } from '../errors.ts';
import { UsageError } from './exit-codes.ts';

/** How a verb was asked to print. */
export interface OutputOptions {
  /** One JSON value instead of text. */
  readonly json?: boolean | undefined;
}

const STYLES = { bold: 1, red: 31, green: 32, yellow: 33 } as const;
/** A style of {@link styled}. */
export type Style = keyof typeof STYLES;

/** What to do about an error, where its message does not say it by itself. */
const HELP: Readonly<Record<string, string>> = {
  ERR_TLSHUB_CONFIG: 'mend it, then "tlshub reload"; docs/configuration.md has every key',
  ERR_TLSHUB_CONTEXT_UNKNOWN:
    '"tlshub doctor" lists the contexts; the log of the daemon says why it was refused',
  ERR_TLSHUB_DAEMON_LOST: 'look into the log of the daemon ("tlshub doctor" shows where) and try again',
  ERR_TLSHUB_DAEMON_UNREACHABLE: 'start a daemon with "tlshub start", or ask "tlshub doctor" what is wrong',
  ERR_TLSHUB_DIRECTORY: '"tlshub doctor" checks the directory',
  ERR_TLSHUB_PEER_CREDENTIALS: '"tlshub doctor" checks the host',
  ERR_TLSHUB_SESSION_UNKNOWN: '"tlshub sessions" lists the ids',
  ERR_TLSHUB_START_FAILED: '"tlshub daemon" in the foreground shows its log here',
  ERR_TLSHUB_VERSION: 'end the running daemon with "tlshub stop" of its own version, then try again',
};

/**
 * Prints the result of a verb.
 * @param value what --json prints
 * @param text what people read, without the last newline; `undefined` prints nothing
 */
export function printResult(value: unknown, text: string | undefined, options: OutputOptions): void {
  if (options.json) process.stdout.write(`${JSON.stringify(value)}\n`);
  else if (text !== undefined) process.stdout.write(`${text}\n`);
}

/** Prints a remark to standard error; nothing with --json. */
export function printRemark(text: string, options: OutputOptions): void {
  if (!options.json) process.stderr.write(`tlshub: ${printable(text)}\n`);
}

/** Prints an error to standard error: message, code, what to do. */
export function printError(error: unknown, options: OutputOptions): void {
  const message = messageOf(error);
  const code = error instanceof UsageError ? 'USAGE' : (codeOf(error) ?? 'UNEXPECTED');
  const help = error instanceof UsageError ? 'see "tlshub --help" or "tlshub help VERB"' : HELP[code];
  if (options.json) {
    process.stderr.write(`${JSON.stringify({ error: { code, message, help } })}\n`);
    return;
  }
  const lines = [`${styled('tlshub:', 'red', process.stderr)} ${printable(message)}`, `  code: ${code}`];
  if (help !== undefined) lines.push(`  help: ${help}`);
  process.stderr.write(`${lines.join('\n')}\n`);
}

/** Prints help that was asked for (standard output) or that explains a wrong command line (standard error). */
export function printHelp(text: string, stream: 'stdout' | 'stderr'): void {
  process[stream].write(text);
}

/** Text with a style, when the stream shows it. */
export function styled(text: string, style: Style, stream: NodeJS.WriteStream = process.stdout): string {
  const { NO_COLOR } = process.env;
  if (!stream.isTTY || (NO_COLOR !== undefined && NO_COLOR !== '')) return text;
  return `\u001b[${STYLES[style]}m${text}\u001b[0m`;
}

/** Text with its control characters escaped, so that it is shown and not obeyed. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are the ones to be escaped
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/**
 * Rows as aligned columns under a heading.
 * @param heading titles of the columns
 * @param rows texts of the cells, escaped here
 */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printable));
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [styled(line(heading), 'bold'), ...cells.map(line)].join('\n');
}

/**
 * A record as aligned lines `name  value`; records in it are indented under their name. Names that end in `Ms` or tell
 * bytes are shown in units.
 * @param indent spaces before each line
 */
export function record(fields: Readonly<Record<string, unknown>>, indent = 0): string {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...entries.map(([name]) => title(name).length));
  const margin = ' '.repeat(indent);
  return entries
    .map(([name, value]) => {
      if (isRecord(value)) return `${margin}${title(name)}\n${record(value, indent + 2)}`;
      return `${margin}${title(name).padEnd(width)}  ${printable(valueText(name, value))}`;
    })
    .join('\n');
}

/** A value for people, by the unit in its name. */
export function valueText(name: string, value: unknown): string {
  if (value === null || value === '') return '-';
  if (typeof value === 'number' && name.endsWith('Ms')) return durationText(value);
  if (typeof value === 'number' && /bytes|^(rss|heapUsed|external|atStart|perSession)$/i.test(name))
    return bytesText(value);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.map((item) => valueText('', item)).join(', ') || '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const DURATION_UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** A time for people: its two largest units, such as `2h 5m`; below a second, milliseconds. */
export function durationText(ms: number): string {
  const parts: string[] = [];
  let restMs = ms;
  for (const [unit, unitMs] of DURATION_UNITS) {
    const count = Math.floor(restMs / unitMs);
    restMs -= count * unitMs;
    if (count > 0) parts.push(`${count}${unit}`);
    else if (parts.length > 0) break;
  }
  return parts.slice(0, 2).join(' ') || `${Math.round(ms)}ms`;
}

/** A size for people, in binary units with at most one decimal. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  return `${Number((bytes / 1024 ** power).toFixed(1))} ${units[power]}`;
}

/** `bytesFromPeer` as `bytes from peer`, `minDHSize` as `min DH size`. */
function title(name: string): string {
  return name
    .replace(/Ms$/, '')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .replace(/ [A-Z](?![A-Z])/g, (word) => word.toLowerCase());
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
