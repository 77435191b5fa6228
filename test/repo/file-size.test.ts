// Files that are read in one sitting: 15 to 400 lines, one thing each, and the first lines say which.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sourceFiles, textOf } from './repository.ts';

const LEAST_LINES = 15;
const MOST_LINES = 400;

/** Files that are shorter, with the reason why they stand alone. */
const SHORT: Readonly<Record<string, string>> = {
  'src/cli/demo/percentile.ts': 'one function that three files of the demo use',
  'src/register.ts': 'the entry point of a subpath',
  'src/ssl.ts': 'the entry point of a subpath',
  'src/version.ts': 'the one constant that everything may import',
  'src/wrapper/node-connect.ts': 'must be loaded before anything replaces tls.connect',
};

/** Files that open with more than six lines, with the reason. */
const LONG_OPENINGS: Readonly<Record<string, string>> = {
  'src/cli/output.ts': 'the rules of output, which all verbs keep',
};

const linesOf = (path: string) => textOf(path).trimEnd().split('\n');

test('no source file is too long', () => {
  const long = sourceFiles().filter((path) => linesOf(path).length > MOST_LINES);
  assert.deepEqual(
    long.map((path) => `${path}: ${linesOf(path).length} lines`),
    [],
  );
});

test('no source file is too short, but those that have a reason', () => {
  const short = sourceFiles().filter((path) => linesOf(path).length < LEAST_LINES);
  assert.deepEqual(short, Object.keys(SHORT).sort());
});

test('every source file opens with one to six lines that say what it is', () => {
  for (const path of sourceFiles()) {
    const lines = linesOf(path);
    const start = lines[0]?.startsWith('#!') === true ? 1 : 0;
    const end = lines.findIndex((line, index) => index >= start && !line.startsWith('//'));
    const most = LONG_OPENINGS[path] === undefined ? 6 : 12;
    assert.ok(end > start && end - start <= most, `${path} opens with ${end - start} lines of comment`);
    assert.ok((lines[start]?.length ?? 0) > 20, path);
  }
});

test('no source file has notes to its author, or knows where it was made', () => {
  for (const path of sourceFiles()) {
    assert.doesNotMatch(textOf(path), /\b(TODO|FIXME|XXX|HACK)\b/, path);
    assert.doesNotMatch(textOf(path), /\/(work|root|home)\//, path);
  }
});
