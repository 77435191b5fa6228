// When a session goes back to the pool after an exchange, when it is closed, and when a request is sent a second time.
import assert from 'node:assert/strict';
import { before, type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { countingOrigin, type Step } from '#helpers/counting-origin.js';
import { httpOrigin, type OriginRequest, ok } from '#helpers/http-origin.js';
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

async function setUp(t: TestContext, answer?: (request: OriginRequest) => void) {
  const origin = await httpOrigin(t, certificate, answer);
  const door = await openDoor(t, { port: origin.port, ca });
  return { origin, door, client: new RawClient(t, door.port) };
}

interface Case {
  readonly what: string;
  readonly response: string;
  /** Why the session is closed, at once or with its client; `undefined`: it goes back. */
  readonly reason: string | undefined;
  readonly request?: readonly string[];
}

const CLOSES = 'a response asked for the end of the connection';
const AUTH = 'the connection was authenticated, not the request';
const CASES: readonly Case[] = [
  { what: 'a length', response: ok('x'), reason: undefined },
  { what: 'chunks', response: chunked('1\r\nx\r\n0\r\n\r\n'), reason: undefined },
  { what: 'chunks with a trailer', response: chunked('1;a=b\r\nx\r\n0\r\nT: v\r\n\r\n'), reason: undefined },
  { what: 'no content', response: 'HTTP/1.1 204 No Content\r\n\r\n', reason: undefined },
  { what: 'not modified', response: 'HTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n', reason: undefined },
  {
    what: 'HTTP/1.0 that goes on',
    response: 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx',
    reason: undefined,
  },
  { what: 'HTTP/1.0', response: 'HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx', reason: CLOSES },
  { what: 'Connection: close', response: ok('x', ['Connection: close']), reason: CLOSES },
  { what: 'close among others', response: ok('x', ['Connection: x-hop,  Close']), reason: CLOSES },
  { what: 'a byte too many', response: `${ok('x')}y`, reason: 'the peer sent more than its response' },
  {
    what: 'bytes behind no content',
    response: 'HTTP/1.1 204 No Content\r\n\r\nx',
    reason: 'the peer sent more than its response',
  },
  {
    what: 'bytes behind a HEAD',
    request: ['HEAD / HTTP/1.1', 'Host: door'],
    response: ok('x'),
    reason: 'the peer sent more than its response',
  },
  { what: 'a challenge', response: ok('x', ['WWW-Authenticate: Negotiate']), reason: AUTH },
  { what: 'a challenge among others', response: ok('x', ['WWW-Authenticate: Basic, NTLM']), reason: AUTH },
  { what: 'a proxy challenge', response: ok('x', ['Proxy-Authenticate: NTLM']), reason: AUTH },
  { what: 'Persistent-Auth', response: ok('x', ['Persistent-Auth: true']), reason: AUTH },
  { what: 'Proxy-Support', response: ok('x', ['Proxy-Support: Session-Based-Authentication']), reason: AUTH },
  {
    what: 'a basic challenge',
    response: ok('x', ['WWW-Authenticate: Basic realm="ntlms"']),
    reason: undefined,
  },
  { what: 'credentials', request: get('/', 'Authorization: NTLM TlRM'), response: ok('x'), reason: AUTH },
  {
    what: 'proxy credentials',
    request: get('/', 'Proxy-Authorization: Negotiate YII'),
    response: ok('x'),
    reason: AUTH,
  },
  { what: 'a token', request: get('/', 'Authorization: Bearer x'), response: ok('x'), reason: undefined },
];

for (const { what, response, reason, request } of CASES) {
  const fate = reason === undefined ? 'goes back' : 'is closed';
  test(`P7: after ${what} the session ${fate}`, async (t) => {
    const { door, client } = await setUp(t, ({ socket }) => socket.write(response));
    client.send(request ?? get());
    await client.got('\r\n\r\n');
    if (reason === undefined) {
      await waitFor(() => door.table.inState('idle').size === 1, { what: 'an idle session' });
    } else {
      if (reason === AUTH) client.socket.end();
      await waitFor(() => door.closed.length === 1, { what: 'the end of the session' });
      assert.equal(door.lastReason(), reason);
    }
    if (reason !== AUTH) assert.equal(client.end, undefined, 'the client goes on');
  });
}

test('P7: a session that was authenticated serves its client alone, and is closed with it', async (t) => {
  const answer = ({ socket, path, connection }: OriginRequest) =>
    socket.write(ok(`${path}-${connection}`, path === '/1' ? ['WWW-Authenticate: NTLM'] : []));
  const { door, client, origin } = await setUp(t, answer);
  client.send(get('/1'));
  await client.got('/1-1');
  const other = new RawClient(t, door.port).send(get('/2'));
  await other.got('/2-2');
  client.send(['POST /3 HTTP/1.1', 'Host: a', 'Content-Length: 4'], 'body');
  await client.got('/3-1');
  client.send(get('/4', 'Connection: close'));
  await client.got('/4-1');
  await waitFor(() => door.closed.length === 1, { what: 'the end of the session' });
  assert.equal(door.lastReason(), AUTH);
  other.send(get('/5'));
  await other.got('/5-2');
  assert.equal(origin.connections, 2);
});

test('P7: a session that is kept for its client is closed by a byte between two requests', async (t) => {
  const sockets: OriginRequest['socket'][] = [];
  const { door, client } = await setUp(t, ({ socket, connection }) => {
    sockets.push(socket);
    socket.write(ok(`on ${connection}`, ['WWW-Authenticate: NTLM']));
  });
  client.send(get());
  await client.got('on 1');
  sockets[0]?.write('!');
  await waitFor(() => door.closed.length === 1, { what: 'the end of the session' });
  assert.equal(door.lastReason(), 'the peer sent bytes between two requests');
  client.send(get());
  await client.got('on 2');
});

/** Bytes of a full TLS record. */
const RECORD = 16 * 1024;

/** A response of so many bytes in all. */
function okOfBytes(bytes: number, headers: readonly string[] = []): string {
  const bodyBytes = bytes - ok('', headers).length - String(bytes).length + 1;
  return ok('x'.repeat(bodyBytes), headers);
}

test('P6: a session that is kept for its client is read on, though the client had to take the response first', async (t) => {
  let bytes = 0;
  const { door, client, origin } = await setUp(t, ({ socket, request }) =>
    socket.write(request === 1 ? okOfBytes(bytes, ['WWW-Authenticate: NTLM']) : ok('the next')),
  );
  await waitFor(() => door.sockets.size === 1, { what: 'the connection' });
  const [socket] = door.sockets;
  assert.ok(socket);
  // As when the client takes nothing; the response's last record is the one that fills the socket.
  socket.cork();
  bytes = socket.writableHighWaterMark;
  client.send(get());
  await waitFor(() => socket.writableLength === bytes, { what: 'the whole response' });
  await nextTurn();
  await nextTurn();
  socket.uncork();
  await waitFor(() => client.text.length === bytes, { what: 'the first response' });
  client.send(get());
  await client.got('the next');
  assert.equal(origin.connections, 1);
  assert.equal(door.closed.length, 0);
});

test('P6: what an origin sends behind its response, in a record of its own, is the response to nothing', async (t) => {
  const { door, client, origin } = await setUp(t, ({ socket, connection }) =>
    socket.write(connection === 1 ? okOfBytes(RECORD) + ok('poison') : ok('its own')),
  );
  client.send([...get('/1'), '', ...get('/2')]);
  await client.got('its own');
  assert.equal(client.text.includes('poison'), false);
  assert.equal(origin.connections, 2);
  assert.equal(door.lastReason(), 'the peer sent more than its response');
});

test('P8: a connection that is cut in the middle of a response without a length is reset', async (t) => {
  const { door, client } = await setUp(t, ({ socket }) => socket.write('HTTP/1.1 200 OK\r\n\r\nsome of it'));
  client.send(get());
  await client.got('some of it');
  for (const connection of door.connections) connection.destroy();
  await client.ended('reset');
});

test('P7: a response that ends with its session closes it, and the client sees the end', async (t) => {
  const { door, client } = await setUp(t, ({ socket }) => socket.end('HTTP/1.1 200 OK\r\n\r\nall of it'));
  client.send(get());
  assert.equal(await client.ended(), 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it');
  await waitFor(() => door.closed.length === 1, { what: 'the end of the session' });
});

const CUT_SHORT = [
  { what: 'a length', begins: 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf', goesOn: '' },
  { what: 'chunks', begins: chunked('4\r\nhalf'), goesOn: '' },
  { what: 'malformed chunks', begins: chunked('4\r\nhalf'), goesOn: '\r\n-1\r\n' },
];
for (const { what, begins, goesOn } of CUT_SHORT) {
  test(`P8: a response with ${what} that is cut short is cut short for the client`, async (t) => {
    const sockets: OriginRequest['socket'][] = [];
    const { client, door } = await setUp(t, ({ socket }) => {
      sockets.push(socket);
      socket.write(begins);
    });
    client.send(get());
    await client.got('half');
    for (const socket of sockets) socket.end(goesOn);
    assert.match(await client.ended('reset'), /half(\r\n)?$/);
    await waitFor(() => door.closed.length === 1, { what: 'the end of the session' });
  });
}

test('P8: a response without a length that is cut short is not ended for the client as if it were whole', async (t) => {
  const steps: Step[] = [
    { receiveLine: true },
    { text: 'HTTP/1.1 200 OK\r\n\r\nhalf' },
    { waitMs: 100 },
    { close: 'reset' },
  ];
  const origin = await countingOrigin(t, { ...certificate, behaviour: { kind: 'script', steps } });
  const door = await openDoor(t, { port: origin.port, ca });
  const client = new RawClient(t, door.port).send(get());
  await client.got('half');
  await client.ended('reset');
});

test('P7: a response before the end of its request closes the session', async (t) => {
  const { door, client } = await setUp(t, ({ socket }) => socket.write(ok('enough')));
  client.send(['POST /early HTTP/1.1', 'Host: door', 'Content-Length: 100'], 'part');
  assert.match(await client.ended(), /Connection: close\r\n\r\nenough$/);
  await waitFor(() => door.closed.length === 1, { what: 'the end of the session' });
  assert.equal(door.lastReason(), 'a request was answered before it was sent');
});

test('P7: a client that goes away in the middle of its request takes the session with it', async (t) => {
  const { door, client, origin } = await setUp(t);
  client.send(['POST / HTTP/1.1', 'Host: door', 'Content-Length: 100'], 'part');
  await waitFor(() => origin.connections === 1 && door.table.inState('leased').size === 1, {
    what: 'a lease',
  });
  client.socket.end();
  await waitFor(() => door.closed.length === 1, { what: 'the end of the session' });
  assert.equal(door.lastReason(), 'its client is gone');
});

test('P7: a client that goes away in the middle of its response takes the session with it', async (t) => {
  const { door, client } = await setUp(t, ({ socket }) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nbeginning`);
  });
  client.send(get());
  await client.got('beginning');
  client.socket.resetAndDestroy();
  await waitFor(() => door.closed.length === 1, { what: 'the end of the session' });
  assert.equal(door.lastReason(), 'its client is gone');
});

test('a client that has ended its side still gets its response', async (t) => {
  const { door, client } = await setUp(t);
  client.send(get());
  client.socket.end();
  assert.match(await client.ended(), /\r\n\r\n1$/);
  await waitFor(() => door.table.inState('idle').size === 1, { what: 'an idle session' });
});

test('what a client sent before its end is served, bodies and further requests too', async (t) => {
  const { client, origin } = await setUp(t);
  const post = 'POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody';
  client.socket.end(`${post}${post}GET /half HTTP/1.1\r\nHost:`);
  assert.match(await client.ended(), /\r\n\r\n1HTTP[\s\S]*\r\n\r\n1$/);
  assert.equal(origin.requests.length, 2);
});

/** An origin that answers the first request of each connection and hangs up at the next. */
const hangsUpAtSecond = ({ socket, request, connection }: OriginRequest) => {
  if (request === 1) socket.write(ok(connection));
  else socket.destroy();
};

test('a harmless request is sent again, once, when an idle session turns out to be gone', async (t) => {
  const { door, client, origin } = await setUp(t, hangsUpAtSecond);
  client.send(get('/1'));
  await client.got('\r\n\r\n1');
  client.send(get('/2'));
  await client.got('\r\n\r\n2');
  assert.deepEqual(
    origin.requests.map(({ path, connection }) => [path, connection]),
    [
      ['/1', 1],
      ['/2', 1],
      ['/2', 2],
    ],
  );
  assert.equal(door.table.inState('idle').size, 1);
});

test('a request that may do harm, or has a body, or was sent twice already, is not sent again', async (t) => {
  const posts = [
    ['POST / HTTP/1.1', 'Host: door'],
    ['PATCH / HTTP/1.1', 'Host: door', 'Content-Length: 0'],
    ['PUT / HTTP/1.1', 'Host: door', 'Content-Length: 1'],
  ];
  for (const head of posts) {
    const { client, origin } = await setUp(t, hangsUpAtSecond);
    client.send(get('/1'));
    await client.got('\r\n\r\n1');
    client.send(head, head[0]?.startsWith('PUT') ? 'x' : '');
    const text = await client.got('502 Bad Gateway\n');
    assert.match(text, /tlshub: ERR_TLSHUB_CLOSED: the origin closed the session before a response/);
    assert.equal(origin.requests.length, 2);
  }
  const { client, origin } = await setUp(t, ({ socket, request, connection }) => {
    if (request === 1 && connection === 1) socket.write(ok(1));
    else socket.destroy();
  });
  client.send(get('/1'));
  await client.got('\r\n\r\n1');
  client.send(get('/2'));
  await client.got('502 Bad Gateway\n');
  assert.equal(origin.requests.length, 3);
});

test('a request of a new session is not sent again, nor one whose response had begun', async (t) => {
  const { client, origin } = await setUp(t, ({ socket }) => socket.destroy());
  client.send(get());
  await client.got('502 Bad Gateway\n');
  assert.equal(origin.requests.length, 1);
  const begun = await setUp(t, ({ socket, request }) => {
    if (request === 1) socket.write(ok(1));
    else socket.end('HTTP/1.1 2');
  });
  begun.client.send(get());
  await begun.client.got('\r\n\r\n1');
  begun.client.send(get());
  await begun.client.got('502 Bad Gateway\n');
  assert.equal(begun.origin.requests.length, 2);
});

function chunked(body: string): string {
  return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
}
