// The sections of the configuration file that define contexts. Pure: no file is looked at; what the definitions name is
// read by load-contexts.ts.
import type { TomlTable } from 'smol-toml';
import * as v from 'valibot';
import { encodeAlpn } from '../../protocol/alpn.ts';
import { flaw, quoted, type SectionRules, sectionsOf } from './toml-sections.ts';

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

/** Keys of everything that is made of certificates and keys. */
export const MATERIAL_KEYS = {
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
} as const;

/** Keys of a `[context.NAME]` section; each schema's message says what the value must be. */
export const CONTEXT_KEYS = {
  side: v.picklist(CONTEXT_SIDES, side),
  ...MATERIAL_KEYS,
  uids: v.optional(listOf(v.pipe(v.number(uid), v.integer(uid), v.minValue(0, uid)), uid)),
} as const;

/** A context as the file defines it; paths are as written there. */
export type ContextDefinition = v.InferOutput<v.ObjectSchema<typeof CONTEXT_KEYS, undefined>>;

/** What certificates and keys a section asks for; paths are as written there. */
export type MaterialDefinition = v.InferOutput<v.ObjectSchema<typeof MATERIAL_KEYS, undefined>>;

const RULES: SectionRules<typeof CONTEXT_KEYS> = {
  kind: 'context',
  keys: CONTEXT_KEYS,
  required: { side },
  refuseContradiction(where, definition) {
    const { side, certificate, key } = definition;
    if (side === 'server' && (certificate === undefined || key === undefined))
      throw flaw(`${where}: a server needs "certificate" and "key"`);
    refuseMaterial(where, definition);
  },
};

/**
 * The contexts that a configuration file defines, by name. Throws ERR_TLSHUB_CONFIG with the line or the key.
 * @param text of the file
 * @param document what it is
 */
export function parseContexts(text: string, document: TomlTable): Map<string, ContextDefinition> {
  return sectionsOf(text, document, RULES);
}

/** Throws ERR_TLSHUB_CONFIG for keys that do not go together. */
export function refuseMaterial(where: string, definition: MaterialDefinition): void {
  const { certificate, key, passphrase_file, min_version: least, max_version: most } = definition;
  if ((certificate === undefined) !== (key === undefined))
    throw flaw(`${where}: "certificate" and "key" go together`);
  if (passphrase_file !== undefined && key === undefined)
    throw flaw(`${where}: "passphrase_file" is of no use without "key"`);
  if (least !== undefined && most !== undefined && VERSIONS.indexOf(least) > VERSIONS.indexOf(most))
    throw flaw(`${where}: "min_version" is above "max_version"`);
}
