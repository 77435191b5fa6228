// Certificates for server names: which names a pattern means, and that no name takes long.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { ServerContexts } from '#src/daemon/server/server-contexts.js';

const context = createSecureContext();

/** As tls.Server.addContext makes it of a pattern (lib/_tls_wrap.js). */
function asNode(pattern: string): RegExp {
  const text = pattern.replace(/([.^$+?\-\\[\]{}])/g, '\\$1').replaceAll('*', '[^.]*');
  return new RegExp(`^${text}$`, 'i');
}

test('issue 4: a pattern means the names that it means to node:tls', () => {
  const parts = ['a', 'b', 'A', '.', '*', 'ab', '-'];
  const texts = parts.flatMap((one) => parts.flatMap((two) => parts.map((three) => one + two + three)));
  const names = texts.filter((text) => !text.includes('*')).concat('aab.ab', 'a.b.ab', '', 'abab');
  for (const pattern of texts.concat('*a*b', '*.a*b', 'a*.*b', '**a', '*')) {
    const contexts = new ServerContexts();
    contexts.add(pattern, context);
    for (const name of names)
      assert.equal(contexts.find(name) === context, asNode(pattern).test(name), `${pattern} ${name}`);
  }
});

test('P14: a pattern of many stars does not hold the daemon up', () => {
  const contexts = new ServerContexts();
  contexts.add(`${'*'.repeat(100)}!`, context);
  contexts.add(`${'*a'.repeat(100)}!`, context);
  const began = performance.now();
  assert.equal(contexts.find('a'.repeat(255)), undefined);
  assert.ok(performance.now() - began < 1_000);
});
