// The first daemon process of a directory looks after the others: it takes over those that are there, starts those that
// are not, starts one again that has died, and ends them when it ends. ALWAYS: it knows of each by an open link, which
// ends with that process. NEVER: one of another number of shards, or of another version, stays.
import type { ChildProcess } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { messageOf } from '../../errors.ts';
import { writeShardCount } from '../../link/shard-count.ts';
import { MAX_SHARDS } from '../../protocol/shard.ts';
import { VERSION } from '../../version.ts';
import type { Logger } from '../log.ts';
import type { StatusReport } from '../status.ts';
import { ShardLink } from './shard-link.ts';
import { startShard } from './shard-process.ts';

/** Milliseconds before a shard is started again, by how often that has failed; one that has run is started at once. */
const RESTART_PAUSES_MS = [0, 100, 250, 500, 1_000, 2_500, 5_000] as const;
/** Milliseconds that a shard must have run for its end to count as the first one. */
const STEADY_MS = 10_000;
/** Milliseconds that another daemon's shard may take to make room. */
const ROOM_MS = 5_000;
const ROOM_PAUSE_MS = 20;
/** Milliseconds beyond its deadline in which a shard that drains must be gone. */
const END_GRACE_MS = 3_000;

interface SupervisorOptions {
  directory: string;
  /** Shards in all, this one included. */
  count: number;
  /** The program and its arguments that make a daemon of this directory, with this one's flags. */
  command: readonly string[];
  log: Logger;
}

/** One of the others. */
interface Slot {
  readonly shard: number;
  link: ShardLink | undefined;
  child: ChildProcess | undefined;
  sinceMs: number;
  failures: number;
  /** Its process is being started. */
  starting: boolean;
}

/** Looks after the other shards; the first one has it. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #slots: Slot[];
  #ending = false;
  #slotOnGone: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.count - 1 }, (_, index) => ({
      shard: index + 1,
      link: undefined,
      child: undefined,
      sinceMs: 0,
      failures: 0,
      starting: false,
    }));
  }

  /** Has all shards running, and none too many, and says how many there are. Rejects as {@link startShard}. */
  async start(): Promise<void> {
    const { directory, count } = this.#options;
    await Promise.all(this.#surplus().map((shard) => this.#drainOther(shard)));
    writeShardCount(directory, count);
    const fills = await Promise.allSettled(this.#slots.map((slot) => this.#fill(slot)));
    const failed = fills.find((fill) => fill.status === 'rejected');
    if (failed === undefined) return;
    this.kill();
    throw failed.reason;
  }

  /** True when none of the shards has been needed for that long. */
  async areIdle(idleMs: number): Promise<boolean> {
    try {
      const replies = await Promise.all(this.#slots.map(({ link }) => link?.call('status', {})));
      // One that is being started again is not idle.
      return replies.every((reply) => reply !== undefined && (reply.status as StatusReport).idleMs >= idleMs);
    } catch {
      return false;
    }
  }

  /** The shards read the configuration file again; each logs what came of it. */
  reload(): void {
    for (const { link } of this.#slots) link?.call('reload', {}).catch(() => {});
  }

  /** Ends the shards as this one ends; resolves when they are gone, those that hang are killed. */
  async drain(deadlineMs: number): Promise<void> {
    this.#ending = true;
    for (const { link } of this.#slots) link?.call('drain', { deadline: deadlineMs }).catch(() => {});
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadlineMs + END_GRACE_MS);
      this.#slotOnGone = () => {
        if (this.#slots.some(({ link, starting }) => starting || link !== undefined)) return;
        clearTimeout(timer);
        resolve();
      };
      this.#slotOnGone();
    });
    this.kill();
  }

  /** Ends the shards that this process has started at once; the others, as soon as they notice that it is gone. */
  kill(): void {
    this.#ending = true;
    for (const { child } of this.#slots) child?.kill('SIGKILL');
  }

  /** Takes the shard over that is there, or starts one. */
  async #fill(slot: Slot): Promise<void> {
    const { directory, command, log } = this.#options;
    if (await this.#takeOver(slot)) {
      log.info({ shard: slot.shard, process: slot.link?.pid }, 'a running shard is taken over');
      return;
    }
    await this.#drainOther(slot.shard);
    if (this.#ending) return;
    slot.child = await startShard(command, slot.shard);
    if (!(await this.#takeOver(slot))) throw new Error(`shard ${slot.shard} of ${directory} does not answer`);
  }

  /** False when no shard answers, or one that must not stay. */
  async #takeOver(slot: Slot): Promise<boolean> {
    const { directory, count } = this.#options;
    let link: ShardLink | undefined;
    // Set when the link is the slot's; until then its end is the end of this attempt.
    let taken = false;
    const gone = () => {
      if (taken) this.#slotOnLost(slot);
      taken = false;
    };
    try {
      link = await ShardLink.open(directory, slot.shard, {
        // It has freed its place: another one is started while it ends.
        shardOnDrain: () => {
          if (!this.#ending) gone();
        },
        shardOnLost: gone,
      });
      await link.call('supervise', { shards: count, version: VERSION });
    } catch {
      link?.close();
      return false;
    }
    taken = true;
    slot.link = link;
    slot.sinceMs = performance.now();
    return true;
  }

  #slotOnLost(slot: Slot): void {
    slot.link = undefined;
    slot.child = undefined;
    this.#slotOnGone?.();
    if (this.#ending) return;
    if (performance.now() - slot.sinceMs > STEADY_MS) slot.failures = 0;
    this.#options.log.warn(
      { shard: slot.shard },
      'a shard has ended, and with it its sessions; it is started again',
    );
    void this.#restart(slot);
  }

  async #restart(slot: Slot): Promise<void> {
    while (!this.#ending && slot.link === undefined) {
      const pauseMs = RESTART_PAUSES_MS[Math.min(slot.failures, RESTART_PAUSES_MS.length - 1)];
      slot.failures += 1;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      try {
        slot.starting = !this.#ending;
        if (slot.starting) await this.#fill(slot);
      } catch (error) {
        this.#options.log.error({ shard: slot.shard, reason: messageOf(error) }, 'a shard cannot be started');
      }
      slot.starting = false;
    }
    if (!this.#ending) return;
    // It was started while this daemon began to end.
    slot.link?.call('drain', { deadline: 0 }).catch(() => {});
    this.#slotOnGone?.();
  }

  /** Shards of a daemon that had more of them. */
  #surplus(): number[] {
    const { directory, count } = this.#options;
    return readdirSync(directory)
      .map((name) => Number(/^tlshub\.s([1-9]\d?)$/.exec(name)?.[1] ?? 0))
      .filter((shard) => shard >= count && shard < MAX_SHARDS);
  }

  /** Has a shard that must not stay make room, and waits a time for it; its sessions end by themselves. */
  async #drainOther(shard: number): Promise<void> {
    const deadlineMs = performance.now() + ROOM_MS;
    const { directory, log } = this.#options;
    while (performance.now() < deadlineMs) {
      let link: ShardLink;
      try {
        link = await ShardLink.open(directory, shard, { shardOnLost: () => {} });
      } catch {
        return;
      }
      log.info({ shard, process: link.pid }, 'a shard of another daemon is ended');
      await link.call('drain', {}).catch(() => {});
      link.close();
      await new Promise((resolve) => setTimeout(resolve, ROOM_PAUSE_MS));
    }
  }
}
