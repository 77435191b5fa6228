// Reports for the tests of what is made of them: made by the code that a run makes them with.

import { REPORT_FORMAT, type Report } from '../../bench/report/report.ts';
import { type Contender, compare, type Metric } from '../../bench/row.ts';

const METRICS = {
  cpu: { key: 'cpu', title: 'raw requests, small, CPU of one', unit: 'µs', better: 'less', digits: 1 },
  rate: { key: 'rate', title: 'raw requests, small', unit: '1/s', better: 'more', digits: 0 },
} as const satisfies Record<string, Metric>;

/** Rounds by contender; tlshub's names begin so, all others are peers. */
export type Figures = Readonly<Record<string, readonly number[]>>;

/** The comparison of one metric. */
export function comparisonOf(metric: keyof typeof METRICS, figures: Figures) {
  const contenders = Object.keys(figures).map(
    (name): Contender => ({ name, isPeer: !name.startsWith('tlshub'), measure: async () => ({}) }),
  );
  const samples = new Map(
    contenders.map((contender) => [contender, new Map([[metric as string, figures[contender.name] ?? []]])]),
  );
  return compare({ key: 'requests-raw-small', contenders }, METRICS[metric], samples);
}

/** A report with one comparison. */
export function reportOf(
  metric: keyof typeof METRICS,
  figures: Figures,
  changes: Partial<Report> = {},
): Report {
  return {
    format: REPORT_FORMAT,
    began: '2026-01-01T00:00:00.000Z',
    seconds: 61,
    settings: { quick: false, rounds: 3, only: ['requests'] },
    machine: {
      processor: 'a processor',
      processors: 2,
      memoryMiB: 1024,
      system: 'a system',
      kernel: '6.1',
      descriptors: 20_000,
      loadBefore: 0.1,
    },
    versions: { tlshub: '1.0.0', HAProxy: '2.6' },
    leftOut: [],
    comparisons: [comparisonOf(metric, figures)],
    ...changes,
  };
}
