// What a run prints and writes: the table, the comparison of two runs, the chart, and JSON that is read again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareText } from '../../bench/report/compare.ts';
import { parseReport } from '../../bench/report/report.ts';
import { chartSvg, escapeXml } from '../../bench/report/svg.ts';
import { reportText } from '../../bench/report/table.ts';
import { reportOf } from './samples.ts';

const FIGURES = { 'HAProxy tcp': [20, 22, 21], 'tlshub raw': [30, 33, 42] };

test('the table has a line for each contender, with its range and its ratio', () => {
  const text = reportText(reportOf('cpu', FIGURES, { leftOut: [{ what: 'stunnel', why: 'not there' }] }));
  const lines = text.split('\n').map((line) => line.replaceAll(/ {2,}/g, '|'));
  assert.deepEqual(lines.slice(1, 3), [
    '< raw requests, small, CPU of one|HAProxy tcp|21.0 (20.0–22.0)|µs|1 (best)',
    '|tlshub raw|33.0 (30.0–42.0)|µs|1.50 (1.50–2.00)',
  ]);
  assert.equal(lines.at(-1), 'left out: stunnel: not there');
});

test('a comparison names the figures whose ranges do not overlap, and no others', () => {
  const after = reportOf('cpu', { 'HAProxy tcp': [22, 23, 24], 'tlshub raw': [20, 22, 29] });
  const lines = compareText(reportOf('cpu', FIGURES), after).split('\n');
  assert.equal(lines[0], '1 of 2 figures have changed: their ranges do not overlap.');
  assert.match(
    lines[3] ?? '',
    /: tlshub raw +33\.0 \(30\.0–42\.0\) +22\.0 \(20\.0–29\.0\) +µs +-33 % +better$/,
  );
  assert.equal(lines.length, 4);
});

test('a comparison knows which direction is better', () => {
  const change = (metric: 'cpu' | 'rate') =>
    compareText(reportOf(metric, { one: [10] }), reportOf(metric, { one: [20] }));
  assert.match(change('cpu'), /\+100 % +worse/);
  assert.match(change('rate'), /\+100 % +better/);
});

test('a comparison gives no share of a difference below zero', () => {
  const text = compareText(reportOf('cpu', { one: [-5] }), reportOf('cpu', { one: [20] }));
  assert.match(text, /-5\.0 \(-5\.0–-5\.0\) +20\.0 \(20\.0–20\.0\) +µs +- +worse$/);
});

test('a comparison says what else differs, and what only one run has', () => {
  const before = reportOf('cpu', { one: [1], two: [1] });
  const after = reportOf('cpu', { one: [1], three: [1] }, { versions: { tlshub: '1.0.0', HAProxy: '3.0' } });
  const text = compareText(before, { ...after, machine: { ...after.machine, processors: 8 } });
  assert.match(text, /^another machine: processors 2 → 8$/m);
  assert.match(text, /^another version: HAProxy 2\.6 → 3\.0$/m);
  assert.match(text, /^only in the first: .*: two$/m);
  assert.match(text, /^only in the second: .*: three$/m);
});

test('a report is the same after JSON', () => {
  const report = reportOf('cpu', FIGURES);
  assert.deepEqual(parseReport(JSON.stringify(report)), report);
});

test('what is no report is not compared', () => {
  assert.throws(() => parseReport('{}'), /not a report/);
  assert.throws(() => parseReport('[]'), /not a report/);
  const other = JSON.stringify({ ...reportOf('cpu', FIGURES), format: 99 });
  assert.throws(() => parseReport(other), /format 99/);
});

test('names in the chart are texts, never markup', () => {
  assert.equal(escapeXml(`<a b="c">&'`), '&lt;a b=&quot;c&quot;&gt;&amp;&apos;');
  const svg = chartSvg(reportOf('cpu', { '<b>&"': [1] }));
  assert.ok(svg.includes('>&lt;b&gt;&amp;&quot;</text>'));
  assert.ok(!svg.includes('<b>'));
});

test('the bars of the chart are as long as the figures', () => {
  const svg = chartSvg(reportOf('cpu', { 'HAProxy tcp': [20, 20, 20], 'tlshub raw': [40, 40, 40] }));
  const bars = [...svg.matchAll(/<rect class="(\w+)"[^>]* width="([\d.]+)"/g)].map(([, kind, width]) => [
    kind,
    Number(width),
  ]);
  assert.deepEqual(bars, [
    ['peer', 200],
    ['own', 400],
  ]);
  assert.match(svg, /prefers-color-scheme: dark/);
});
