// The links of the daemon by process id, and the lanes that came before their link and wait for it.
import { TlshubError } from '../errors.ts';
import { TurnoverMap } from '../link/turnover.ts';
import type { LinkPeer } from './link-peer.ts';

/** Links that have said hello. */
export class Links {
  readonly #byProcess = new TurnoverMap<string, LinkPeer>();
  readonly #awaited = new TurnoverMap<string, Set<(link: LinkPeer | undefined) => void>>();

  /** Linked processes. */
  get size(): number {
    return this.#byProcess.size;
  }

  /** Linked processes that want something, and are not the first shard. */
  get userCount(): number {
    let count = 0;
    for (const { supervises } of this.#byProcess.values()) if (!supervises) count += 1;
    return count;
  }

  /** True while the first shard looks after this one. */
  get isSupervised(): boolean {
    return this.userCount < this.size;
  }

  /** All links. */
  all(): LinkPeer[] {
    return [...this.#byProcess.values()];
  }

  /** The link of a process. */
  get(processId: string): LinkPeer | undefined {
    return this.#byProcess.get(processId);
  }

  /** Takes a link in. Throws ERR_TLSHUB_PROTOCOL when its process id is taken. */
  add(link: LinkPeer): void {
    if (this.#byProcess.has(link.processId)) {
      throw new TlshubError('ERR_TLSHUB_PROTOCOL', 'another link has this process id');
    }
    this.#byProcess.set(link.processId, link);
    for (const resolve of [...(this.#awaited.get(link.processId) ?? [])]) resolve(link);
  }

  /** Forgets a link that closed. */
  remove(link: LinkPeer): void {
    if (this.#byProcess.get(link.processId) === link) this.#byProcess.delete(link.processId);
  }

  /** The link of a process, now or as soon as it says hello; `undefined` when it does not within the time. */
  await(processId: string, timeoutMs: number): Promise<LinkPeer | undefined> {
    const link = this.#byProcess.get(processId);
    if (link !== undefined) return Promise.resolve(link);
    return new Promise((resolve) => {
      const waiting = this.#awaited.get(processId) ?? new Set();
      this.#awaited.set(processId, waiting);
      const done = (found: LinkPeer | undefined) => {
        clearTimeout(timer);
        waiting.delete(done);
        if (waiting.size === 0) this.#awaited.delete(processId);
        resolve(found);
      };
      const timer = setTimeout(() => done(undefined), timeoutMs);
      waiting.add(done);
    });
  }
}
