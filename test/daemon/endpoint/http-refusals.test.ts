// Messages that two readers could understand in two ways, or that are not HTTP at all: each has its answer, and not a
// byte of it reaches the origin. The corpus of request smuggling, over real sockets.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { httpOrigin, ok } from '#helpers/http-origin.js';
import { waitFor } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import { get, openDoor, RawClient } from './http-door.ts';

let ca: string;
let certificate: { cert: string; key: string };

before(async () => {
  const root = await createCa({ name: 'Test root' });
  const { cert, key } = await root.issue({ names: ['localhost', '127.0.0.1'] });
  ca = root.cert;
  certificate = { cert, key };
});

const POST = 'POST / HTTP/1.1\r\nHost: a\r\n';
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;
const NEXT = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

/** What is sent, and the status that it gets. */
const HEADS: readonly (readonly [what: string, sent: string, status: number])[] = [
  ['CL.TE', `${POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${NEXT}`, 400],
  ['TE.CL', `${POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n${NEXT}`, 400],
  ['TE.TE', `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n${NEXT}`, 400],
  ['TE twice', `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
  ['an unknown coding', `${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 501],
  ['a coding and chunks', `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 501],
  ['chunked, identity', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`, 501],
  ['an empty coding', `${POST}Transfer-Encoding:\r\n\r\n`, 501],
  ['a vertical tab before chunked', `${POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`, 400],
  ['a space before the colon', `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${NEXT}`, 400],
  ['a tab before the colon', `${POST}Content-Length\t: 5\r\n\r\nhello`, 400],
  ['a space before the name', `${POST} Content-Length: 5\r\n\r\nhello`, 400],
  ['a folded line', `${POST}X: a\r\n b\r\n\r\n`, 400],
  ['a folded coding', `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`, 501],
  ['a bare LF behind a field', 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n', 400],
  ['bare LFs everywhere', 'GET / HTTP/1.1\nHost: a\n\n', 400],
  ['a bare CR', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n', 400],
  ['NUL in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n', 400],
  ['NUL in a name', 'GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n', 400],
  ['DEL in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n', 400],
  ['a line without a colon', 'GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n', 400],
  ['a field without a name', 'GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n', 400],
  ['two lengths', `${POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`, 400],
  ['the same length twice', `${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, 400],
  ['a list of lengths', `${POST}Content-Length: 5, 5\r\n\r\nhello`, 400],
  ['a length with a sign', `${POST}Content-Length: +5\r\n\r\nhello`, 400],
  ['a negative length', `${POST}Content-Length: -5\r\n\r\nhello`, 400],
  ['a hexadecimal length', `${POST}Content-Length: 0x5\r\n\r\nhello`, 400],
  ['a length with a space', `${POST}Content-Length: 5 5\r\n\r\nhello`, 400],
  ['an empty length', `${POST}Content-Length: \r\n\r\n`, 400],
  ['a huge length', `${POST}Content-Length: 18446744073709551616\r\n\r\n`, 400],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
  ['a Host that is none', 'GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n', 400],
  ['chunks in HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
  ['HTTP/0.9', 'GET /\r\n\r\n', 400],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 505],
  ['another version', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n', 400],
  ['lower-case http', 'GET / http/1.1\r\nHost: a\r\n\r\n', 400],
  ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 405],
  ['two spaces', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a tab in the target', 'GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a control character in the target', 'GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a fragment', 'GET /#a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a target without a slash', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a target with a user', 'GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['an asterisk for GET', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a method that is no name', 'G(T / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a Connection that is no name', `${POST}Connection: close, a b\r\n\r\n`, 400],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ['a head without end', `GET / HTTP/1.1\r\nX: ${'a'.repeat(17_000)}`, 431],
  ['a head that is too long', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`, 431],
];

for (const [what, sent, status] of HEADS) {
  test(`P14: ${what} is answered with ${status} and goes no further`, async (t) => {
    const origin = await httpOrigin(t, certificate);
    const door = await openDoor(t, { port: origin.port, ca });
    const client = new RawClient(t, door.port);
    client.socket.write(sent, 'latin1');
    const text = await client.ended();
    assert.match(
      text,
      new RegExp(`^HTTP/1\\.1 ${status} [^]*\\r\\nConnection: close\\r\\n[^]*tlshub: ERR_TLSHUB_PROTOCOL: `),
    );
    assert.equal(text.split('HTTP/1.1 ').length, 2, 'one answer');
    assert.equal(origin.connections, 0);
  });
}

const BODIES: readonly (readonly [what: string, body: string])[] = [
  ['a negative size', '-1\r\n'],
  ['a size with a sign', '+1\r\na\r\n0\r\n\r\n'],
  ['a size with a prefix', '0x1\r\na\r\n0\r\n\r\n'],
  ['a size with a space before', ' 1\r\na\r\n0\r\n\r\n'],
  ['a size with a space behind', '1 \r\na\r\n0\r\n\r\n'],
  ['a huge size', 'ffffffffffffffff\r\na'],
  ['no size', '\r\na\r\n0\r\n\r\n'],
  ['a size ended by LF', '1\na\r\n0\r\n\r\n'],
  ['a size ended by CR', '1\ra\r\n0\r\n\r\n'],
  ['more than the size', '1\r\nab\r\n0\r\n\r\n'],
  ['a chunk ended by LF', '1\r\na\n0\r\n\r\n'],
  ['an extension ended by LF', '1;a\nx\r\n0\r\n\r\n'],
  ['an extension without a name', '1;\r\na\r\n0\r\n\r\n'],
  ['an extension with a space', '1; a\r\na\r\n0\r\n\r\n'],
  ['an endless extension', `1;${'a'.repeat(17_000)}`],
  ['extensions without end', `1;${'a'.repeat(200)}\r\nx\r\n`.repeat(100)],
  ['a last chunk ended by LF', '0\r\n\n'],
  ['a trailer that is no field', '0\r\nx\r\n\r\n'],
  ['a trailer ended by LF', '0\r\nA: b\n\r\n'],
  ['a Content-Length in the trailer', '0\r\nContent-Length: 3\r\n\r\n'],
  ['a Transfer-Encoding in the trailer', '0\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['a Host in the trailer', '0\r\nHost: b\r\n\r\n'],
  ['an endless trailer', `0\r\nA: ${'b'.repeat(17_000)}`],
];

for (const [what, body] of BODIES) {
  test(`P14: chunks with ${what} are answered with 400 and end the session`, async (t) => {
    const origin = await httpOrigin(t, certificate);
    const door = await openDoor(t, { port: origin.port, ca });
    const client = new RawClient(t, door.port);
    client.socket.write(CHUNKED + body, 'latin1');
    assert.match(await client.ended(), /^HTTP\/1\.1 400 Bad Request\r\n/);
    await waitFor(() => door.closed.length === 1, { what: 'the end of the session' });
    assert.match(door.lastReason() ?? '', /^the request of its client is malformed: /);
    assert.deepEqual(origin.requests, [], 'the origin never saw the end of the request');
  });
}

const RESPONSES: readonly (readonly [what: string, response: string])[] = [
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
  ['another version', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['no status', 'HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status of letters', 'HTTP/1.1 2e2 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'],
  [
    'two kinds of length',
    'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n'],
  ['a coding and chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['a folded line', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
  ['a body without content', 'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc'],
  ['chunks without content', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['an upgrade that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
  ['a head that is too long', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`],
  ['a bad first chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n'],
];

for (const [what, response] of RESPONSES) {
  test(`P14: a response with ${what} is a 502, and the client goes on`, async (t) => {
    const origin = await httpOrigin(t, certificate, ({ socket, connection }) => {
      socket.write(connection === 1 ? response : ok('well'), 'latin1');
    });
    const door = await openDoor(t, { port: origin.port, ca });
    const client = new RawClient(t, door.port).send(get());
    assert.match(
      await client.got('502 Bad Gateway\n'),
      /tlshub: ERR_TLSHUB_PROTOCOL: the response of the origin/,
    );
    await waitFor(() => door.closed.length === 1, { what: 'the end of the session' });
    assert.match(door.lastReason() ?? '', /^its response is malformed: /);
    client.send(get());
    await client.got('well');
  });
}

test('P14: what follows a refused request on the same connection is not served', async (t) => {
  const origin = await httpOrigin(t, certificate);
  const door = await openDoor(t, { port: origin.port, ca });
  const client = new RawClient(t, door.port);
  client.send(get('/first'));
  client.socket.write(`${POST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n${NEXT}`);
  assert.match(await client.ended(), /^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\n1HTTP\/1\.1 400 /);
  assert.deepEqual(
    origin.requests.map(({ path }) => path),
    ['/first'],
  );
});
