// docs/ssl.md against the code, both ways: every verb and every class of error is in its tables, and nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SSL_ERROR, SSL_SHUTDOWN, Ssl } from '#src/ssl.js';
import { tableAfter, textOf } from './repository.ts';

const document = textOf('docs/ssl.md');
const verbs = tableAfter(document, '## Verbs');

/** Names of what an object of the class has, own and inherited, that is public. */
function publicNames(): string[] {
  const names = new Set<string>();
  for (let level = Ssl.prototype; level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const name of Object.getOwnPropertyNames(level)) names.add(name);
  }
  for (const name of ['constructor', 'describe', 'keepDescription']) assert.ok(names.delete(name), name);
  return [...names].sort();
}

test('the table of verbs has each once, with its parameters', () => {
  const names = verbs.map(([verb = '']) => verb.replace(/\(.*$/, ''));
  assert.equal(names.shift(), 'new Ssl');
  assert.deepEqual(names.sort(), publicNames());
  for (const [verb = ''] of verbs) {
    const [, name = '', parameters] = /^(\w+)\((.*)\)$/.exec(verb) ?? [];
    if (parameters === undefined) continue;
    const method = Reflect.get(Ssl.prototype, name) as (...args: unknown[]) => unknown;
    assert.equal(method.length, parameters === '' ? 0 : parameters.split(', ').length, verb);
  }
});

test('the table of classes has their names and numbers', () => {
  const classes = tableAfter(document, '## Classes of `getError`');
  assert.deepEqual(
    classes.map(([name, number]) => [name, Number(number)]),
    Object.entries(SSL_ERROR),
  );
});

test('the bits of getShutdown are those of the text', () => {
  for (const [name, bit] of Object.entries(SSL_SHUTDOWN)) {
    assert.ok(document.includes(`\`SSL_SHUTDOWN.${name}\` (${bit})`), name);
  }
});

test('each verb that OpenSSL has says its name in the code', () => {
  const code = ['src/wrapper/ssl/ssl.ts', 'src/wrapper/ssl/description.ts'].map(textOf).join('\n');
  for (const [verb = '', call = ''] of verbs) {
    if (!call.startsWith('SSL_') || call === 'SSL_new') continue;
    assert.ok(code.includes(`${call}(3)`), `${verb}: ${call}`);
  }
});
