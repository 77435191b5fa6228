// The text of the configuration file as definitions of all that it is about. Pure: no file is looked at. Read by
// load-configuration.ts.
import { type EndpointDefinition, parseEndpoints } from '../endpoint/endpoint-file.ts';
import { type ContextDefinition, parseContexts } from './context-file.ts';
import { parseToml } from './toml-sections.ts';

/** What a configuration file says; paths are as written there. */
export interface ConfigDefinition {
  readonly contexts: ReadonlyMap<string, ContextDefinition>;
  readonly endpoints: ReadonlyMap<string, EndpointDefinition>;
}

/** The definitions of a configuration file, by name. Throws ERR_TLSHUB_CONFIG with the line or the key. */
export function parseConfigFile(text: string): ConfigDefinition {
  const document = parseToml(text, ['context', 'endpoint']);
  return { contexts: parseContexts(text, document), endpoints: parseEndpoints(text, document) };
}
