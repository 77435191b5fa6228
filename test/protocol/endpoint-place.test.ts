// Where an endpoint listens, as text and back, and which places are safe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  endpointPlaceText,
  flawOfPlace,
  isLoopbackAddress,
  parseEndpointPlace,
} from '#src/protocol/endpoint-place.js';

test('addresses and paths are read, and written as they are read', () => {
  const tcp = (host: string, port: number) => ({ host, port, path: null });
  const unix = (path: string) => ({ host: null, port: null, path });
  assert.deepEqual(parseEndpointPlace('127.0.0.1:9000'), tcp('127.0.0.1', 9000));
  assert.deepEqual(parseEndpointPlace('localhost:0'), tcp('127.0.0.1', 0));
  assert.deepEqual(parseEndpointPlace('[::1]:65535'), tcp('::1', 65_535));
  assert.deepEqual(parseEndpointPlace('./a.sock'), unix('./a.sock'));
  assert.deepEqual(parseEndpointPlace('unix:a.sock'), unix('a.sock'));
  assert.deepEqual(parseEndpointPlace('/run/a:b.sock'), unix('/run/a:b.sock'));
  for (const text of ['127.0.0.1:9000', '[::1]:1', '/run/a.sock']) {
    const place = parseEndpointPlace(text);
    assert.ok(typeof place === 'object');
    assert.equal(endpointPlaceText(place), text);
  }
});

test('everything else is a sentence that says what is wrong', () => {
  for (const text of [
    '',
    'a.sock',
    ':80',
    '9000',
    '127.0.0.1',
    '127.0.0.1:99999',
    '::1:80',
    'host.example:80',
    'unix:',
  ])
    assert.equal(typeof parseEndpointPlace(text), 'string', text);
});

test('only loopback addresses are safe, and nothing that looks like one', () => {
  for (const address of ['127.0.0.1', '127.255.255.254', '::1'])
    assert.ok(isLoopbackAddress(address), address);
  for (const address of [
    '0.0.0.0',
    '::',
    '128.0.0.1',
    '::ffff:10.0.0.1',
    '127.0.0.1.example',
    '127.1',
    'localhost',
  ])
    assert.equal(isLoopbackAddress(address), false, address);
});

test('a place has an address or a path, and a path no way to be unsafe', () => {
  const none = { host: null, port: null, path: null };
  assert.match(flawOfPlace(none, true) ?? '', /needs an address/);
  assert.match(flawOfPlace({ host: '127.0.0.1', port: 1, path: '/a' }, false) ?? '', /not on both/);
  assert.match(flawOfPlace({ ...none, path: 'relative' }, false) ?? '', /does not fit/);
  assert.match(flawOfPlace({ ...none, path: '/a' }, true) ?? '', /only a TCP address/);
  assert.equal(flawOfPlace({ ...none, path: '/a' }, false), undefined);
});
