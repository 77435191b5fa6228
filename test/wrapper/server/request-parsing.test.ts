// Whether a parser of Node's is within a request, compared with what Node's own server says of it; and what counts as one
// request that may be answered again.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import { isSafeRequest, isWithinRequest, watchRequests } from '#src/wrapper/server/request-parsing.js';

type Connection = Socket & { parser: object };

const HEAD = ' HTTP/1.1\r\nHost: a\r\n';

/** What is sent, step by step, and whether it ends within a request. */
const STEPS: readonly [bytes: string, within: boolean][] = [
  [`GET /1${HEAD}\r\n`, false],
  [`GET /2${HEAD}\r\nGET /3 HT`, true],
  ['TP/1.1\r\nHost: a\r\n\r\n', false],
  [`POST /4${HEAD}Content-Length: 10\r\n\r\nhello`, true],
  ['world', false],
  [`POST /5${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`, true],
  [`0\r\n\r\nGET /6${HEAD}\r\n`, false],
  ['\r\n', false],
  ['G', true],
  [`ET /7${HEAD}\r\nGET /8${HEAD}\r\n`, false],
];

test('a parser is within a request exactly when Node would not close its connection as idle', async (t) => {
  // Its answers do not wait for bodies. Parsers of connections that are over serve others.
  const server = createServer((request, response) => void response.end(`${request.resume().url}\n`));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  for (let round = 0; round < 3; round += 1) {
    const accepted = once(server, 'connection');
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    t.after(() => client.destroy());
    client.on('error', () => {});
    client.resume();
    const [connection] = (await accepted) as [Connection];
    assert.equal(watchRequests(connection), true);
    let sent = 0;
    for (const [bytes, within] of STEPS) {
      client.write(bytes);
      sent += bytes.length;
      await waitFor(() => connection.bytesRead === sent && !Reflect.get(connection, '_httpMessage'), {
        what: 'the answers',
      });
      await new Promise(setImmediate);
      assert.equal(isWithinRequest(connection.parser), within, JSON.stringify(bytes));
      assert.equal(wouldClose(server, connection), !within, JSON.stringify(bytes));
    }
    const closed = once(connection, 'close');
    client.destroy();
    await closed;
  }
});

/** Asks Node whether a connection is idle. */
function wouldClose(server: ReturnType<typeof createServer>, connection: Connection): boolean {
  let would = false;
  connection.destroy = () => {
    would = true;
    return connection;
  };
  server.closeIdleConnections();
  Reflect.deleteProperty(connection, 'destroy');
  return would;
}

test('what has no parser, or not one of those that are known, is not watched', () => {
  for (const parser of [undefined, null, {}, Object.create({ constructor: { kOnMessageBegin: 0 } })])
    assert.equal(watchRequests({ parser }), false);
});

const SAFE = [
  `GET /${HEAD}\r\n`,
  `HEAD /a?b${HEAD}Accept: */*\r\n\r\n`,
  `OPTIONS *${HEAD}\r\n`,
  `GET /${HEAD}Upgrade-Insecure-Requests: 1\r\n\r\n`,
  `GET /upgrade:${HEAD}X-Upgrade: no\r\n\r\n`,
];

const UNSAFE = [
  ...['POST', 'PUT', 'DELETE', 'PATCH', 'CONNECT', 'TRACE', 'GETS'].map((method) => `${method} /${HEAD}\r\n`),
  `GET /${HEAD}`,
  `GET /${HEAD}\r`,
  `GET /${HEAD}\r\nx`,
  `GET /${HEAD}\r\n\r\n`,
  `\r\nGET /${HEAD}\r\n`,
  `GET /${HEAD}\r\nGET /${HEAD}\r\n`,
  `GET /${HEAD}\r\nPOST /${HEAD}\r\n`,
  'GET / HTTP/1.1\nHost: a\n\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET / HTTP/1.1\rHost: a\r\rPOST / HTTP/1.1\r\nHost: a\r\n\r\n',
  `GET /${HEAD}Content-Length: 2\r\n\r\nhi`,
  `GET /${HEAD}Connection: upgrade\r\nuPgRaDe: websocket\r\n\r\n`,
  `GET /${HEAD}Upgrade : websocket\r\n\r\n`,
  '',
];

test('one whole request with a safe method and nothing else may be answered again', () => {
  for (const text of SAFE) assert.equal(isSafeRequest(Buffer.from(text)), true, JSON.stringify(text));
  for (const text of UNSAFE) assert.equal(isSafeRequest(Buffer.from(text)), false, JSON.stringify(text));
  assert.equal(isSafeRequest(SAFE[0]), false, 'no bytes');
});
