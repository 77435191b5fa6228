// What a run leaves behind, as JSON has it: the figures and everything they depend on. Pure.
import type { LeftOut } from '../lab.ts';
import type { Machine } from '../machine.ts';
import type { Comparison } from '../row.ts';

/** Changes when a field changes its meaning; two reports are compared only when it is equal. */
export const REPORT_FORMAT = 1;

/** A run. */
export interface Report {
  readonly format: typeof REPORT_FORMAT;
  /** ISO 8601, when the run began. */
  readonly began: string;
  readonly seconds: number;
  readonly settings: { readonly quick: boolean; readonly rounds: number; readonly only: readonly string[] };
  readonly machine: Machine;
  /** By program. */
  readonly versions: Readonly<Record<string, string>>;
  readonly leftOut: readonly LeftOut[];
  readonly comparisons: readonly Comparison[];
}

/** Reads a report; throws when the text is none, or one of another format. */
export function parseReport(text: string): Report {
  const report: unknown = JSON.parse(text);
  if (typeof report !== 'object' || report === null || !('format' in report) || !('comparisons' in report)) {
    throw new Error('not a report of npm run bench -- --json');
  }
  if (report.format !== REPORT_FORMAT) {
    throw new Error(`a report of format ${report.format}, where ${REPORT_FORMAT} is expected`);
  }
  return report as Report;
}
