// What the rows of the suite are made with: certificates, the origin, the middles that can be had here, the Nodes that
// run daemons. Remembers what has to be left out, and why.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from '#helpers/temp-dir.js';
import type { TestDaemon } from '#helpers/test-daemon.js';
import { messageOf } from '#src/errors.js';
import { descriptorLimit, SPARE_DESCRIPTORS } from './limits.ts';
import type { BenchNode } from './nodes.ts';
import type { Carries, Middle, OriginTarget } from './peers/middle.ts';
import { middleKinds } from './peers/middles.ts';
import { type Origin, startOrigin } from './peers/origin.ts';
import type { Plan } from './plan.ts';
import type { RunScope } from './run-scope.ts';
import { makeStage, type Stage } from './stage.ts';

/** Something that was not measured. */
export interface LeftOut {
  readonly what: string;
  readonly why: string;
}

/** Most connections of the origin: those of held sessions, and as many again. */
const ORIGIN_CONNECTIONS = 120_000;

/** The laboratory of one run. */
export class Lab {
  readonly scope: RunScope;
  readonly plan: Plan;
  readonly nodes: readonly BenchNode[];
  readonly stage: Stage;
  readonly leftOut: LeftOut[] = [];
  readonly #say: (text: string) => void;
  readonly #caPath: string;
  readonly #middles = new Map<string, Promise<Middle[]>>();
  readonly #daemons = new Map<BenchNode, Promise<TestDaemon>>();
  #origin: Promise<Origin> | undefined;

  private constructor(
    scope: RunScope,
    plan: Plan,
    nodes: readonly BenchNode[],
    stage: Stage,
    say: (text: string) => void,
  ) {
    this.scope = scope;
    this.plan = plan;
    this.nodes = nodes;
    this.stage = stage;
    this.#say = say;
    this.#caPath = join(tempDir(scope), 'ca.pem');
    writeFileSync(this.#caPath, stage.ca);
  }

  /** @param say is told what takes long */
  static async open(
    scope: RunScope,
    plan: Plan,
    nodes: readonly BenchNode[],
    say: (text: string) => void,
  ): Promise<Lab> {
    return new Lab(scope, plan, nodes, await makeStage(scope), say);
  }

  /** Tells what takes long. */
  say(text: string): void {
    if (!this.scope.isClosing) this.#say(text);
  }

  /** Remembers what cannot be measured; says it once. */
  leaveOut(what: string, why: unknown): void {
    const text = typeof why === 'string' ? why : messageOf(why);
    const reason = text.trim().split('\n').slice(0, 3).join(' ');
    if (this.leftOut.some((other) => other.what === what && other.why === reason)) return;
    this.leftOut.push({ what, why: reason });
    this.say(`left out: ${what}: ${reason}`);
  }

  /** The origin of the middles; rejects when there is no nginx. */
  origin(): Promise<Origin> {
    this.#origin ??= startOrigin(this.scope, {
      ...this.stage.leaf,
      downBytes: this.plan.bulkBytes,
      connections: Math.min(ORIGIN_CONNECTIONS, descriptorLimit() - SPARE_DESCRIPTORS),
    });
    return this.#origin;
  }

  /** The daemon of this process's own leases, started once for each Node. */
  daemonOf(node: BenchNode): Promise<TestDaemon> {
    const started = this.#daemons.get(node) ?? this.stage.daemon('daemon', node.path);
    this.#daemons.set(node, started);
    return started;
  }

  /** The target that is behind a port of the origin. */
  target(port: number): OriginTarget {
    return { port, servername: 'localhost', caPath: this.#caPath };
  }

  /** All middles that can be had, in front of a port of the origin; started once for all rows. */
  middles(carries: Carries, originPort: number): Promise<Middle[]> {
    const key = `${carries} ${originPort}`;
    const started = this.#middles.get(key) ?? this.#startMiddles(carries, originPort);
    this.#middles.set(key, started);
    return started;
  }

  async #startMiddles(carries: Carries, originPort: number): Promise<Middle[]> {
    const middles: Middle[] = [];
    for (const kind of middleKinds(carries, this.nodes)) {
      const { name, isPeer } = kind;
      try {
        middles.push({ name, isPeer, ...(await kind.start(this.scope, this.target(originPort))) });
      } catch (error) {
        this.leaveOut(name, error);
      }
    }
    return middles;
  }
}
