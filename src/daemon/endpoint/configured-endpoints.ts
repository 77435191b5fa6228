// The endpoints of the configuration file: makes what is open equal to what the file says, at the start and at each
// reload. One that cannot be opened (its port is taken, perhaps by a daemon that is ending) keeps nothing else from
// working: it is logged, shown by the status, and tried again. Made by endpoints.ts.
import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '../../errors.ts';
import { endpointPlaceText } from '../../protocol/endpoint-place.ts';
import type { EndpointReport } from '../../protocol/endpoint-report.ts';
import type { Logger } from '../log.ts';
import type { Endpoint } from './endpoint.ts';
import { type EndpointSettings, targetOf } from './endpoint-settings.ts';

/** Milliseconds between two tries to open what could not be opened. */
const RETRY_MS = 2_000;

/** What a reload did to endpoints: names, sorted. */
export interface EndpointChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Those that are not open, with the reason; they are tried again. */
  readonly failed: readonly { name: string; reason: string }[];
}

interface ConfiguredOptions {
  readonly log: Logger;
  /** Which endpoints this daemon opens. */
  opensEndpoint(name: string, settings: EndpointSettings): boolean;
  open(name: string, settings: EndpointSettings, onLost: (error: Error) => void): Promise<Endpoint>;
  /** Lets its clients finish. */
  close(endpoint: Endpoint): void;
}

interface Entry {
  settings: EndpointSettings;
  endpoint: Endpoint | undefined;
  /** Why it is not open. */
  reason: string | undefined;
}

/** Endpoints by the name of their section. */
export class ConfiguredEndpoints {
  readonly #options: ConfiguredOptions;
  readonly #entries = new Map<string, Entry>();
  /** Changes are made one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #triedAtMs = 0;
  #stopped = false;

  constructor(options: ConfiguredOptions) {
    this.#options = options;
  }

  /** How many there are, open or not. */
  get size(): number {
    return this.#entries.size;
  }

  /** Those that are open. */
  *open(): Generator<Endpoint> {
    for (const { endpoint } of this.#entries.values()) if (endpoint !== undefined) yield endpoint;
  }

  /** What the status tells of those that are not. */
  failures(): EndpointReport[] {
    const failed = [...this.#entries].filter(([, { endpoint }]) => endpoint === undefined);
    return failed.map(([name, { settings, reason = null }]) => ({
      name,
      address: endpointPlaceText(settings.place),
      kind: settings.kind,
      to: targetOf(settings.key),
      pid: process.pid,
      ...{ connections: 0, total: 0, requests: 0, refused: 0, failures: 0 },
      ...{ bytesFromClients: 0, bytesToClients: 0 },
      reason,
    }));
  }

  /**
   * Closes what is not wanted any more, opens what is new, and replaces what has changed: at the same place without
   * closing the door. Never rejects; what cannot be opened is in `failed`.
   */
  apply(wanted: ReadonlyMap<string, EndpointSettings>): Promise<EndpointChanges> {
    const { opensEndpoint } = this.#options;
    const own = new Map([...wanted].filter(([name, settings]) => opensEndpoint(name, settings)));
    const applied = this.#last.then(() => this.#apply(own));
    this.#last = applied;
    return applied;
  }

  /** Tries again what could not be opened. */
  sweep(nowMs: number): void {
    const hasFailed = [...this.#entries.values()].some(({ endpoint }) => endpoint === undefined);
    if (!hasFailed || nowMs - this.#triedAtMs < RETRY_MS) return;
    this.#triedAtMs = nowMs;
    this.#last = this.#last.then(() => this.#openMissing());
  }

  /** Nothing is opened any more; answers what is open, for its closing. */
  stop(): Endpoint[] {
    this.#stopped = true;
    const open = [...this.open()];
    this.#entries.clear();
    return open;
  }

  async #apply(wanted: ReadonlyMap<string, EndpointSettings>): Promise<EndpointChanges> {
    const changes = { added: [] as string[], changed: [] as string[], removed: [] as string[] };
    // Doors are closed first: what is new may be at the place of what goes.
    for (const [name, entry] of this.#entries) {
      const settings = wanted.get(name);
      if (settings === undefined) {
        changes.removed.push(name);
        this.#entries.delete(name);
        if (entry.endpoint !== undefined) this.#options.close(entry.endpoint);
      } else if (!isDeepStrictEqual(settings, entry.settings)) {
        changes.changed.push(name);
        this.#change(entry, settings);
      }
    }
    for (const [name, settings] of wanted) {
      if (this.#entries.has(name)) continue;
      changes.added.push(name);
      this.#entries.set(name, { settings, endpoint: undefined, reason: undefined });
    }
    await this.#openMissing();
    for (const names of Object.values(changes)) names.sort();
    const failed = this.failures().map(({ name, reason }) => ({ name: name ?? '', reason: reason ?? '' }));
    return { ...changes, failed };
  }

  #change(entry: Entry, settings: EndpointSettings): void {
    const { endpoint, settings: before } = entry;
    entry.settings = settings;
    if (endpoint === undefined) return;
    const isSameDoor =
      isDeepStrictEqual(before.place, settings.place) && before.unsafeListen === settings.unsafeListen;
    if (isSameDoor) {
      endpoint.retarget(settings);
      return;
    }
    entry.endpoint = undefined;
    this.#options.close(endpoint);
  }

  async #openMissing(): Promise<void> {
    for (const [name, entry] of this.#entries) {
      if (entry.endpoint !== undefined || this.#stopped) continue;
      try {
        const endpoint = await this.#options.open(name, entry.settings, (error) => this.#lost(entry, error));
        if (this.#stopped) {
          this.#options.close(endpoint);
          return;
        }
        entry.endpoint = endpoint;
        entry.reason = undefined;
      } catch (error) {
        const reason = messageOf(error);
        if (reason !== entry.reason)
          this.#options.log.error({ endpoint: name, reason }, 'an endpoint could not be opened');
        entry.reason = reason;
      }
    }
  }

  #lost(entry: Entry, error: Error): void {
    const { endpoint } = entry;
    entry.endpoint = undefined;
    entry.reason = messageOf(error);
    if (endpoint !== undefined) this.#options.close(endpoint);
  }
}
