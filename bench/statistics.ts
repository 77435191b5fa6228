// What the benchmarks make of their samples: medians of rounds with the range that they moved in.
import { percentile } from '#src/cli/demo/percentile.js';

/** One figure over several rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The middle value; of an even number of values the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}

/** The median of one round's samples. */
export function p50(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

/** What 99 of 100 samples of one round stay below. */
export function p99(samples: readonly number[]): number {
  return percentile(samples, 0.99);
}

/** What the rounds' figures were. */
export function spread(rounds: readonly number[]): Spread {
  return { median: median(rounds), min: Math.min(...rounds), max: Math.max(...rounds) };
}

/** The ratio of two figures, round by round, so that a slow moment of the machine meets both. */
export function ratio(over: readonly number[], under: readonly number[]): Spread {
  return spread(over.map((value, round) => value / (under[round] ?? Number.NaN)));
}

/** `0.163 (0.150–0.190)`. */
export function spreadText({ median, min, max }: Spread, digits = 3): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

/** Rows as aligned columns. */
export function tableText(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
