// A chart for the README: bars of a few figures, in plain SVG that follows the reader's light or dark mode. Pure.
import type { Comparison, Figure } from '../row.ts';
import type { Report } from './report.ts';

/** What the chart shows, where the run has it; the last pattern is the memory of the most sessions. */
const CHARTED: readonly RegExp[] = [
  /^lease-rtt-0\/open$/,
  /^lease-rtt-80\/first-byte$/,
  /^requests-raw-small\/cpu$/,
  /^requests-http-small\/cpu$/,
  /^bulk-down\/cpu$/,
  /^bulk-up\/cpu$/,
  /^memory\/idle-(?!10$)\d+$/,
];

const WIDTH = 760;
const LABEL_WIDTH = 220;
const BAR_WIDTH = 400;
const TITLE_HEIGHT = 30;
const LINE_HEIGHT = 20;
const BAR_HEIGHT = 13;
const MARGIN = 12;

const STYLE = `
    text { font: 12px system-ui, sans-serif; fill: #1f2328; }
    .title { font-weight: 600; }
    .peer { fill: #a0a8b2; }
    .own { fill: #1a7f64; }
    .range { stroke: #1f2328; stroke-width: 1; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .peer { fill: #6e7681; }
      .own { fill: #3fb68b; }
      .range { stroke: #e6edf3; }
    }
  `;

/** The chart of a report, as the text of an SVG file. */
export function chartSvg({ comparisons, versions }: Report): string {
  const charted = CHARTED.flatMap((pattern) => comparisons.filter(({ key }) => pattern.test(key)).slice(-1));
  const parts: string[] = [];
  let top = MARGIN;
  for (const comparison of charted) {
    parts.push(...panel(comparison, top));
    top += TITLE_HEIGHT + comparison.figures.length * LINE_HEIGHT + MARGIN;
  }
  const used = Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
  const description = `Medians of all rounds; thin lines are the ranges. ${used}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" height="${top}" role="img">`,
    '  <title>tlshub beside its peers</title>',
    `  <desc>${escapeXml(description)}</desc>`,
    `  <style>${STYLE}</style>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

function panel({ title, unit, better, digits, figures }: Comparison, top: number): string[] {
  const most = Math.max(...figures.map(({ max }) => max));
  const heading = `${title}, ${unit} (${better} is better)`;
  return [
    `  <text class="title" x="${MARGIN}" y="${top + 16}">${escapeXml(heading)}</text>`,
    ...figures.flatMap((figure, index) => {
      return bar(figure, { top: top + TITLE_HEIGHT + index * LINE_HEIGHT, most, digits });
    }),
  ];
}

function bar(figure: Figure, place: { top: number; most: number; digits: number }): string[] {
  const { top, most, digits } = place;
  const left = MARGIN + LABEL_WIDTH;
  const middle = top + BAR_HEIGHT / 2;
  const baseline = top + 11;
  // A figure below zero, as of an added latency, has no bar.
  const lengthOf = (value: number) => Math.round((Math.max(0, value) / most) * BAR_WIDTH * 10) / 10;
  const name = escapeXml(figure.contender);
  const value = figure.median.toFixed(digits);
  return [
    `  <text x="${left - 8}" y="${baseline}" text-anchor="end">${name}</text>`,
    `  <rect class="${figure.isPeer ? 'peer' : 'own'}" x="${left}" y="${top}" width="${lengthOf(figure.median)}" height="${BAR_HEIGHT}" rx="2"/>`,
    `  <line class="range" x1="${left + lengthOf(figure.min)}" x2="${left + lengthOf(figure.max)}" y1="${middle}" y2="${middle}"/>`,
    `  <text x="${left + lengthOf(figure.max) + 8}" y="${baseline}">${value}</text>`,
  ];
}

/** A text as XML has it between tags and in attributes. */
export function escapeXml(text: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&apos;',
  };
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);
}
