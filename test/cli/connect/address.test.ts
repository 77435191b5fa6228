// HOST:PORT of the command line.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressText, parseAddress } from '#src/cli/connect/address.js';

test('names, IPv4 and IPv6 addresses', () => {
  assert.deepEqual(parseAddress('example.com:443'), { host: 'example.com', port: 443 });
  assert.deepEqual(parseAddress('192.0.2.1:1'), { host: '192.0.2.1', port: 1 });
  assert.deepEqual(parseAddress('[::1]:65535'), { host: '::1', port: 65_535 });
  assert.deepEqual(parseAddress('[2001:db8::7]:853'), { host: '2001:db8::7', port: 853 });
});

test('what is no address says how one looks', () => {
  const wrong: Record<string, RegExp> = {
    'example.com': /HOST:PORT/,
    'example.com:': /HOST:PORT/,
    ':443': /HOST:PORT/,
    '': /HOST:PORT/,
    'example.com:https': /HOST:PORT/,
    'example.com:-1': /HOST:PORT/,
    'example.com:0': /from 1 to 65535/,
    'example.com:65536': /from 1 to 65535/,
    'example.com:123456': /HOST:PORT/,
    '::1:443': /\[2001:db8::1\]:443/,
    '2001:db8::1': /\[2001:db8::1\]:443/,
    '[example.com]:443': /Only an IPv6 address/,
    '[::1]443': /HOST:PORT|brackets/,
  };
  for (const [text, message] of Object.entries(wrong)) {
    assert.throws(
      () => parseAddress(text),
      { code: 'commander.invalidArgument', message },
      JSON.stringify(text),
    );
  }
});

test('an address as text reads as the same address', () => {
  for (const text of ['example.com:443', '[::1]:8443', '127.0.0.1:25']) {
    assert.equal(addressText(parseAddress(text)), text);
  }
});
