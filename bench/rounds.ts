// Rounds of bench:accept and bench:serve: the same work for each server in turn, and the CPU time of its processes.
import { setTimeout as delay } from 'node:timers/promises';
import { CpuMeter } from './cpu.ts';
import type { MeasuredServer } from './servers.ts';
import { ratio, type Spread, spread, spreadText, tableText } from './statistics.ts';

/** A server and how it is loaded. */
export interface Contender {
  readonly server: MeasuredServer;
  /** Does so many operations. */
  work(operations: number): Promise<void>;
}

/** What was found of one server. */
interface ContenderReport {
  /** Operations per second of time. */
  perSecond: Spread;
  /** Microseconds of CPU for one operation, all processes of the server together. */
  cpuUs: Spread;
  /** The same over all rounds, by process. */
  cpuUsOf: Record<string, number>;
}

/** What was found. */
export interface RoundsReport {
  kinds: Record<string, ContenderReport>;
  /** Operations per second of CPU, of one kind over another. */
  ratios: Record<string, Spread>;
}

/** How much is done. */
export interface Rounds {
  readonly rounds: number;
  /** Of each server in each round. */
  readonly operations: number;
  /** Of each server before the first round. */
  readonly warmUp: number;
}

/** Milliseconds after the last answer in which a server tidies up what it has served; it is charged with that. */
const SETTLE_MS = 20;

/** Lets the servers take turns. */
export async function runRounds(contenders: readonly Contender[], plan: Rounds): Promise<RoundsReport> {
  const { rounds, operations, warmUp } = plan;
  const results = contenders.map((contender) => ({
    ...contender,
    meter: new CpuMeter(contender.server.pids),
    perSecond: [] as number[],
  }));
  for (const { work } of results) await work(warmUp);
  for (let round = 0; round < rounds; round += 1) {
    for (const { work, meter, perSecond } of results) {
      await meter.during(async () => {
        const start = performance.now();
        await work(operations);
        perSecond.push((operations * 1000) / (performance.now() - start));
        await delay(SETTLE_MS);
      });
    }
  }
  const kinds = results.map(({ server: { kind }, meter, perSecond }): [string, ContenderReport] => [
    kind,
    {
      perSecond: spread(perSecond),
      cpuUs: spread(meter.totalsUs().map((us) => us / operations)),
      cpuUsOf: meter.perOperation(rounds * operations),
    },
  ]);
  const ratios = results
    .filter(({ server }) => server.kind.startsWith('haproxy'))
    .flatMap((haproxy) =>
      results
        .filter(({ server }) => !server.kind.startsWith('haproxy'))
        .map((other): [string, Spread] => [
          `${other.server.kind} / ${haproxy.server.kind}`,
          ratio(haproxy.meter.totalsUs(), other.meter.totalsUs()),
        ]),
    );
  return { kinds: Object.fromEntries(kinds), ratios: Object.fromEntries(ratios) };
}

/**
 * The report as text.
 * @param what is counted: `connections`
 */
export function describeRounds({ kinds, ratios }: RoundsReport, what: string): string {
  const rows = Object.entries(kinds).map(([kind, { perSecond, cpuUs, cpuUsOf }]) => [
    kind,
    spreadText(perSecond, 0),
    spreadText(cpuUs, 0),
    Object.entries(cpuUsOf)
      .map(([name, us]) => `${name} ${us}`)
      .join(', '),
  ]);
  return [
    tableText([['median (min–max)', `${what} / s`, 'CPU µs of one', 'of these'], ...rows]),
    '',
    tableText([
      [`ratio of ${what} / CPU second`, 'median (min–max)'],
      ...Object.entries(ratios).map(([name, value]) => [name, spreadText(value, 2)]),
    ]),
  ].join('\n');
}
