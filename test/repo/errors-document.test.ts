// docs/errors.md against the code table: the same codes, the same meanings, and no code that nothing gives.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERROR_CODES } from '#src/errors.js';
import { sourceFiles, textOf } from './repository.ts';

const document = textOf('docs/errors.md');

/** The sections by code. */
const sections = new Map(
  document
    .split(/^### /m)
    .slice(1)
    .map((section): [string, string] => {
      const end = section.indexOf('\n');
      return [section.slice(0, end).replaceAll('`', ''), section.slice(end + 1)];
    }),
);

test('the document has every code and no other, in order', () => {
  assert.deepEqual([...sections.keys()], Object.keys(ERROR_CODES));
  assert.deepEqual(Object.keys(ERROR_CODES), Object.keys(ERROR_CODES).sort());
});

test('each code has the meaning of the code table, when it comes, and what to do', () => {
  for (const [code, meaning] of Object.entries(ERROR_CODES)) {
    const section = sections.get(code) ?? '';
    const [first = ''] = section.trim().split('\n\n');
    assert.equal(first.replaceAll('\n', ' '), meaning, code);
    assert.match(section, /^- \*\*When:\*\* \S.{15,}/m, code);
    assert.match(section, /^- \*\*What to do:\*\* \S.{5,}/m, code);
  }
});

test('every code is given somewhere', () => {
  const code = sourceFiles()
    .filter((path) => path !== 'src/errors.ts')
    .map((path) => textOf(path))
    .join('\n');
  for (const name of Object.keys(ERROR_CODES)) assert.match(code, new RegExp(`\\b${name}\\b`), name);
});

test('no text of the product names a code that there is not', () => {
  const texts = [
    ...sourceFiles(),
    'PROTOCOL.md',
    'ARCHITECTURE.md',
    'SECURITY.md',
    'docs/errors.md',
    'docs/operating.md',
  ];
  for (const path of texts) {
    for (const [name] of textOf(path).matchAll(/\bERR_TLSHUB_[A-Z_]*[A-Z]\b/g)) {
      assert.ok(name in ERROR_CODES, `${path} names ${name}`);
    }
  }
});
