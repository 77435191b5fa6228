// The table that a run prints: one line for each contender of each row, and below it what has to be known to read it.
// Pure.
import type { Comparison, Figure } from '../row.ts';
import { spreadText, tableText } from '../statistics.ts';
import type { Report } from './report.ts';

/** The whole report as text. */
export function reportText(report: Report): string {
  const { machine, versions, settings, leftOut, seconds } = report;
  return [
    tableText([
      ['what (< less, > more is better)', 'who', 'median (min–max)', 'unit', '/ best peer'],
      ...report.comparisons.flatMap(linesOf),
    ]),
    '',
    `${settings.rounds} round${settings.rounds === 1 ? '' : 's'} in ${Math.round(seconds)} s${settings.quick ? ', quick: ranges are wide' : ''}`,
    `${machine.processor}, ${machine.processors} processors, ${machine.memoryMiB} MiB, ${machine.system}, ` +
      `Linux ${machine.kernel}, load before ${machine.loadBefore}`,
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join('; '),
    ...leftOut.map(({ what, why }) => `left out: ${what}: ${why}`),
  ].join('\n');
}

function linesOf({ title, better, unit, digits, figures }: Comparison): string[][] {
  const head = `${better === 'less' ? '<' : '>'} ${title}`;
  return figures.map((figure, index) => [
    index === 0 ? head : '',
    figure.contender,
    spreadText(figure, digits),
    unit,
    ratioText(figure, figures),
  ]);
}

/** The one that the others are compared with has no ratio, but they name it. */
function ratioText(figure: Figure, all: readonly Figure[]): string {
  if (figure.toBestPeer !== undefined) return spreadText(figure.toBestPeer, 2);
  return all.some(({ toBestPeer }) => toBestPeer?.peer === figure.contender) ? '1 (best)' : '-';
}
