// docs/configuration.md against the code: every key of a context, the values of those that have a list of them, and that
// its example is a configuration.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONFIG_NAME } from '#src/daemon/config.js';
import { parseConfigFile } from '#src/daemon/contexts/config-file.js';
import { CONTEXT_KEYS, CONTEXT_SIDES, VERSIONS } from '#src/daemon/contexts/context-file.js';
import { ENDPOINT_KEYS } from '#src/daemon/endpoint/endpoint-file.js';
import { tableAfter, textOf } from './repository.ts';

const page = textOf('docs/configuration.md');
const rows = new Map(tableAfter(page, '## The file').map(([key = '', ...cells]) => [key, cells]));

test('the table has every key of a context, in order, and no other', () => {
  assert.deepEqual([...rows.keys()], Object.keys(CONTEXT_KEYS));
});

test('so has that of endpoints', () => {
  const keys = tableAfter(page, '## Endpoints').map(([key]) => key);
  assert.deepEqual(keys, Object.keys(ENDPOINT_KEYS));
});

test('the example of endpoints is a configuration', () => {
  const [, example = ''] = /^```toml\n([\s\S]*?)^```$/m.exec(textOf('docs/endpoints.md')) ?? [];
  const { contexts, endpoints } = parseConfigFile(example);
  assert.deepEqual([...contexts.keys()], ['api']);
  assert.deepEqual(
    [...endpoints].map(([name, { kind, context }]) => [name, kind, context]),
    [
      ['api', 'http', 'api'],
      ['redis', 'raw', undefined],
    ],
  );
});

test('sides and versions are those of the code', () => {
  const quoted = (key: string) =>
    [...(rows.get(key)?.[1] ?? '').matchAll(/"([^"]+)"/g)].map(([, value]) => value);
  assert.deepEqual(quoted('side'), [...CONTEXT_SIDES]);
  assert.deepEqual(quoted('min_version'), [...VERSIONS]);
  for (const [key, [sides]] of rows) assert.equal(sides, CONTEXT_SIDES.join(', '), key);
});

test('the example is a configuration that uses what it explains', () => {
  const [, example = ''] = /^```toml\n([\s\S]*?)^```$/m.exec(page) ?? [];
  const { contexts } = parseConfigFile(example);
  assert.deepEqual(
    [...contexts].map(([name, { side }]) => `${name} ${side}`),
    ['www server', 'api client'],
  );
  assert.ok(page.includes(`\`${CONFIG_NAME}\` in the daemon's directory`));
});
