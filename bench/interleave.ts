// The rounds of the suite: every round takes one figure of every contender of every row, so that a slow moment of the
// machine meets all of them. A contender that fails is left out, and the run goes on.
import type { Lab } from './lab.ts';
import { type Comparison, type Contender, compare, type Row } from './row.ts';

/** What was found. */
export interface Rounds {
  readonly comparisons: Comparison[];
  /** Contenders that failed after they had started: the run has not done what it should. */
  readonly failed: number;
}

/** Measures all rows. */
export async function runRounds(lab: Lab, rows: readonly Row[]): Promise<Rounds> {
  const results = new Map<Contender, Map<string, number[]>>();
  const failed = new Set<Contender>();
  const attempt = async (row: Row, contender: Contender, work: () => Promise<unknown>) => {
    if (failed.has(contender)) return;
    try {
      await work();
    } catch (error) {
      failed.add(contender);
      results.delete(contender);
      lab.leaveOut(`${row.key}: ${contender.name}`, error);
    }
  };
  for (const row of rows) {
    lab.say(`warming up: ${row.key}`);
    for (const contender of row.contenders) {
      await attempt(row, contender, () => contender.warmUp?.() ?? contender.measure());
    }
  }
  const most = Math.max(...rows.map((row) => roundsOf(lab, row)));
  for (let round = 0; round < most; round += 1) {
    for (const row of rows) {
      if (round >= roundsOf(lab, row)) continue;
      lab.say(`round ${round + 1} of ${roundsOf(lab, row)}: ${row.key}`);
      for (const contender of row.contenders) {
        await attempt(row, contender, async () => record(results, row, contender, await contender.measure()));
      }
    }
  }
  const comparisons = rows.flatMap((row) => row.metrics.map((metric) => compare(row, metric, results)));
  return { comparisons: comparisons.filter(({ figures }) => figures.length > 0), failed: failed.size };
}

function roundsOf(lab: Lab, row: Row): number {
  return Math.min(lab.plan.rounds, row.rounds ?? Number.POSITIVE_INFINITY);
}

function record(
  results: Map<Contender, Map<string, number[]>>,
  row: Row,
  contender: Contender,
  values: Readonly<Record<string, number>>,
): void {
  const samples = results.get(contender) ?? new Map<string, number[]>();
  results.set(contender, samples);
  for (const { key } of row.metrics) {
    const value = values[key];
    if (value === undefined || !Number.isFinite(value)) throw new Error(`no figure for ${key}`);
    samples.set(key, [...(samples.get(key) ?? []), value]);
  }
}
