// Order statistics for `tlshub demo` and the benchmarks. Pure.

/**
 * The value below or at which the given share of all values lies (nearest rank); `NaN` for no values.
 * @param values in any order
 * @param share from 0 to 1: 0.5 is the median's rank
 */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}
