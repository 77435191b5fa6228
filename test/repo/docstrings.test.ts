// Every export of src says its contract in a comment above it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sourceFiles, textOf } from './repository.ts';

const DECLARATION =
  /^export (?:default )?(?:declare )?(?:async )?(?:abstract )?(?:function\*?|class|const|let|interface|type|enum|namespace) (\w+)/;

/** Exported names of a file that have no doc comment right above them; overloads need one in all. */
function undocumented(text: string): string[] {
  const lines = text.split('\n');
  const documented = new Set<string>();
  const missing = new Set<string>();
  for (const [index, line] of lines.entries()) {
    const name = DECLARATION.exec(line)?.[1];
    if (name === undefined) continue;
    if (lines[index - 1]?.trimEnd().endsWith('*/') === true) documented.add(name);
    else missing.add(name);
  }
  return [...missing].filter((name) => !documented.has(name));
}

test('every export has a doc comment', () => {
  const missing = sourceFiles().flatMap((path) =>
    undocumented(textOf(path)).map((name) => `${path}: ${name}`),
  );
  assert.deepEqual(missing, []);
});

test('a missing comment would be found', () => {
  assert.deepEqual(undocumented('/** Good. */\nexport const a = 1;\nexport function b() {}\n'), ['b']);
  assert.deepEqual(undocumented('/** Good. */\nexport function a(): 1;\nexport function a() {}\n'), []);
  assert.deepEqual(undocumented('\nexport async function c() {}\n\nexport interface D {}\n'), ['c', 'D']);
});

test('doc comments are sentences', () => {
  for (const path of sourceFiles()) {
    for (const [comment] of textOf(path).matchAll(/^\/\*\*[\s\S]*?\*\/\nexport /gm)) {
      assert.match(comment, /[.:)`]\s*(\*\/|\n \* @|\n \*\n|\n \*\/)/, `${path}: ${comment.slice(0, 80)}`);
    }
  }
});
