// P14 for endpoints of kind http, with Node's own HTTP parser as the oracle: whatever an endpoint lets through means to it
// what it means to another reader, wherever the bytes are split. Mutations of real messages, over real sockets.
import assert from 'node:assert/strict';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { Agent, createServer as createHttpsServer, request as httpsRequest } from 'node:https';
import { before, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { httpOrigin, ok } from '#helpers/http-origin.js';
import { listen } from '#helpers/listen.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import { get, openDoor, RawClient } from '../daemon/endpoint/http-door.ts';

let ca: string;
let certificate: { cert: string; key: string };

before(async () => {
  const root = await createCa({ name: 'Test root' });
  const { cert, key } = await root.issue({ names: ['localhost', '127.0.0.1'] });
  ca = root.cert;
  certificate = { cert, key };
});

/** Whole requests with every kind of length, to be mutated. */
const REQUESTS: readonly string[] = [
  'GET /a HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET http://b/c?d HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n',
  'POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
  'PUT /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'POST /r HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\nA;x=y;z="q\\"r"\r\n0123456789\r\n00\r\nX-T: v\r\n\r\n',
  'HEAD /h HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
  'DELETE /d HTTP/1.1\r\nHost: a:80\r\nCookie: x=y\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n',
];
const RESPONSES: readonly string[] = [
  ok('hello'),
  ok('', ['Date: now', 'Server: x']),
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\nTrailer: T\r\n\r\nA;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n',
  'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end',
  'HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nab',
  'HTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc',
];
/** What readers of HTTP disagree about. */
const PIECES: readonly string[] = [
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    ' ',
    '\t',
    ':',
    ';',
    ',',
    '\0',
    '\x0b',
    '\x7f',
    '\xff',
    '"',
    '0',
    '1',
    'f',
    '-',
  ],
  ...[
    'Content-Length: 3\r\n',
    'Content-Length: 0\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Host: b\r\n',
    '5\r\n',
  ],
  ...[
    'Transfer-Encoding: identity\r\n',
    'Connection: close\r\n',
    'Connection: x, Host\r\n',
    '0\r\n\r\n',
    'HTTP/1.0',
  ],
];

const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  drop: fc.integer({ min: 0, max: 4 }),
  insert: fc.option(fc.constantFrom(...PIECES)),
});
const mutated = (bases: readonly string[], atMost: number) =>
  fc
    .tuple(
      fc.array(fc.constantFrom(...bases), { minLength: 1, maxLength: atMost }),
      fc.array(mutation, { maxLength: 3 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
    )
    .map(([messages, mutations, split]) => {
      let text = messages.join('');
      for (const { at, drop, insert } of mutations) {
        const offset = Math.floor(at * text.length);
        text = text.slice(0, offset) + (insert ?? '') + text.slice(offset + drop);
      }
      return { text, split: Math.floor(split * text.length) };
    });

interface Seen {
  method: string | undefined;
  url: string | undefined;
  body: string;
  /** Version of the request. */
  version: string;
}

/** Makes a server note its requests, those that are complete, in the order of their heads. */
function recorded<S extends Server>(server: S, seen: Seen[], errors: string[]): S {
  const take = (request: IncomingMessage, response: { end(): void }) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('error', () => undefined);
    request.on('end', () => {
      const { method, url, httpVersion: version } = request;
      seen.push({ method, url, body: Buffer.concat(parts).toString('latin1'), version });
      response.end();
    });
  };
  server.on('request', take);
  // Node ends the connection behind a response that was not preceded by the 100 that its request had asked for.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    response.writeContinue();
    take(request, response);
  });
  server.on('checkExpectation', take);
  server.on('clientError', (error: Error & { code?: string }, socket) => {
    errors.push(error.code ?? error.message);
    socket.destroy();
  });
  return server;
}

/** Sends the text in two pieces, ends, and waits until the other side has ended too. */
async function say(t: TestContext, port: number, text: string, split: number): Promise<void> {
  const client = new RawClient(t, port);
  client.socket.write(text.slice(0, split), 'latin1');
  for (let turns = 0; turns < 3; turns += 1) await turn();
  client.socket.end(text.slice(split), 'latin1');
  await waitFor(() => client.end !== undefined, { what: () => `the end after ${JSON.stringify(text)}` });
  client.socket.destroy();
}

test('P14: every request that passes is one that Node reads in the same way', async (t) => {
  const direct: Seen[] = [];
  const through: Seen[] = [];
  const misread: string[] = [];
  const refused: string[] = [];
  const plain = recorded(createHttpServer(), direct, refused);
  const secure = recorded(createHttpsServer(certificate) as unknown as Server, through, misread);
  const [plainPort, securePort] = [await listen(plain), await listen(secure)];
  t.after(() => {
    for (const server of [plain, secure]) {
      server.closeAllConnections();
      server.close();
    }
  });
  const door = await openDoor(t, { port: securePort, ca });
  let passed = 0;
  await fc.assert(
    fc.asyncProperty(mutated(REQUESTS, 3), async ({ text, split }) => {
      for (const list of [direct, through, misread, refused]) list.length = 0;
      await say(t, door.port, text, split);
      await say(t, plainPort, text, split);
      passed += through.length;
      // Node knows a fixed list of methods: here it stops at others, there it ends their session.
      const unknown = [refused, misread].every((codes) => codes.includes('HPE_INVALID_METHOD'));
      for (const [index, request] of through.entries()) {
        const same = direct[index];
        // Node ends the connection behind an HTTP/1.0 request to HEAD, and what had come with it is still read.
        const ended = direct.some(({ method, version }) => method === 'HEAD' && version === '1.0');
        if (same === undefined && ((ended && refused.length === 0) || unknown)) break;
        assert.ok(
          same,
          `Node read only ${index} of ${through.length}, then ${refused}: ${JSON.stringify(text)}`,
        );
        const url = same.url?.replace(/^https?:\/\/[^/?]+(?=\/)/i, '').replace(/^https?:\/\/[^/?]+/i, '/');
        assert.deepEqual(request, { ...same, url, version: '1.1' });
      }
      // What a session's end cuts off is no misunderstanding.
      const others = misread.filter((code) => !['ECONNRESET', 'HPE_INVALID_EOF_STATE'].includes(code));
      assert.deepEqual(
        others.filter((code) => !(unknown && code === 'HPE_INVALID_METHOD')),
        [],
        JSON.stringify({ text, misread, refused, through, direct }),
      );
    }),
    { numRuns: 400 },
  );
  assert.ok(passed > 200, `only ${passed} requests passed`);
});

test('P14: every response that passes is one that Node reads in the same way', async (t) => {
  let response = '';
  let split = 0;
  const origin = await httpOrigin(t, certificate, ({ socket }) => {
    socket.write(response.slice(0, split), 'latin1');
    setImmediate(() => socket.end(response.slice(split), 'latin1'));
  });
  const door = await openDoor(t, { port: origin.port, ca });
  let passed = 0;
  await fc.assert(
    fc.asyncProperty(mutated(RESPONSES, 1), async (sent) => {
      ({ text: response, split } = sent);
      const client = new RawClient(t, door.port).send(get('/', 'Connection: close'));
      await waitFor(() => client.end !== undefined, {
        what: () => `the end after ${JSON.stringify(response)}`,
      });
      client.socket.destroy();
      if (client.end === 'reset' || client.text.includes('\r\n\r\n502 Bad Gateway\ntlshub: ')) return;
      const through = await readAsNode(t, client.text);
      const direct = await getAsNode(origin.port);
      passed += 1;
      assert.deepEqual(through, direct, JSON.stringify({ response, text: client.text }));
    }),
    { numRuns: 300 },
  );
  assert.ok(passed > 50, `only ${passed} responses passed`);
});

/** What Node's client makes of a response; `undefined`: that it is none, or not complete. */
async function getAsNode(port: number): Promise<{ status: number | undefined; body: string } | undefined> {
  const agent = new Agent({ ca, keepAlive: false });
  const request = httpsRequest({ port, host: '127.0.0.1', agent, headers: { connection: 'close' } });
  const read = new Promise<{ status: number | undefined; body: string } | undefined>((resolve) => {
    let answered: IncomingMessage | undefined;
    // Bytes behind a whole response are an error too; that one had come before it.
    request.on('error', () => answered?.complete || resolve(undefined));
    request.on('response', (response) => {
      answered = response;
      let body = '';
      response.setEncoding('latin1').on('data', (part: string) => {
        body += part;
      });
      response.on('error', () => response.complete || resolve(undefined));
      response.on('end', () => resolve({ status: response.statusCode, body }));
    });
  });
  request.end();
  return within(read, { what: 'a response or an error' });
}

async function readAsNode(t: TestContext, text: string) {
  const origin = await httpOrigin(t, certificate, ({ socket }) => socket.end(text, 'latin1'));
  return getAsNode(origin.port);
}

test('P6: requests and responses are the same wherever their bytes are split', async (t) => {
  const request = REQUESTS[3] + get('/last', 'Connection: close').join('\r\n').concat('\r\n\r\n');
  const answer = `${RESPONSES[7]}`;
  let splitAt = 0;
  const origin = await httpOrigin(t, certificate, ({ socket }) => {
    socket.setNoDelay(true);
    socket.write(answer.slice(0, splitAt));
    setImmediate(() => socket.write(answer.slice(splitAt)));
  });
  const door = await openDoor(t, { port: origin.port, ca });
  const whole = 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n';
  const wanted = `${whole}\r\nabc${whole}Connection: close\r\n\r\nabc`;
  for (let split = 0; split <= request.length; split += 1) {
    splitAt = split % answer.length;
    const client = new RawClient(t, door.port);
    client.socket.write(request.slice(0, split));
    for (let turns = 0; turns < 3; turns += 1) await turn();
    client.socket.write(request.slice(split));
    assert.equal(await client.ended(), wanted, `split at ${split}`);
    client.socket.destroy();
  }
  assert.equal(origin.requests.length, 2 * (request.length + 1));
  assert.equal(origin.connections, 1);
});
