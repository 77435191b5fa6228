// The sections of the configuration file (TOML), whatever they are about: names, keys that are known, and values that
// fit. Pure. Whatever is not known is an error that says where: a key with a typing error must not leave something weaker
// than it was meant. Used by context-file.ts and endpoint-file.ts.
import { parse, TomlError, type TomlTable } from 'smol-toml';
import * as v from 'valibot';
import { messageOf, TlshubError } from '../../errors.ts';
import { flawOfName } from '../../protocol/session-name.ts';

/** What sections of one kind have in them. */
export interface SectionRules<Entries extends v.ObjectEntries> {
  /** As in `[context.NAME]`. */
  readonly kind: string;
  /** Schemas of the keys; each schema's message says what the value must be. */
  readonly keys: Entries;
  /** Keys that must be there, with what they must be. */
  readonly required: Readonly<Record<string, string>>;
  /** Throws for what the keys say together. */
  refuseContradiction(where: string, section: v.InferOutput<v.ObjectSchema<Entries, undefined>>): void;
}

/** The document that a text is; throws ERR_TLSHUB_CONFIG with line and column. */
export function parseToml(text: string): TomlTable {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [what = ''] = messageOf(error).replace('Invalid TOML document: ', '').split('\n');
    throw flaw(`line ${error.line}, column ${error.column}: ${what}`);
  }
}

/**
 * The sections of one kind, by name. Throws ERR_TLSHUB_CONFIG with the line or the key.
 * @param text of the file, for line numbers
 * @param document what it is
 */
export function sectionsOf<Entries extends v.ObjectEntries>(
  text: string,
  document: TomlTable,
  rules: SectionRules<Entries>,
): Map<string, v.InferOutput<v.ObjectSchema<Entries, undefined>>> {
  const { kind } = rules;
  const sections = document[kind] ?? {};
  if (!isTable(sections)) throw flaw(`"${kind}" must be a section: [${kind}.NAME]`);
  return new Map(
    Object.entries(sections).map(([name, section]) => [name, parseSection(text, name, section, rules)]),
  );
}

function parseSection<Entries extends v.ObjectEntries>(
  text: string,
  name: string,
  section: unknown,
  { kind, keys, required, refuseContradiction }: SectionRules<Entries>,
): v.InferOutput<v.ObjectSchema<Entries, undefined>> {
  const nameFlaw = flawOfName(name);
  if (nameFlaw !== undefined) throw flaw(`${kind} ${JSON.stringify(name)}: ${nameFlaw}`);
  const where = `${kind}.${name}`;
  if (!isTable(section)) throw flaw(`"${where}" must be a section: [${where}]`);
  refuseUnknown(text, section, Object.keys(keys), 'key', (key) => `${where}.${key}`);
  for (const [key, what] of Object.entries(required))
    if (section[key] === undefined) throw flaw(`${where}: "${key}" is missing; it must be ${what}`);
  const result = v.safeParse(v.object(keys), section, { abortEarly: true });
  if (result.success) {
    refuseContradiction(where, result.output);
    return result.output;
  }
  const [{ message, path }] = result.issues;
  const key = String(path?.[0].key);
  throw flaw(`${lineOf(text, key)}"${where}.${key}" must be ${message}`);
}

/**
 * Throws ERR_TLSHUB_CONFIG for the first name of a table that is not known.
 * @param text of the file, for line numbers
 * @param what the names are for, in the error
 * @param show a name as the error has it
 */
export function refuseUnknown(
  text: string,
  table: TomlTable,
  known: readonly string[],
  what: string,
  show: (name: string) => string,
): void {
  // By own names, for a table may have a key such as "constructor".
  const unknown = Object.keys(table).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw flaw(
    `${lineOf(text, unknown)}${show(unknown)} is not a known ${what}; there are: ${known.join(', ')}`,
  );
}

/** `line N: ` where only one line can be meant, else nothing: the parser does not tell where a key is. */
export function lineOf(text: string, key: string): string {
  const name = key.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const assignment = new RegExp(`^\\s*\\[*\\s*(["']?)${name}\\1\\s*[=.\\]]`);
  const lines = text.split('\n').flatMap((line, index) => (assignment.test(line) ? [index + 1] : []));
  return lines.length === 1 ? `line ${lines[0]}: ` : '';
}

function isTable(value: unknown): value is TomlTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Texts as a list for people, each between quotes. */
export function quoted(values: readonly string[]): string {
  return values.map((value) => `"${value}"`).join(', ');
}

/** What is wrong with a configuration. */
export function flaw(message: string): TlshubError {
  return new TlshubError('ERR_TLSHUB_CONFIG', message);
}
