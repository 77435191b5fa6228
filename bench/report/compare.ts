// Two runs beside each other: which figures have changed by more than their ranges. Pure.
import type { Figure } from '../row.ts';
import { spreadText, tableText } from '../statistics.ts';
import type { Report } from './report.ts';

/** A figure that both runs have. */
interface Pair {
  readonly what: string;
  readonly better: 'less' | 'more';
  readonly unit: string;
  readonly digits: number;
  readonly before: Figure;
  readonly after: Figure;
}

/** The comparison as text. */
export function compareText(before: Report, after: Report): string {
  const pairs = pairsOf(before, after);
  const changed = pairs.filter(({ before: one, after: other }) => one.max < other.min || other.max < one.min);
  const missing = namesOf(before).filter((name) => !namesOf(after).includes(name));
  const added = namesOf(after).filter((name) => !namesOf(before).includes(name));
  return [
    ...differences(before, after),
    `${changed.length} of ${pairs.length} figures have changed: their ranges do not overlap.`,
    ...(changed.length === 0 ? [] : ['', tableText([HEAD, ...changed.map(lineOf)])]),
    ...(missing.length === 0 ? [] : ['', `only in the first: ${missing.join('; ')}`]),
    ...(added.length === 0 ? [] : ['', `only in the second: ${added.join('; ')}`]),
  ].join('\n');
}

const HEAD = ['what', 'before', 'after', 'unit', 'change', ''];

function lineOf({ what, better, unit, digits, before, after }: Pair): string[] {
  const change = after.median / before.median - 1;
  const verdict = change < 0 === (better === 'less') ? 'better' : 'worse';
  const percent = `${change > 0 ? '+' : ''}${(change * 100).toFixed(0)} %`;
  // Added latency may be below zero, where a share says nothing.
  const isShare = before.median > 0 && after.median > 0;
  const byDifference = after.median < before.median === (better === 'less') ? 'better' : 'worse';
  return [
    what,
    spreadText(before, digits),
    spreadText(after, digits),
    unit,
    isShare ? percent : '-',
    isShare ? verdict : byDifference,
  ];
}

function pairsOf(before: Report, after: Report): Pair[] {
  return before.comparisons.flatMap(({ key, title, better, unit, digits, figures }) => {
    const others = after.comparisons.find((comparison) => comparison.key === key)?.figures ?? [];
    return figures.flatMap((figure) => {
      const other = others.find(({ contender }) => contender === figure.contender);
      if (other === undefined) return [];
      return [{ what: `${title}: ${figure.contender}`, better, unit, digits, before: figure, after: other }];
    });
  });
}

function namesOf({ comparisons }: Report): string[] {
  return comparisons.flatMap(({ title, figures }) =>
    figures.map(({ contender }) => `${title}: ${contender}`),
  );
}

/** Reasons for which the runs may differ besides the code. */
function differences(before: Report, after: Report): string[] {
  const lines: string[] = [];
  for (const name of ['processor', 'processors', 'memoryMiB', 'system', 'kernel'] as const) {
    const [one, other] = [before.machine[name], after.machine[name]];
    if (one !== other) lines.push(`another machine: ${name} ${one} → ${other}`);
  }
  for (const name of new Set([...Object.keys(before.versions), ...Object.keys(after.versions)])) {
    const [one = 'none', other = 'none'] = [before.versions[name], after.versions[name]];
    if (one !== other) lines.push(`another version: ${name} ${one} → ${other}`);
  }
  if (before.settings.quick !== after.settings.quick) lines.push('one of the runs was a quick one');
  return lines.length === 0 ? [] : [...lines, ''];
}
