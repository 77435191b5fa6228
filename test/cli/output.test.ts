// What the command line shows: aligned, and never able to control the terminal.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runNode } from '#helpers/run-node.js';
import { printable, record, table, valueText } from '#src/cli/output.js';

test('text from outside cannot control the terminal', () => {
  assert.equal(
    printable('\u001b[31mred\u0007\r\n\u009b\u202e'),
    '\\u001b[31mred\\u0007\\u000d\\u000a\\u009b\\u202e',
  );
  assert.equal(printable('plain – ünïcode'), 'plain – ünïcode');
  assert.equal(table(['A'], [['\u001b]0;title\u0007']]), 'A\n\\u001b]0;title\\u0007');
  assert.equal(record({ peer: '\u001b[2J' }), 'peer  \\u001b[2J');
});

test('a table is aligned by its widest cells', () => {
  const text = table(
    ['ID', 'STATE'],
    [
      ['s1', 'leased'],
      ['s1000', 'idle'],
    ],
  );
  assert.equal(text, 'ID     STATE\ns1     leased\ns1000  idle');
});

test('a record is aligned, nested records are indented, units follow the names', () => {
  const text = record({
    uptimeMs: 61_000,
    bytesFromPeer: 2_048,
    draining: false,
    none: null,
    missing: undefined,
    holders: [{ pid: 1 }],
    sessions: { idle: 3 },
  });
  assert.equal(
    text,
    [
      'uptime           1m 1s',
      'bytes from peer  2 KiB',
      'draining         no',
      'none             -',
      'holders          {"pid":1}',
      'sessions',
      '  idle  3',
    ].join('\n'),
  );
  assert.equal(valueText('', []), '-');
});

test('names are shown as words, abbreviations as they are, and memory in units', () => {
  assert.equal(
    record({ perSession: 5_955_584, atStart: 1024, minDHSize: 1, requestOCSP: true, ALPNProtocols: 'h2' }),
    [
      'per session     5.7 MiB',
      'at start        1 KiB',
      'min DH size     1',
      'request OCSP    yes',
      'ALPN protocols  h2',
    ].join('\n'),
  );
});

test('without a terminal there is no colour; an error is message, code and help', async () => {
  const { stdout, stderr } = await runNode(`
    import { printError, printResult, styled } from '#src/cli/output.js';
    import { TlshubError } from '#src/errors.js';
    printResult({ a: 1 }, styled('text', 'green'), {});
    printResult({ a: 1 }, 'text', { json: true });
    printError(new TlshubError('ERR_TLSHUB_DAEMON_LOST', 'it \\u001b[31mwent'), {});
    printError(new TlshubError('ERR_TLSHUB_LIMIT', 'full'), { json: true });
    printError(new Error('odd'), {});
  `);
  assert.equal(stdout, 'text\n{"a":1}\n');
  assert.equal(
    stderr,
    [
      'tlshub: it \\u001b[31mwent',
      '  code: ERR_TLSHUB_DAEMON_LOST',
      '  help: look into the log of the daemon ("tlshub doctor" shows where) and try again',
      '{"error":{"code":"ERR_TLSHUB_LIMIT","message":"full"}}',
      'tlshub: odd',
      '  code: UNEXPECTED',
      '',
    ].join('\n'),
  );
});
