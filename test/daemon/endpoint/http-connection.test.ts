// Requests through an endpoint of kind http, over sessions of a real pool: what passes, in which order, and what is said
// about connections on either side.
import assert from 'node:assert/strict';
import { before, type TestContext, test } from 'node:test';
import { httpOrigin, type OriginRequest, ok } from '#helpers/http-origin.js';
import { unusedPort } from '#helpers/listen.js';
import { waitFor } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import { type DoorOptions, get, openDoor, RawClient } from './http-door.ts';

let ca: string;
let certificate: { cert: string; key: string };

before(async () => {
  const root = await createCa({ name: 'Test root' });
  const { cert, key } = await root.issue({ names: ['localhost', '127.0.0.1'] });
  ca = root.cert;
  certificate = { cert, key };
});

async function setUp(
  t: TestContext,
  answer?: (request: OriginRequest) => void,
  options: Partial<DoorOptions> = {},
) {
  const origin = await httpOrigin(t, certificate, answer);
  const door = await openDoor(t, { port: origin.port, ca, ...options });
  return { origin, door, client: new RawClient(t, door.port) };
}

test('P1: requests of several clients, one after the other, are sent over one session', async (t) => {
  const { origin, door } = await setUp(t);
  for (let count = 0; count < 3; count += 1) {
    const client = new RawClient(t, door.port);
    client.send(get('/a'));
    await client.got('\r\n\r\n1');
    client.send(get('/b', 'Connection: close'));
    const text = await client.ended();
    assert.match(text, /Content-Length: 1\r\nConnection: close\r\n\r\n1$/);
  }
  assert.equal(origin.connections, 1);
  assert.equal(origin.requests.length, 6);
  assert.equal(door.pool.counters.handshakes, 1);
});

test('requests that are there at once are answered in order, the next after the last', async (t) => {
  const { origin, door, client } = await setUp(t, ({ socket, path }) => socket.write(ok(path)));
  const paths = Array.from({ length: 100 }, (_, index) => `/${index}`);
  client.socket.write(paths.map((path) => [...get(path), '', ''].join('\r\n')).join(''));
  client.socket.end();
  const text = await client.ended();
  assert.deepEqual(text.match(/(?<=\r\n\r\n)\/\d+/g), paths);
  assert.equal(origin.connections, 1);
  await waitFor(() => door.counts.length === 1, { what: 'the end of the connection' });
  assert.equal(door.counts[0]?.requests, 100);
});

test('a pipelined request with a body, another in chunks and a third are told apart', async (t) => {
  const { origin, client } = await setUp(t, ({ socket, path }) => socket.write(ok(path)));
  const second =
    'POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x="y"\r\nabc\r\n0\r\n\r\n';
  client.socket.write(`POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET ${second}`);
  client.socket.write('\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.got('/3');
  assert.deepEqual(
    origin.requests.map(({ path }) => path),
    ['/1', '/2', '/3'],
  );
});

/** What a client sends, and what of it the origin gets. */
const HEADS: readonly (readonly [what: string, sent: readonly string[], got: string, keepHost?: boolean])[] =
  [
    ['the Host of the origin', get('/p?q=/'), 'GET /p?q=/ HTTP/1.1\r\nHost: origin.test'],
    ['the Host that the client named', get('/'), 'GET / HTTP/1.1\r\nHost: door', true],
    ['a Host for HTTP/1.0', ['GET / HTTP/1.0'], 'GET / HTTP/1.1\r\nHost: origin.test', true],
    [
      'the host of an absolute target',
      ['GET http://named:81/x?y HTTP/1.1', 'Host: other'],
      'GET /x?y HTTP/1.1\r\nHost: named:81',
      true,
    ],
    [
      'a path for a host alone',
      ['GET http://named?x HTTP/1.1', 'Host: b'],
      'GET /?x HTTP/1.1\r\nHost: origin.test',
    ],
    ['an asterisk', ['OPTIONS * HTTP/1.1', 'Host: b'], 'OPTIONS * HTTP/1.1\r\nHost: origin.test'],
    [
      'fields as they are, case and order',
      get('/', 'x-B: \t a  b ', 'X-b:', 'Cookie: a=b; c="d"', 'x-latin: \xe4'),
      'GET / HTTP/1.1\r\nHost: origin.test\r\nx-B: \t a  b \r\nX-b:\r\nCookie: a=b; c="d"\r\nx-latin: \xe4',
    ],
    [
      'nothing that is for one hop only',
      get(
        '/',
        'Connection: keep-alive, X-Hop',
        'A: b',
        'x-hop: 1',
        'Keep-Alive: 5',
        'Proxy-Connection: close',
      ),
      'GET / HTTP/1.1\r\nHost: origin.test\r\nA: b',
    ],
    [
      'a body length that Connection cannot take away',
      ['POST / HTTP/1.1', 'Host: a', 'Connection: content-length, host', 'Content-Length:  007 ', 'A: b'],
      'POST / HTTP/1.1\r\nHost: origin.test\r\nA: b\r\nContent-Length: 7',
    ],
    [
      'no Upgrade that Connection does not name',
      get('/', 'Upgrade: x'),
      'GET / HTTP/1.1\r\nHost: origin.test',
    ],
  ];

for (const [what, sent, got, keepHost] of HEADS) {
  test(`the origin gets ${what}`, async (t) => {
    const { origin, client } = await setUp(t, undefined, { keepHost: keepHost ?? false });
    client.send(sent, got.includes('Content-Length: 7') ? '1234567' : '');
    await client.got('\r\n\r\n1');
    assert.equal(origin.requests[0]?.head, got);
  });
}

/** What an origin answers to whom, and what of it the client gets; `undefined` where the connection goes on. */
const RESPONSES: readonly (readonly [what: string, request: readonly string[], sent: string, got: string])[] =
  [
    [
      'fields as they are, without those of one hop',
      get('/', 'Connection: close'),
      'HTTP/1.1 299 \xe4h well\r\nSet-Cookie: a\r\nset-cookie: b\r\nConnection: x\r\nX: 1\r\nKeep-Alive: 1\r\nContent-Length: 1\r\n\r\nx',
      'HTTP/1.1 299 \xe4h well\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx',
    ],
    [
      'a response without a reason',
      get('/', 'Connection: close'),
      'HTTP/1.1 204\r\n\r\n',
      'HTTP/1.1 204 \r\nConnection: close\r\n\r\n',
    ],
    [
      'no body for HEAD, and its length',
      ['HEAD / HTTP/1.1', 'Host: a', 'Connection: close'],
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n',
    ],
    [
      'chunks without their frames in HTTP/1.0',
      ['GET / HTTP/1.0', 'Connection: keep-alive'],
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nab\r\n3\r\ncde\r\n0\r\nT: v\r\n\r\n',
      'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde',
    ],
    [
      'interim responses before the last one',
      get('/', 'Connection: close'),
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    ],
    [
      'no interim response in HTTP/1.0',
      ['GET / HTTP/1.0'],
      'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    ],
  ];

for (const [what, request, sent, got] of RESPONSES) {
  test(`the client gets ${what}`, async (t) => {
    const { client, door } = await setUp(t, ({ socket }) => socket.write(sent, 'latin1'));
    client.send(request);
    assert.equal(await client.ended(), got);
    await waitFor(() => door.table.inState('idle').size === 1, { what: 'an idle session' });
  });
}

test('a client of HTTP/1.0 that asks for it keeps its connection', async (t) => {
  const { client } = await setUp(t, ({ socket, path }) => socket.write(ok(path)));
  client.send(['GET /1 HTTP/1.0', 'Connection: Keep-Alive']);
  assert.match(await client.got('/1'), /\r\nConnection: keep-alive\r\n/);
  client.send(['GET /2 HTTP/1.0']);
  assert.match(await client.ended(), /\/2$/);
});

test('P2: many clients at once have each their own session and their own response', async (t) => {
  const { door, origin } = await setUp(t, ({ socket, path }) => socket.write(ok(path)));
  const clients = Array.from({ length: 20 }, () => new RawClient(t, door.port));
  for (let round = 0; round < 5; round += 1) {
    for (const [index, client] of clients.entries()) client.send(get(`/${index}-${round}`));
    for (const [index, client] of clients.entries()) await client.got(`\r\n\r\n/${index}-${round}`);
  }
  for (const [index, client] of clients.entries()) {
    const wanted = [0, 1, 2, 3, 4].map((round) => `/${index}-${round}`);
    assert.deepEqual(client.text.match(/\/\d+-\d/g), wanted);
  }
  assert.ok(origin.connections <= 20);
});

test('without a session the client is told why: refused, in time, or none to be had', async (t) => {
  const nowhere = await openDoor(t, { port: await unusedPort(), ca });
  const refused = new RawClient(t, nowhere.port).send(get());
  assert.match(
    await refused.got('502 Bad Gateway\n'),
    /tlshub: ECONNREFUSED: the session could not be opened/,
  );
  refused.send(['HEAD / HTTP/1.1', 'Host: a', 'Connection: close']);
  assert.match(await refused.ended(), /Connection: close\r\n\r\n$/);

  const { door, client } = await setUp(t, () => {}, { limits: { maxSessionsPerKey: 1 } });
  client.send(get());
  await waitFor(() => door.table.size === 1, { what: 'a session' });
  const second = new RawClient(t, door.port).send(get());
  assert.match(
    await second.got('503 Service Unavailable\n'),
    /tlshub: ERR_TLSHUB_POOL_TIMEOUT: no session became free/,
  );
  door.pool.drain();
  second.send(get());
  await second.got('ERR_TLSHUB_DRAINING');
});

test('P18: a head, a pause and a silence last only so long', async (t) => {
  const times = { headMs: 60, idleMs: 120, silenceMs: 180 };
  const { door, client } = await setUp(t, () => {}, { times });
  assert.equal(await client.ended(), '', 'an idle client is let go without a word');
  const slow = new RawClient(t, door.port);
  slow.socket.write('GET / HT');
  assert.match(await slow.ended(), /^HTTP\/1\.1 408 /);
  const silent = new RawClient(t, door.port).send(get());
  assert.match(await silent.ended(), /^HTTP\/1\.1 504 /);
  assert.equal(door.lastReason(), 'nothing came for too long');
});

test('a drain ends idle clients at once and others behind their response', async (t) => {
  const waiting: OriginRequest[] = [];
  const { door, client } = await setUp(t, (request) => void waiting.push(request));
  const idle = new RawClient(t, door.port);
  await waitFor(() => door.connections.size === 2, { what: 'both clients' });
  client.send(get());
  await waitFor(() => waiting.length === 1, { what: 'the request' });
  for (const connection of door.connections) connection.drain();
  assert.equal(await idle.ended(), '');
  waiting[0]?.socket.write(ok('done'));
  assert.match(await client.ended(), /Connection: close\r\n\r\ndone$/);
});
