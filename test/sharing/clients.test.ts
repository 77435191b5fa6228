// Clients that bring their own use of a socket: Node's https and http2, and undici. They work on a shared socket as on
// a direct one, native readers included.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';
import https from 'node:https';
import { before, describe, test } from 'node:test';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { Client, fetch, Agent as UndiciAgent } from 'undici';
import { type CountingOrigin, countingOrigin, type OriginOptions } from '#helpers/counting-origin.js';
import { PatternChecker, pattern, patternSha256 } from '#helpers/pattern.js';
import { fileScope, type Scope } from '#helpers/scope.js';
import { waitFor } from '#helpers/wait-for.js';
import { connectAs, MODES, type Mode, useTestDaemon } from './both-ways.ts';
import { makeTestPki, type TestPki } from './test-pki.ts';

const BODY_BYTES = 900_000;

let pki: TestPki;
const file = fileScope();
before(async () => {
  pki = await makeTestPki();
  await useTestDaemon(file);
});

interface Bench {
  origin: CountingOrigin;
  url: string;
  /** Connects to the origin. */
  connect(options?: ConnectionOptions): TLSSocket;
}

/** Runs the work in both ways; the results must be equal, and each way costs the origin one handshake. */
async function sameBothWays(
  scope: Scope,
  behaviour: OriginOptions['behaviour'],
  work: (bench: Bench, mode: Mode) => Promise<unknown>,
): Promise<void> {
  const results: unknown[] = [];
  for (const mode of MODES) {
    const tls = behaviour?.kind === 'http2' ? { ALPNProtocols: ['h2'] } : {};
    const origin = await countingOrigin(scope, { ...pki.good, tls, behaviour });
    const connect = (options: ConnectionOptions = {}): TLSSocket => {
      const socket = connectAs(mode, { host: 'localhost', port: origin.port, ca: pki.ca.cert, ...options });
      scope.after(() => void socket.destroy());
      return socket;
    };
    results.push(await work({ origin, url: `https://localhost:${origin.port}`, connect }, mode));
    await waitFor(() => origin.counts.handshakes > 0, { what: 'the handshake at the origin' });
    assert.deepEqual([origin.counts.connections, origin.counts.handshakes], [1, 1], mode);
  }
  assert.deepEqual(results[1], results[0]);
}

interface Answer {
  method: string;
  url: string;
  bodyBytes: number;
  bodySha256: string;
}

/** What of an answer is the same in each run. */
function essence(text: string): Answer {
  const { method, url, bodyBytes, bodySha256 } = JSON.parse(text) as Answer;
  return { method, url, bodyBytes, bodySha256 };
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}

async function checkPattern(stream: NodeJS.ReadableStream): Promise<number> {
  const checker = new PatternChecker();
  for await (const chunk of stream) checker.push(chunk as Buffer);
  return checker.bytes;
}

const posted = {
  bytes: BODY_BYTES,
  sha256: createHash('sha256').update(pattern(0, BODY_BYTES)).digest('hex'),
};

describe('P4: https', () => {
  function request(
    bench: Bench,
    agent: https.Agent | undefined,
    path: string,
    body?: Buffer,
  ): Promise<{ response: import('node:http').IncomingMessage; request: import('node:http').ClientRequest }> {
    return new Promise((resolve, reject) => {
      const options: https.RequestOptions = {
        path,
        method: body === undefined ? 'GET' : 'POST',
        host: 'localhost',
      };
      if (agent === undefined) options.createConnection = () => bench.connect();
      else Object.assign(options, { agent, port: bench.origin.port });
      const made = https.request(options, (response) => resolve({ response, request: made }));
      made.on('error', reject);
      made.end(body);
    });
  }

  function makeAgent(bench: Bench): https.Agent {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    Object.assign(agent, { createConnection: () => bench.connect() });
    return agent;
  }

  test('https.request with createConnection', async (t) => {
    await sameBothWays(t, { kind: 'http' }, async (bench) => {
      const { response } = await request(bench, undefined, '/one', pattern(0, BODY_BYTES));
      const socket = response.socket as TLSSocket;
      const seen = {
        status: response.statusCode,
        authorized: socket.authorized,
        encrypted: socket.encrypted,
      };
      const answer = essence(await textOf(response));
      assert.deepEqual([answer.bodyBytes, answer.bodySha256], [posted.bytes, posted.sha256]);
      return { seen, answer };
    });
  });

  test('an https.Agent keeps the connection for the next request', async (t) => {
    await sameBothWays(t, { kind: 'http' }, async (bench) => {
      const agent = makeAgent(bench);
      t.after(() => agent.destroy());
      const seen: unknown[] = [];
      for (const path of ['/one', '/two', '/bytes/300000', '/three']) {
        const { response, request: made } = await request(bench, agent, path);
        const bytes = path.startsWith('/bytes')
          ? await checkPattern(response)
          : (await textOf(response)).length > 0;
        seen.push([path, response.statusCode, made.reusedSocket, bytes]);
      }
      return seen;
    });
  });

  test('a response that closes the connection', async (t) => {
    await sameBothWays(t, { kind: 'http' }, async (bench) => {
      const { response } = await request(bench, undefined, '/close');
      const { socket } = response;
      const closed = once(socket, 'close');
      const answer = essence(await textOf(response));
      const [hadError] = await closed;
      return { answer, hadError, connection: response.headers.connection };
    });
  });

  test('a request that is given up half-way', async (t) => {
    await sameBothWays(t, { kind: 'http' }, async (bench) => {
      const { response, request: made } = await request(bench, undefined, '/bytes/5000000');
      await once(response, 'data');
      const failed = once(response, 'error');
      made.destroy();
      const [error] = await failed;
      return [error.name, error.message, error.code];
    });
  });
});

describe('P4: http2', () => {
  test('http2.connect over createConnection', async (t) => {
    await sameBothWays(t, { kind: 'http2' }, async (bench) => {
      const session = http2.connect(bench.url, {
        createConnection: () => bench.connect({ ALPNProtocols: ['h2'] }),
      });
      t.after(() => session.destroy());
      await once(session, 'connect');
      const ask = async (path: string, body?: Buffer): Promise<unknown> => {
        const stream = session.request({ ':path': path, ':method': body === undefined ? 'GET' : 'POST' });
        stream.end(body);
        const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
        const content = path.startsWith('/bytes')
          ? await checkPattern(stream)
          : essence(await textOf(stream));
        return [path, headers[':status'], content];
      };
      const paths = Array.from({ length: 20 }, (_, index) =>
        index % 4 === 0 ? '/bytes/200000' : `/${index}`,
      );
      const answers = await Promise.all(paths.map((path) => ask(path)));
      answers.push(await ask('/post', pattern(0, BODY_BYTES)));
      const closed = once(session, 'close');
      session.close();
      await closed;
      return answers;
    });
  });

  test('an http2 session on an open socket knows that it is a TLS socket', async (t) => {
    await sameBothWays(t, { kind: 'http2' }, async (bench) => {
      const socket = bench.connect({ ALPNProtocols: ['h2'] });
      await once(socket, 'secureConnect');
      const session = http2.connect(bench.url, { createConnection: () => socket });
      await once(session, 'connect');
      const seen = {
        alpn: session.alpnProtocol,
        encrypted: session.encrypted,
        origins: session.originSet?.length,
      };
      session.destroy();
      return seen;
    });
  });
});

describe('P4: undici', () => {
  /** undici's own way to be given connections. */
  function connector(bench: Bench) {
    return (_options: unknown, done: (error: Error | null, socket: TLSSocket | null) => void): void => {
      const socket = bench.connect({ ALPNProtocols: ['http/1.1'] });
      socket.once('secureConnect', () => done(null, socket)).once('error', (error) => done(error, null));
    };
  }

  test('requests of a Client', async (t) => {
    await sameBothWays(t, { kind: 'http' }, async (bench) => {
      const client = new Client(bench.url, { connect: connector(bench) as never });
      const seen: unknown[] = [];
      for (const path of ['/one', '/two']) {
        const { statusCode, body } = await client.request({ method: 'GET', path });
        seen.push([statusCode, essence(await body.text())]);
      }
      const large = await client.request({ method: 'GET', path: '/bytes/700000' });
      seen.push(await checkPattern(large.body));
      const post = await client.request({ method: 'POST', path: '/post', body: pattern(0, BODY_BYTES) });
      const answer = essence(await post.body.text());
      assert.deepEqual([answer.bodyBytes, answer.bodySha256], [posted.bytes, posted.sha256]);
      await client.close();
      return seen;
    });
  });

  test('fetch with a dispatcher', async (t) => {
    await sameBothWays(t, { kind: 'http' }, async (bench) => {
      const dispatcher = new UndiciAgent({ connect: connector(bench) as never, connections: 1 });
      const seen: unknown[] = [];
      for (const path of ['/one', '/two']) {
        const response = await fetch(`${bench.url}${path}`, { dispatcher });
        seen.push([response.status, essence(await response.text())]);
      }
      const bytes = Buffer.from(
        await (await fetch(`${bench.url}/bytes/100000`, { dispatcher })).arrayBuffer(),
      );
      seen.push(createHash('sha256').update(bytes).digest('hex') === patternSha256(100_000));
      await dispatcher.close();
      return seen;
    });
  });
});
