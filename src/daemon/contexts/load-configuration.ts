// Loads a configuration file: its text, and all that it names. All of it is tried, so that whatever is wrong shows now,
// with its reason. Called by contexts.ts and by `tlshub doctor`.
import { dirname } from 'node:path';
import { type EndpointDefinition, endpointSettings } from '../endpoint/endpoint-file.ts';
import type { EndpointSettings } from '../endpoint/endpoint-settings.ts';
import { parseConfigFile } from './config-file.ts';
import { readGuardedFile } from './guarded-file.ts';
import { type LoadedContext, loadContext, within } from './load-contexts.ts';
import { flaw } from './toml-sections.ts';

/** What a configuration file comes to, by name. */
export interface LoadedConfiguration {
  readonly contexts: ReadonlyMap<string, LoadedContext>;
  readonly endpoints: ReadonlyMap<string, EndpointSettings>;
}

/** What there is without a file. */
export const NO_CONFIGURATION: LoadedConfiguration = { contexts: new Map(), endpoints: new Map() };

/**
 * Loads a configuration file. Throws ERR_TLSHUB_CONFIG, which says what is wrong and where.
 * @param file absolute path; relative ones in it are relative to its directory
 */
export function loadConfiguration(file: string): LoadedConfiguration {
  const text = readGuardedFile(file, 'public').toString('utf8');
  const definitions = within(file, () => parseConfigFile(text));
  const directory = dirname(file);
  const contexts = new Map<string, LoadedContext>();
  for (const [name, definition] of definitions.contexts)
    contexts.set(
      name,
      within(`${file}: context.${name}`, () => loadContext(definition, directory)),
    );
  const endpoints = new Map<string, EndpointSettings>();
  for (const [name, definition] of definitions.endpoints)
    endpoints.set(
      name,
      within(`${file}: endpoint.${name}`, () => loadEndpoint(definition, directory, contexts)),
    );
  return { contexts, endpoints };
}

function loadEndpoint(
  definition: EndpointDefinition,
  directory: string,
  contexts: ReadonlyMap<string, LoadedContext>,
): EndpointSettings {
  const { context } = definition;
  if (context === undefined)
    return endpointSettings(definition, directory, loadContext({ ...definition, side: 'client' }, directory));
  if (contexts.get(context)?.side !== 'client')
    throw flaw(`"context": the file defines no client context "${context}"`);
  return endpointSettings(definition, directory, undefined);
}
