// The text of the configuration file (TOML) as definitions of contexts. Pure: no file is looked at; what the definitions
// name is read by load-contexts.ts. Whatever is not known is an error that says where: a key with a typing error must
// not leave a context weaker than it was meant.
import { parse, TomlError, type TomlTable } from 'smol-toml';
import * as v from 'valibot';
import { messageOf, TlshubError } from '../../errors.ts';
import { encodeAlpn } from '../../protocol/alpn.ts';
import { flawOfName } from '../../protocol/session-name.ts';

/** Sides of a connection that a context can be for. */
export const CONTEXT_SIDES = ['server', 'client'] as const;

/** One of {@link CONTEXT_SIDES}. */
export type ContextSide = (typeof CONTEXT_SIDES)[number];

/** Protocol versions, oldest first; the names are Node's. */
export const VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;

const side = `one of ${quoted(CONTEXT_SIDES)}`;
const path = 'a path, between quotes';
const nonEmpty = (what: string) => v.pipe(v.string(what), v.nonEmpty(what));
const listOf = <Item extends v.GenericSchema>(item: Item, what: string) =>
  v.pipe(v.array(item, what), v.nonEmpty(what));
const version = v.picklist(VERSIONS, `one of ${quoted(VERSIONS)}`);
const uid = 'a list of user ids, such as [1000]';
const protocols = 'a list of protocol names, such as ["h2", "http/1.1"]';

/** Keys of a `[context.NAME]` section; each schema's message says what the value must be. */
export const CONTEXT_KEYS = {
  side: v.picklist(CONTEXT_SIDES, side),
  certificate: v.optional(nonEmpty(path)),
  key: v.optional(nonEmpty(path)),
  passphrase_file: v.optional(nonEmpty(path)),
  ca: v.optional(listOf(nonEmpty('a list of paths'), 'a list of paths')),
  alpn: v.optional(
    v.pipe(
      listOf(nonEmpty(protocols), protocols),
      v.check((names) => encodeAlpn(names) !== undefined, 'protocol names of at most 255 bytes each'),
    ),
  ),
  min_version: v.optional(version),
  max_version: v.optional(version),
  ciphers: v.optional(nonEmpty('a list of cipher suites as OpenSSL writes it, between quotes')),
  uids: v.optional(listOf(v.pipe(v.number(uid), v.integer(uid), v.minValue(0, uid)), uid)),
} as const;

const contextSection = v.object(CONTEXT_KEYS);

/** A context as the file defines it; paths are as written there. */
export type ContextDefinition = v.InferOutput<typeof contextSection>;

/**
 * The contexts that a configuration file defines, by name. Throws ERR_TLSHUB_CONFIG with the line or the key.
 * @param text of the file
 */
export function parseContextFile(text: string): Map<string, ContextDefinition> {
  const document = parseToml(text);
  refuseUnknown(text, document, ['context'], 'section', (name) => `[${name}]`);
  const sections = document.context ?? {};
  if (!isTable(sections)) throw flaw('"context" must be a section: [context.NAME]');
  return new Map(
    Object.entries(sections).map(([name, section]) => [name, parseSection(text, name, section)]),
  );
}

function parseToml(text: string): TomlTable {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [what = ''] = messageOf(error).replace('Invalid TOML document: ', '').split('\n');
    throw flaw(`line ${error.line}, column ${error.column}: ${what}`);
  }
}

function parseSection(text: string, name: string, section: unknown): ContextDefinition {
  const nameFlaw = flawOfName(name);
  if (nameFlaw !== undefined) throw flaw(`context ${JSON.stringify(name)}: ${nameFlaw}`);
  const where = `context.${name}`;
  if (!isTable(section)) throw flaw(`"${where}" must be a section: [${where}]`);
  refuseUnknown(text, section, Object.keys(CONTEXT_KEYS), 'key', (key) => `${where}.${key}`);
  if (section.side === undefined) throw flaw(`${where}: "side" is missing; it must be ${side}`);
  const result = v.safeParse(contextSection, section, { abortEarly: true });
  if (result.success) {
    refuseContradiction(where, result.output);
    return result.output;
  }
  const [{ message, path: issuePath }] = result.issues;
  const key = String(issuePath?.[0].key);
  throw flaw(`${lineOf(text, key)}"${where}.${key}" must be ${message}`);
}

/** What the keys say together. */
function refuseContradiction(where: string, definition: ContextDefinition): void {
  const { side, certificate, key, passphrase_file, min_version: least, max_version: most } = definition;
  if (side === 'server' && (certificate === undefined || key === undefined))
    throw flaw(`${where}: a server needs "certificate" and "key"`);
  if ((certificate === undefined) !== (key === undefined))
    throw flaw(`${where}: "certificate" and "key" go together`);
  if (passphrase_file !== undefined && key === undefined)
    throw flaw(`${where}: "passphrase_file" is of no use without "key"`);
  if (least !== undefined && most !== undefined && VERSIONS.indexOf(least) > VERSIONS.indexOf(most))
    throw flaw(`${where}: "min_version" is above "max_version"`);
}

/** Throws for the first name that is not known; by own names, for a table may have a key such as "constructor". */
function refuseUnknown(
  text: string,
  table: TomlTable,
  known: readonly string[],
  what: string,
  show: (name: string) => string,
): void {
  const unknown = Object.keys(table).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw flaw(
    `${lineOf(text, unknown)}${show(unknown)} is not a known ${what}; there are: ${known.join(', ')}`,
  );
}

/** `line N: ` where only one line can be meant, else nothing: the parser does not tell where a key is. */
function lineOf(text: string, key: string): string {
  const name = key.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const assignment = new RegExp(`^\\s*\\[*\\s*(["']?)${name}\\1\\s*[=.\\]]`);
  const lines = text.split('\n').flatMap((line, index) => (assignment.test(line) ? [index + 1] : []));
  return lines.length === 1 ? `line ${lines[0]}: ` : '';
}

function isTable(value: unknown): value is TomlTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function quoted(values: readonly string[]): string {
  return values.map((value) => `"${value}"`).join(', ');
}

function flaw(message: string): TlshubError {
  return new TlshubError('ERR_TLSHUB_CONFIG', message);
}
