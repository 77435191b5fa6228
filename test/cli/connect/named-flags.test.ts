// The flags of named sessions: what they are read as, and which go together.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkNamedFlags, namedOptions, parseMessages } from '#src/cli/connect/named-flags.js';

test('rules of messages are read as they are written', () => {
  assert.equal(parseMessages('chunk'), 'chunk');
  assert.deepEqual(parseMessages('lines'), { delimiter: '\n' });
  assert.deepEqual(parseMessages('delimiter=\\r\\n'), { delimiter: '\r\n' });
  assert.deepEqual(parseMessages('delimiter=\\\\n'), { delimiter: '\\n' });
  assert.deepEqual(parseMessages('length=4'), { lengthPrefix: 4 });
  for (const wrong of ['', 'line', 'delimiter=', 'length=3', 'length='])
    assert.throws(() => parseMessages(wrong), /A rule is chunk/);
});

test('flags of named sessions need --name, and exclude what makes no sense', () => {
  const share = true;
  checkNamedFlags({ share });
  checkNamedFlags({ share, name: 'n', mode: 'turn', messages: 'chunk', linger: 0, end: true });
  assert.throws(() => checkNamedFlags({ share, mode: 'turn' }), /give --name/);
  assert.throws(() => checkNamedFlags({ share: false, name: 'n' }), /exclude each other/);
  assert.throws(() => checkNamedFlags({ share, name: 'n', attach: 'h' }), /too much/);
  assert.throws(() => checkNamedFlags({ share, name: 'n', messages: 'chunk' }), /--mode turn/);
});

test('only the flags that are there become options', () => {
  assert.deepEqual(namedOptions({}), {});
  assert.deepEqual(namedOptions({ name: 'n', end: true }), { name: 'n' });
  assert.deepEqual(namedOptions({ name: 'n', linger: 0 }), { name: 'n', linger: 0 });
});
