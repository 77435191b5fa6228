// The repository as the repo tests read it: paths, texts, imports, exports and titles of tests.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '#helpers/run-node.js';

/** Text of a file. */
export function textOf(path: string): string {
  return readFileSync(join(PACKAGE_ROOT, path), 'utf8');
}

/** True when there is a file of that path. */
export function isFile(path: string): boolean {
  return statSync(join(PACKAGE_ROOT, path), { throwIfNoEntry: false })?.isFile() === true;
}

/** Paths of the files below a folder whose name ends so, in order. */
export function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(join(PACKAGE_ROOT, folder), { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((path) => path.endsWith(ending) && isFile(path))
    .sort();
}

/** All source files. */
export function sourceFiles(): string[] {
  return filesBelow('src', '.ts');
}

/** What a source file imports, as it is written: at its top, later, for types only, or through `require`. */
export function importsOf(text: string): string[] {
  const code = text.replaceAll(/^\s*(\/\/|\*|\/\*).*$/gm, '');
  const found = code.matchAll(/(?:\bfrom|\bimport|\bimport\(|require\([^()]*\)\()\s*'([^']+)'/g);
  return [...found].map(([, name = '']) => name);
}

/** The titles of tests in a file, as written; a title that is put together keeps its `${…}`. */
export function testTitlesOf(text: string): string[] {
  const found = text.matchAll(
    /\b(?:test|it|describe|suite)\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g,
  );
  return [...found].map(([, single, double, back]) =>
    (single ?? double ?? back ?? '').replaceAll(/\\(.)/g, '$1'),
  );
}

/** All test files with their titles. */
export function allTestTitles(): Map<string, string[]> {
  return new Map(filesBelow('test', '.test.ts').map((path) => [path, testTitlesOf(textOf(path))]));
}

/** The rows of the table that follows a heading of a Markdown file, cell by cell, without code marks. */
export function tableAfter(markdown: string, heading: string): string[][] {
  const start = markdown.indexOf(`\n${heading}\n`);
  if (start === -1) throw new Error(`there is no heading "${heading}"`);
  const lines = markdown.slice(start + heading.length + 2).split('\n');
  const first = lines.findIndex((line) => line.startsWith('|'));
  const nextHeading = lines.findIndex((line) => line.startsWith('#'));
  if (first === -1 || (nextHeading !== -1 && nextHeading < first)) return [];
  const rows: string[][] = [];
  for (const line of lines.slice(first + 2)) {
    if (!line.startsWith('|')) break;
    rows.push(cellsOf(line));
  }
  return rows;
}

function cellsOf(line: string): string[] {
  // A pipe within a cell is written with a backslash.
  const cells = line.split(/(?<!\\)\|/).slice(1, -1);
  return cells.map((cell) => cell.trim().replaceAll('\\|', '|').replaceAll('`', ''));
}
