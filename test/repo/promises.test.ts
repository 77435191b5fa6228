// The promises of ARCHITECTURE.md and the tests that show them: none without a test, none that does not exist.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allTestTitles, textOf } from './repository.ts';

const PROMISES = 18;

/** What may stand before the colon: `P7`, `P6/P12`, `P6, P15`, `P1, issue 3`. */
const CITATION = /^(?:P\d+|issue \d+)(?:(?:, |\/)(?:P\d+|issue \d+))*$/;

/** The numbers that a title cites, at its start or behind a semicolon. */
function cited(title: string): number[] {
  const prefixes = title.split('; ').map((part) => part.split(': ', 1)[0] ?? '');
  const citations = prefixes.filter((prefix) => CITATION.test(prefix)).join();
  return [...citations.matchAll(/P(\d+)/g)].map(([, number]) => Number(number));
}

test('every promise is cited by the title of a test', () => {
  const citations = new Set([...allTestTitles().values()].flat().flatMap(cited));
  const missing = Array.from({ length: PROMISES }, (_, index) => index + 1).filter(
    (number) => !citations.has(number),
  );
  assert.deepEqual(missing, []);
});

test('titles cite only promises that there are', () => {
  for (const [path, titles] of allTestTitles()) {
    for (const title of titles) {
      for (const number of cited(title)) assert.ok(number >= 1 && number <= PROMISES, `${path}: ${title}`);
    }
  }
});

test('ARCHITECTURE.md states the promises by their numbers', () => {
  const section = textOf('ARCHITECTURE.md').split('\n## Promises\n')[1]?.split('\n## ')[0] ?? '';
  const numbers = [...section.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
  assert.deepEqual(
    numbers,
    Array.from({ length: PROMISES }, (_, index) => index + 1),
  );
});

test('no test is left out', () => {
  for (const path of allTestTitles().keys()) {
    const text = textOf(path);
    assert.doesNotMatch(text, /\b(test|it|describe)\.(only|todo|skip)\(/, path);
    assert.doesNotMatch(text, /\{[^}]*\b(only|todo): true/, path);
  }
});
