// P14 for the heads of HTTP messages: what is accepted and how it goes on, and what is refused, by tables.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UNTIL_CLOSE, WITH_CHUNKS } from '#src/daemon/endpoint/http-body.js';
import { HttpSyntaxError } from '#src/daemon/endpoint/http-fields.js';
import {
  encodeRequestHead,
  encodeResponseHead,
  findHeadEnd,
  MAX_HEAD_BYTES,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from '#src/daemon/endpoint/http-head.js';

const bytesOf = (text: string) => Buffer.from(text, 'latin1');

function requestOf(...lines: readonly string[]): RequestHead {
  const bytes = bytesOf(`${lines.join('\r\n')}\r\n\r\n`);
  return parseRequestHead(bytes, 0, findHeadEnd(bytes, 0));
}

function responseOf(lines: readonly string[], method = 'GET'): ResponseHead {
  const bytes = bytesOf(`${lines.join('\r\n')}\r\n\r\n`);
  return parseResponseHead(bytes, 0, findHeadEnd(bytes, 0), method);
}

const refusal = (status: number) => (error: unknown) =>
  error instanceof HttpSyntaxError && error.status === status;

test('P6: the end of a head is found wherever its bytes are split', () => {
  const head = bytesOf('GET / HTTP/1.1\r\nHost: a\r\nX: \xff\ty\r\n\r\n');
  const all = Buffer.concat([bytesOf('before'), head, bytesOf('\r\n\r\nbehind')]);
  for (let split = 0; split < head.length; split += 1) {
    assert.equal(findHeadEnd(all.subarray(0, 6 + split), 6), -1, `${split} bytes of it`);
    assert.equal(findHeadEnd(all, 6, split), 6 + head.length, `seen before: ${split} bytes`);
  }
});

test('P14: a head of the greatest length is taken, one byte more is refused before its end has come', () => {
  const line = 'GET / HTTP/1.1\r\nHost: a\r\nX: ';
  const longest = `${line}${'x'.repeat(MAX_HEAD_BYTES - line.length - 4)}\r\n\r\n`;
  assert.equal(findHeadEnd(bytesOf(longest), 0), MAX_HEAD_BYTES);
  assert.throws(() => findHeadEnd(bytesOf(longest.replace('X: ', 'X: x')), 0), refusal(431));
  assert.throws(() => findHeadEnd(bytesOf(line + 'x'.repeat(MAX_HEAD_BYTES)), 0), refusal(431));
});

test('P14: what cannot become a head is refused before its end has come', () => {
  for (const text of ['\x16\x03\x01', 'GET / HTTP/1.1\n', 'GET /\0', '\n', 'a\r\nb\x0b'])
    assert.throws(() => findHeadEnd(bytesOf(text), 0), refusal(400), JSON.stringify(text));
});

const FORWARDED: readonly (readonly [lines: readonly string[], forwarded: string])[] = [
  [['GET / HTTP/1.1', 'Host: a'], 'GET / HTTP/1.1\r\nHost: o\r\n\r\n'],
  [['OPTIONS * HTTP/1.1', 'hOsT:a'], 'OPTIONS * HTTP/1.1\r\nHost: o\r\n\r\n'],
  [['GET http://b:1 HTTP/1.1', 'Host: a'], 'GET / HTTP/1.1\r\nHost: o\r\n\r\n'],
  [['GET HTTPS://b?q HTTP/1.1', 'Host: a'], 'GET /?q HTTP/1.1\r\nHost: o\r\n\r\n'],
  [['OPTIONS http://b HTTP/1.1', 'Host: a'], 'OPTIONS * HTTP/1.1\r\nHost: o\r\n\r\n'],
  [['M-#! /a HTTP/1.0', 'X: \t y \t', 'Z:'], 'M-#! /a HTTP/1.1\r\nHost: o\r\nX: \t y \t\r\nZ:\r\n\r\n'],
  [
    ['POST / HTTP/1.1', 'Content-Length: \t007 ', 'Host: a', 'X: y'],
    'POST / HTTP/1.1\r\nHost: o\r\nX: y\r\nContent-Length: 7\r\n\r\n',
  ],
  [
    ['POST / HTTP/1.1', 'Host: a', 'TRANSFER-ENCODING: CHUNKED'],
    'POST / HTTP/1.1\r\nHost: o\r\nTransfer-Encoding: chunked\r\n\r\n',
  ],
  [
    ['GET / HTTP/1.1', 'Host: a', 'Connection: X-Hop, close', 'x-hop: 1', 'Keep-Alive: 5', 'Y: 2'],
    'GET / HTTP/1.1\r\nHost: o\r\nY: 2\r\n\r\n',
  ],
  [
    ['GET / HTTP/1.1', 'Host: a', 'Connection: keep-alive, Upgrade', 'Upgrade: w', 'Proxy-Connection: x'],
    'GET / HTTP/1.1\r\nHost: o\r\nConnection: Upgrade\r\nUpgrade: w\r\n\r\n',
  ],
];

test('P14: requests go on as they were understood', () => {
  for (const [lines, forwarded] of FORWARDED)
    assert.equal(encodeRequestHead(requestOf(...lines), 'o'), forwarded, lines.join(' | '));
});

const HOST = 'Host: a';
const BAD_REQUESTS: readonly (readonly [status: number, ...lines: readonly string[]])[] = [
  [400, 'GET /'],
  [400, 'GET  / HTTP/1.1', HOST],
  [400, ' GET / HTTP/1.1', HOST],
  [400, 'GET / HTTP/1.1 ', HOST],
  [400, 'GET / http/1.1', HOST],
  [505, 'GET / HTTP/2.0', HOST],
  [400, 'G(T / HTTP/1.1', HOST],
  [405, 'CONNECT a:1 HTTP/1.1', HOST],
  [400, 'GET a HTTP/1.1', HOST],
  [400, 'GET * HTTP/1.1', HOST],
  [400, 'GET /#a HTTP/1.1', HOST],
  [400, 'GET /\xe9 HTTP/1.1', HOST],
  [400, 'GET http:// HTTP/1.1', HOST],
  [400, 'GET http://u@b/ HTTP/1.1', HOST],
  [400, 'GET / HTTP/1.1'],
  [400, 'GET / HTTP/1.1', HOST, HOST],
  [400, 'GET / HTTP/1.1', 'Host: a/b'],
  [400, 'GET / HTTP/1.1', HOST, 'X : y'],
  [400, 'GET / HTTP/1.1', HOST, ' folded'],
  [400, 'GET / HTTP/1.1', HOST, 'X'],
  [400, 'GET / HTTP/1.1', HOST, ': y'],
  [400, 'GET / HTTP/1.1', HOST, 'X: \0'],
  [400, 'GET / HTTP/1.1', HOST, 'X: \x7f'],
  [400, 'GET / HTTP/1.1', HOST, 'X: a\nY: b'],
  [400, 'GET / HTTP/1.1', HOST, 'X: a\rY: b'],
  [400, 'GET / HTTP/1.1', HOST, 'Content-Length:'],
  [400, 'GET / HTTP/1.1', HOST, 'Content-Length: +1'],
  [400, 'GET / HTTP/1.1', HOST, 'Content-Length: 1, 1'],
  [400, 'GET / HTTP/1.1', HOST, 'Content-Length: 0x1'],
  [400, 'GET / HTTP/1.1', HOST, 'Content-Length: 1', 'Content-Length: 1'],
  [400, 'GET / HTTP/1.1', HOST, `Content-Length: ${'9'.repeat(16)}`],
  [400, 'GET / HTTP/1.1', HOST, 'Content-Length: 1', 'Transfer-Encoding: chunked'],
  [400, 'GET / HTTP/1.1', HOST, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
  [501, 'GET / HTTP/1.1', HOST, 'Transfer-Encoding: gzip, chunked'],
  [501, 'GET / HTTP/1.1', HOST, 'Transfer-Encoding: identity'],
  [501, 'GET / HTTP/1.1', HOST, 'Transfer-Encoding: chunked,'],
  [400, 'GET / HTTP/1.0', 'Transfer-Encoding: chunked'],
  [400, 'GET / HTTP/1.1', HOST, 'Connection: a b'],
];

test('P14: requests that two readers could understand in two ways are refused', () => {
  for (const [status, ...lines] of BAD_REQUESTS)
    assert.throws(() => requestOf(...lines), refusal(status), JSON.stringify(lines));
});

const BODIES: readonly (readonly [
  lines: readonly string[],
  method: string,
  length: number,
  kept: boolean,
])[] = [
  [['HTTP/1.1 200 OK', 'Content-Length: 5'], 'GET', 5, true],
  [['HTTP/1.1 200', 'Content-Length: 5'], 'HEAD', 0, true],
  [['HTTP/1.1 200 ', 'Transfer-Encoding: chunked'], 'GET', WITH_CHUNKS, true],
  [['HTTP/1.1 200 OK'], 'GET', UNTIL_CLOSE, false],
  [['HTTP/1.0 200 OK', 'Content-Length: 5'], 'GET', 5, false],
  [['HTTP/1.0 200 OK', 'Content-Length: 5', 'Connection: Keep-Alive'], 'GET', 5, true],
  [['HTTP/1.1 200 OK', 'Content-Length: 5', 'Connection: close'], 'GET', 5, false],
  [['HTTP/1.1 304 Not Modified', 'Content-Length: 5'], 'GET', 0, true],
  [['HTTP/1.1 204 No Content', 'Content-Length: 0'], 'GET', 0, true],
  [['HTTP/1.1 103 Early Hints'], 'GET', 0, true],
];

test('P14: the length of a response, and whether its connection goes on, are as RFC 9112 has them', () => {
  for (const [lines, method, length, kept] of BODIES) {
    const { bodyLength, keepAlive } = responseOf(lines, method);
    assert.deepEqual({ bodyLength, keepAlive }, { bodyLength: length, keepAlive: kept }, lines.join(' | '));
  }
});

test('P14: malformed responses are refused', () => {
  const bad: readonly (readonly string[])[] = [
    ['HTTP/1.1 20 OK'],
    ['HTTP/1.1 2000 OK'],
    ['HTTP/1.1 099 OK'],
    ['HTTP/1.1  200 OK'],
    ['HTTP/1.1\t200 OK'],
    ['HTTP/2.0 200 OK'],
    ['ICY 200 OK'],
    ['HTTP/1.1 200 O\x7fK'],
    ['HTTP/1.1 204 No Content', 'Content-Length: 1'],
    ['HTTP/1.1 204 No Content', 'Transfer-Encoding: chunked'],
    ['HTTP/1.1 100 Continue', 'Content-Length: 1'],
    ['HTTP/1.0 200 OK', 'Transfer-Encoding: chunked'],
    ['HTTP/1.1 200 OK', 'Content-Length: 1', 'Content-Length: 2'],
    ['HTTP/1.1 200 OK', 'Content-Length: 1', 'Transfer-Encoding: chunked'],
  ];
  for (const lines of bad) assert.throws(() => responseOf(lines), HttpSyntaxError, JSON.stringify(lines));
});

test('P14: responses go on as they were understood', () => {
  const chunked = responseOf(['HTTP/1.0 200', 'A: b', 'Connection: A', 'Content-Length: 3']);
  assert.equal(encodeResponseHead(chunked, '', true), 'HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n');
  const head = responseOf(['HTTP/1.1 200 \xff', 'Transfer-Encoding: chunked', 'X: y']);
  assert.equal(
    encodeResponseHead(head, 'Connection: close\r\n', false),
    'HTTP/1.1 200 \xff\r\nX: y\r\nConnection: close\r\n\r\n',
  );
  const upgrade = responseOf(['HTTP/1.1 101 Go', 'Connection: upgrade', 'Upgrade: w']);
  assert.equal(
    encodeResponseHead(upgrade, '', true),
    'HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: w\r\n\r\n',
  );
});
