// The text of the configuration file as definitions of all that it is about. Pure: no file is looked at. Read by
// load-configuration.ts.

import { MAX_SHARDS } from '../../protocol/shard.ts';
import { type EndpointDefinition, parseEndpoints } from '../endpoint/endpoint-file.ts';
import { type ContextDefinition, parseContexts } from './context-file.ts';
import { flaw, lineOf, parseToml, refuseUnknown } from './toml-sections.ts';

/** What a configuration file says; paths are as written there. */
export interface ConfigDefinition {
  readonly contexts: ReadonlyMap<string, ContextDefinition>;
  readonly endpoints: ReadonlyMap<string, EndpointDefinition>;
}

/** The definitions of a configuration file, by name. Throws ERR_TLSHUB_CONFIG with the line or the key. */
export function parseConfigFile(text: string): ConfigDefinition {
  const { shards: _shards, ...document } = parseToml(text);
  refuseUnknown(text, document, ['context', 'endpoint'], 'section', (name) => `[${name}]`);
  parseShards(text);
  return { contexts: parseContexts(text, document), endpoints: parseEndpoints(text, document) };
}

/**
 * The number of daemon processes that a configuration file asks for. Throws ERR_TLSHUB_CONFIG.
 * @param text of the file
 */
export function parseShards(text: string): number | undefined {
  const { shards } = parseToml(text);
  if (shards === undefined) return undefined;
  if (typeof shards === 'number' && Number.isInteger(shards) && shards >= 1 && shards <= MAX_SHARDS)
    return shards;
  throw flaw(`${lineOf(text, 'shards')}"shards" must be a whole number from 1 to ${MAX_SHARDS}`);
}
