// The contexts of the configuration: certificates and keys that the daemon has and its applications only name. A reload
// takes all of the file or nothing of it. ALWAYS: who asks for a context that is not for it learns nothing, not even
// that there is one. NEVER: a reload touches a session; who wants new certificates listens to onChange.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { messageOf, TlshubError } from '../../errors.ts';
import { ownUid } from '../../link/socket-path.ts';
import { CONFIG_NAME } from '../config.ts';
import type { EndpointSettings } from '../endpoint/endpoint-settings.ts';
import type { Logger } from '../log.ts';
import type { ContextSide } from './context-file.ts';
import { loadConfiguration, NO_CONFIGURATION } from './load-configuration.ts';
import type { LoadedContext } from './load-contexts.ts';

/** A context as a session or a server uses it. */
export interface ResolvedContext extends Pick<LoadedContext, 'context' | 'ca' | 'ALPNProtocols'> {
  /** Another one for other contents: what was made with one version never serves the next. */
  readonly version: number;
}

/** What a reload has changed: names of contexts, sorted. */
export interface ContextChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** A reload that was done; without a file there is nothing to load. */
export interface ReloadReport extends ContextChanges {
  readonly file: string | null;
}

/** Told after the change, when `get` answers the new contexts. */
export type ContextsListener = (changes: ContextChanges) => void;

/** Where the contexts come from, and how many there are; for `status`. */
export interface ContextCounts {
  file: string | null;
  server: number;
  client: number;
}

interface ContextsOptions {
  /** The daemon's directory. */
  directory: string;
  /** Absolute path of the file; `null` is {@link CONFIG_NAME} in the directory, if it is there. */
  configFile: string | null;
  log: Logger;
}

interface Entry {
  readonly loaded: LoadedContext;
  readonly resolved: ResolvedContext;
}

/** All contexts; one per daemon. */
export class Contexts {
  readonly #options: ContextsOptions;
  readonly #listeners = new Set<ContextsListener>();
  #entries: ReadonlyMap<string, Entry> = new Map();
  #endpoints: ReadonlyMap<string, EndpointSettings> = new Map();
  /** The file that the contexts are from. */
  #file: string | null = null;
  #lastVersion = 0;

  /** @param options where the file is; nothing is read before {@link load} */
  constructor(options: ContextsOptions) {
    this.#options = options;
  }

  /** Reads the file at the start of the daemon. Throws ERR_TLSHUB_CONFIG. */
  load(): void {
    this.#take();
  }

  /**
   * Reads the file again; what is wrong with it throws ERR_TLSHUB_CONFIG, and then nothing has changed. Either is logged.
   */
  reload(): ReloadReport {
    const { log } = this.#options;
    let report: ReloadReport;
    try {
      report = this.#take();
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'the configuration was not reloaded: nothing has changed');
      throw error;
    }
    log.info({ ...report }, 'the configuration was reloaded');
    const { added, changed, removed } = report;
    if (added.length + changed.length + removed.length > 0)
      for (const listener of [...this.#listeners]) listener({ added, changed, removed });
    return report;
  }

  /**
   * The context of a name, as it is now. Throws ERR_TLSHUB_CONTEXT_UNKNOWN when there is none for this user and side;
   * the log says which of these it was, the error does not.
   * @param name as in the file
   * @param uid whose process asks
   * @param side what it is wanted for
   */
  get(name: string, uid: number, side: ContextSide): ResolvedContext {
    const entry = this.#entries.get(name);
    const obstacle = obstacleTo(entry?.loaded, uid, side);
    if (entry !== undefined && obstacle === undefined) return entry.resolved;
    const { log } = this.#options;
    const event = { context: name, uid, side, file: this.#file, reason: obstacle };
    // Names that there are not may be chosen at will.
    log.once(`context ${obstacle} ${entry && name}`, 'warn', event, 'a context was refused');
    throw new TlshubError(
      'ERR_TLSHUB_CONTEXT_UNKNOWN',
      `there is no ${side} context "${name}" for this process; the daemon's log says why, and ` +
        '"tlshub doctor" which file defines the contexts',
    );
  }

  /** Has a listener told of every reload that changes something; the function returned ends that. */
  onChange(listener: ContextsListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** What the same file says of endpoints, by name. */
  get endpoints(): ReadonlyMap<string, EndpointSettings> {
    return this.#endpoints;
  }

  /** How many contexts there are, and from where. */
  counts(): ContextCounts {
    const counts = { file: this.#file, server: 0, client: 0 };
    for (const { loaded } of this.#entries.values()) counts[loaded.side] += 1;
    return counts;
  }

  #take(): ReloadReport {
    const file = this.#fileNow();
    const { contexts: fresh, endpoints } = file === null ? NO_CONFIGURATION : loadConfiguration(file);
    const entries = new Map<string, Entry>();
    for (const [name, loaded] of fresh) entries.set(name, this.#entryFor(this.#entries.get(name), loaded));
    const before = this.#entries;
    const names = [...entries.keys()].sort();
    const report = {
      file,
      added: names.filter((name) => !before.has(name)),
      changed: names.filter((name) => before.has(name) && before.get(name) !== entries.get(name)),
      removed: [...before.keys()].filter((name) => !entries.has(name)).sort(),
    };
    this.#entries = entries;
    this.#endpoints = endpoints;
    this.#file = file;
    return report;
  }

  /** The file to read; one that was there must not be gone, for that is more likely an accident than a wish. */
  #fileNow(): string | null {
    const { configFile, directory } = this.#options;
    if (configFile !== null) return configFile;
    const file = join(directory, CONFIG_NAME);
    return this.#file !== null || existsSync(file) ? file : null;
  }

  #entryFor(before: Entry | undefined, loaded: LoadedContext): Entry {
    if (before !== undefined && isDeepStrictEqual(before.loaded, loaded)) return before;
    const { context, ca, ALPNProtocols } = loaded;
    // Users that were let in or shut out are no reason for another handshake.
    if (before !== undefined && isDeepStrictEqual(material(before.loaded), material(loaded)))
      return { loaded, resolved: before.resolved };
    this.#lastVersion += 1;
    return { loaded, resolved: { context, ca, ALPNProtocols, version: this.#lastVersion } };
  }
}

function material({ context, ca, ALPNProtocols }: LoadedContext): object {
  return { context, ca, ALPNProtocols };
}

function obstacleTo(loaded: LoadedContext | undefined, uid: number, side: ContextSide): string | undefined {
  if (loaded === undefined) return 'it is not defined';
  if (loaded.side !== side) return `it is for the ${loaded.side} side`;
  return (loaded.uids ?? [ownUid()]).includes(uid) ? undefined : 'its "uids" do not have this user';
}
