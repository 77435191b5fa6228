// Bodies through an endpoint of kind http: every byte, in bounded memory, with slow ends on either side, and connections
// that stop being HTTP.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { before, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { WebSocket, WebSocketServer } from 'ws';
import { listen } from '#helpers/listen.js';
import { PatternChecker, patternPieces, patternSha256 } from '#helpers/pattern.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import { type Door, get, openDoor, RawClient } from './http-door.ts';

const MIB = 1024 * 1024;
/** P9, one direction. */
const BOUND_BYTES = 256 * 1024;

let ca: string;
let certificate: { cert: string; key: string };

before(async () => {
  const root = await createCa({ name: 'Test root' });
  const { cert, key } = await root.issue({ names: ['localhost', '127.0.0.1'] });
  ca = root.cert;
  certificate = { cert, key };
});

/** `/down/N` and `/chunks/N`: N pattern bytes; `/up`: the hash of what came; `/slow-up`: the same, read with pauses; `/stuck`: reads nothing. */
async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, what, bytes] = (request.url ?? '').split('/');
  if (what === 'stuck') return;
  if (what === 'down' || what === 'chunks') {
    if (what === 'down') response.setHeader('content-length', Number(bytes));
    await pipeline(Readable.from(patternPieces(Number(bytes))), response);
    return;
  }
  const hash = createHash('sha256');
  for await (const chunk of request) {
    hash.update(chunk as Buffer);
    if (what === 'slow-up') for (let turns = 0; turns < 20; turns += 1) await turn();
  }
  response.end(hash.digest('hex'));
}

async function setUp(t: TestContext): Promise<Door & { handshakes(): number }> {
  let handshakes = 0;
  const server = createServer(certificate, (request, response) => {
    respond(request, response).catch(() => response.destroy());
  });
  server.on('secureConnection', () => {
    handshakes += 1;
  });
  const port = await listen(server);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const door = await openDoor(t, { port, ca });
  return { ...door, handshakes: () => handshakes };
}

/** What the door holds for its clients and their sessions, both directions. */
function heldBytes(door: Door): number {
  let bytes = 0;
  for (const session of door.table.all()) bytes += session.bufferedBytes;
  for (const socket of door.sockets) bytes += socket.readableLength + socket.writableLength;
  return bytes;
}

async function download(door: Door, path: string, slowly: boolean): Promise<{ bytes: number; most: number }> {
  const request = httpRequest({ port: door.port, host: '127.0.0.1', path, agent: false });
  // At the end of the test its connection is cut.
  request.on('error', () => {});
  request.end();
  const [response] = (await within(once(request, 'response'), { what: 'a response' })) as [IncomingMessage];
  const checker = new PatternChecker();
  let most = 0;
  for await (const chunk of response) {
    checker.push(chunk as Buffer);
    most = Math.max(most, heldBytes(door));
    if (slowly) for (let turns = 0; turns < 20; turns += 1) await turn();
  }
  return { bytes: checker.bytes, most };
}

async function upload(door: Door, path: string, bytes: number, headers: Record<string, string>) {
  const options = { port: door.port, host: '127.0.0.1', path, agent: false, method: 'POST', headers };
  const request = httpRequest(options);
  const answered = within(once(request, 'response'), { what: 'a response', deadlineMs: 30_000 });
  let most = 0;
  const pieces = function* () {
    for (const piece of patternPieces(bytes)) {
      most = Math.max(most, heldBytes(door));
      yield piece;
    }
  };
  await pipeline(Readable.from(pieces()), request);
  const [response] = (await answered) as [IncomingMessage];
  return { hash: await readText(response), most };
}

async function readText(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  return text;
}

for (const slowly of [false, true]) {
  const bytes = (slowly ? 8 : 32) * MIB;
  const how = slowly ? 'slowly' : 'as fast as it goes';
  test(`P6, P9: a response is read ${how}: every byte comes, in bounded memory`, async (t) => {
    const door = await setUp(t);
    for (const path of [`/down/${bytes}`, `/chunks/${bytes}`]) {
      const got = await download(door, path, slowly);
      assert.equal(got.bytes, bytes);
      assert.ok(got.most <= 2 * BOUND_BYTES, `${got.most} bytes were held`);
    }
    assert.equal(door.handshakes(), 1);
  });

  test(`P6, P9: a request is read ${how}: every byte comes, in bounded memory`, async (t) => {
    const door = await setUp(t);
    const path = slowly ? '/slow-up' : '/up';
    const framings: Record<string, string>[] = [
      { 'content-length': String(bytes) },
      { 'transfer-encoding': 'chunked' },
    ];
    for (const headers of framings) {
      const sent = await upload(door, path, bytes, headers);
      assert.equal(sent.hash, patternSha256(bytes));
      assert.ok(sent.most <= 2 * BOUND_BYTES, `${sent.most} bytes were held`);
    }
    assert.equal(door.handshakes(), 1);
  });
}

test('P9: a client that reads nothing costs bounded memory and slows nobody', async (t) => {
  const door = await setUp(t);
  const stuck = new RawClient(t, door.port).send(get(`/down/${64 * MIB}`));
  stuck.socket.pause();
  await waitFor(() => [...door.sockets].some((socket) => socket.writableNeedDrain), {
    what: 'a full client',
  });
  assert.equal((await download(door, `/down/${MIB}`, false)).bytes, MIB);
  assert.ok(heldBytes(door) <= 2 * BOUND_BYTES, `${heldBytes(door)} bytes are held`);
});

test('P9: a client that pipelines and reads nothing is not served ahead', async (t) => {
  const door = await setUp(t);
  const client = new RawClient(t, door.port);
  client.socket.pause();
  for (let count = 0; count < 50; count += 1) client.send(get(`/down/${MIB}`));
  await waitFor(() => [...door.sockets].some((socket) => socket.writableNeedDrain), {
    what: 'a full client',
  });
  assert.ok(heldBytes(door) <= 2 * BOUND_BYTES, `${heldBytes(door)} bytes are held`);
  client.socket.resume();
  await waitFor(() => client.text.length > 50 * MIB, { what: 'all responses', deadlineMs: 30_000 });
  assert.equal(door.handshakes(), 1);
});

test('P9: an origin that reads nothing stops the client', async (t) => {
  const door = await setUp(t);
  const client = new RawClient(t, door.port);
  client.send(['POST /stuck HTTP/1.1', 'Host: a', `Content-Length: ${64 * MIB}`]);
  for (const piece of patternPieces(16 * MIB)) client.socket.write(piece);
  await waitFor(() => [...door.table.all()].some(({ tls }) => tls.writableNeedDrain), {
    what: 'a full origin',
  });
  await waitFor(() => [...door.sockets].some((socket) => socket.isPaused()), { what: 'a paused client' });
  assert.ok(heldBytes(door) <= 2 * BOUND_BYTES, `${heldBytes(door)} bytes are held`);
});

test('a WebSocket passes, both ways, and its session is never given back', async (t) => {
  const door = await setUpSockets(t);
  const socket = new WebSocket(`ws://127.0.0.1:${door.port}/chat`);
  t.after(() => socket.terminate());
  await within(once(socket, 'open'), { what: 'open' });
  for (let count = 0; count < 50; count += 1) {
    socket.send('x'.repeat(count * 1000));
    const [message] = (await within(once(socket, 'message'), { what: 'a message' })) as [Buffer];
    assert.equal(message.length, count * 1000);
  }
  socket.close(4000, 'done');
  const [code] = (await within(once(socket, 'close'), { what: 'close' })) as [number];
  assert.equal(code, 4000);
  await waitFor(() => door.closed.length === 1 && door.counts.length === 1, { what: 'the end of both' });
  assert.equal(door.table.size, 0);
  assert.equal(door.counts[0]?.requests, 1);
});

test('a WebSocket whose client vanishes ends its session', async (t) => {
  const door = await setUpSockets(t);
  const socket = new WebSocket(`ws://127.0.0.1:${door.port}/chat`);
  await within(once(socket, 'open'), { what: 'open' });
  socket.terminate();
  await waitFor(() => door.closed.length === 1 && door.counts.length === 1, { what: 'the end of both' });
});

test('an upgrade that the origin does not take is a request like others', async (t) => {
  const door = await setUp(t);
  const upgrade = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQ'];
  const client = new RawClient(t, door.port).send(get('/down/3', ...upgrade));
  await client.got('200 OK');
  await waitFor(() => door.table.inState('idle').size === 1, { what: 'an idle session' });
});

async function setUpSockets(t: TestContext): Promise<Door> {
  const server = createServer(certificate);
  const echo = new WebSocketServer({ server });
  echo.on('connection', (socket) => {
    socket.on('error', () => undefined);
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  const port = await listen(server);
  t.after(() => {
    for (const socket of echo.clients) socket.terminate();
    server.closeAllConnections();
    server.close();
  });
  return openDoor(t, { port, ca });
}
