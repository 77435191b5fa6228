// docs/claims.md names files and tests; they are there, under these names.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFile, testTitlesOf, textOf } from './repository.ts';

const document = textOf('docs/claims.md');

/** Each “title” of the document with the test file that was named before it. */
function namedTests(): { path: string; title: string }[] {
  const found: { path: string; title: string }[] = [];
  let path = '';
  for (const [, file, title] of document.matchAll(/`(test\/[^`]+\.test\.ts)`|“([^”]+)”/g)) {
    if (file !== undefined) path = file;
    else if (title !== undefined) found.push({ path, title });
  }
  return found;
}

test('every file that is named is there', () => {
  const files = [...document.matchAll(/`((?:src|test|docs|bench)\/[^`*]+)`/g)].map(([, path = '']) => path);
  assert.ok(files.length > 20, `only ${files.length} files are named`);
  assert.deepEqual(
    files.filter((path) => !isFile(path)),
    [],
  );
});

test('every test that is named is there', () => {
  const tests = namedTests();
  assert.ok(tests.length > 15, `only ${tests.length} tests are named`);
  const missing = tests.filter(({ path, title }) => !testTitlesOf(textOf(path)).includes(title));
  assert.deepEqual(missing, []);
});

test('every claim has files and tests', () => {
  const claims = document.split(/^### /m).slice(1);
  assert.ok(claims.length >= 8, `${claims.length} claims`);
  for (const claim of claims) {
    const [heading = ''] = claim.split('\n');
    assert.match(claim, /^\*\*In plain words\.\*\* /m, heading);
    assert.match(claim, /`src\/[^`]+`/, heading);
    assert.match(claim, /`test\/[^`]+\.test\.ts`/, heading);
  }
});
