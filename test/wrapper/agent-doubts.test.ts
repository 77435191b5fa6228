// Which HTTP exchanges leave a session that may go back to the pool, and which do not. Each case is a real exchange
// with an origin that says what the case needs; the oracle is the daemon's own list of sessions: what was given back
// is idle there, what was not is gone.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import https from 'node:https';
import { before, test } from 'node:test';
import { type AskOptions, ask, send, untilFree, untilStates } from '#helpers/agent-client.js';
import { type HttpOrigin, httpOrigin, type OriginRequest, ok } from '#helpers/http-origin.js';
import { fileScope } from '#helpers/scope.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import { Agent } from '#src/index.js';

/** Longer than any test: nothing goes back because of time. */
const NEVER_MS = 600_000;

const scope = fileScope();
let ca: Authority;
let leaf: Certificate;
let daemon: TestDaemon;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost'] });
  daemon = await startTestDaemon(scope);
  process.env.TLSHUB_DIR = daemon.directory;
});

const head = (status: string, ...headers: string[]) =>
  [`HTTP/1.1 ${status}`, ...headers, '', ''].join('\r\n');

/** What the origin answers, by path. */
const ANSWERS: Readonly<Record<string, string>> = {
  '/ok': ok('fine'),
  '/head': head('200 OK', 'Content-Length: 1000'),
  '/no-content': head('204 No Content'),
  '/not-modified': head('304 Not Modified', 'Content-Length: 1000'),
  '/chunked': `${head('200 OK', 'Transfer-Encoding: chunked')}4\r\nfine\r\n0\r\nX-Trailer: 1\r\n\r\n`,
  '/hints': head('103 Early Hints', 'Link: </a.css>') + ok('fine'),
  '/basic': ok('denied', ['WWW-Authenticate: Basic realm="here"']),
  '/close': ok('fine', ['Connection: close']),
  '/http-1.0': 'HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine',
  '/closes-soon': ok('fine', ['Keep-Alive: timeout=1']),
  '/half-of-another': `${ok('fine')}HTTP/1.1 2`,
  '/another': ok('fine') + ok('evil'),
  '/ntlm': ok('denied', ['WWW-Authenticate: Basic realm="here"', 'WWW-Authenticate: NTLM']),
  '/negotiate': ok('fine', ['WWW-Authenticate: Negotiate oYH=']),
  '/proxy-negotiate': ok('denied', ['Proxy-Authenticate: negotiate']),
  '/persistent-auth': ok('fine', ['Persistent-Auth: true']),
  '/early': ok('fine'),
  '/half': `${head('200 OK', 'Content-Length: 1000')}half`,
  '/upgrade': head('101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: echo'),
  'proxied:443': head('200 OK'),
  '/silent': '',
};

function answer({ path, socket }: OriginRequest): void {
  const text = ANSWERS[path];
  assert.notEqual(text, undefined, `no answer for ${path}`);
  if (text) socket.write(text);
  if (path === '/close' || path === '/http-1.0') socket.end();
}

/** Does the exchange of a case, and resolves when the agent has no request left. */
type Exchange = (agent: Agent, origin: HttpOrigin) => Promise<unknown>;

const asking =
  (options: AskOptions): Exchange =>
  async (agent, { port }) => {
    await ask({ agent, port, ...options });
    await untilFree(agent);
  };

/** As `asking`, for an exchange after which the agent keeps no socket. */
const askingOnce =
  (options: AskOptions): Exchange =>
  async (agent, { port }) => {
    await ask({ agent, port, ...options });
    await untilFree(agent, 0);
  };

const GOOD: Readonly<Record<string, Exchange>> = {
  'a response with a length': asking({ path: '/ok' }),
  'a chunked response with trailers': asking({ path: '/chunked' }),
  'a response to HEAD': asking({ path: '/head', method: 'HEAD' }),
  'a response without content': asking({ path: '/no-content' }),
  'a response that nothing has changed': asking({ path: '/not-modified' }),
  'a response after a hint': asking({ path: '/hints' }),
  'a request with a body of the length that it says': asking({
    path: '/ok',
    method: 'POST',
    headers: { 'content-length': 4 },
    body: ['bo', 'dy'],
  }),
  'a request with a chunked body': asking({ path: '/ok', method: 'POST', body: ['bo', 'dy'] }),
  'a request with a password': asking({ path: '/basic', auth: 'user:password' }),
  'several exchanges': async (agent, origin) => {
    for (const path of ['/ok', '/hints', '/chunked']) await asking({ path })(agent, origin);
    assert.equal(origin.connections, 1);
  },
  'a response that the application reads late': async (agent, { port }) => {
    const response = await responseTo(agent, port, '/ok');
    await waitFor(() => response.complete, { what: 'the whole response' });
    response.resume();
    await untilFree(agent);
  },
};

const DOUBTFUL: Readonly<Record<string, Exchange>> = {
  'a response with Connection: close': askingOnce({ path: '/close' }),
  'a request with Connection: close': asking({ path: '/ok', headers: { connection: 'close' } }),
  'a response of HTTP/1.0': askingOnce({ path: '/http-1.0' }),
  'a response after which the peer closes soon': askingOnce({ path: '/closes-soon' }),
  'a response with half of another behind it': asking({ path: '/half-of-another' }),
  'a response with another behind it': async (agent, { port }) => {
    await ask({ agent, port, path: '/another' }).catch(() => undefined);
    await untilFree(agent, 0);
  },
  'a challenge of NTLM': asking({ path: '/ntlm' }),
  'a response of Negotiate': asking({ path: '/negotiate' }),
  'a challenge of Negotiate by a proxy': asking({ path: '/proxy-negotiate' }),
  'a response that says that the authentication stays': asking({ path: '/persistent-auth' }),
  'a request with NTLM': asking({ path: '/ok', headers: { Authorization: 'NTLM TlRM' } }),
  'a request with Negotiate, in a list of headers': asking({
    path: '/ok',
    headers: [
      'Host',
      'localhost',
      'Proxy-Authorization',
      'negotiate YII=',
    ] as unknown as AskOptions['headers'],
  }),
  'a body that is shorter than it says': asking({
    path: '/early',
    method: 'POST',
    headers: { 'content-length': 10 },
    body: 'body',
  }),
  'a body that is longer than it says': asking({
    path: '/ok',
    method: 'POST',
    headers: { 'content-length': 3 },
    body: 'body',
  }),
  'a body of both lengths': asking({
    path: '/ok',
    method: 'POST',
    headers: { 'content-length': 4, 'transfer-encoding': 'chunked' },
    body: 'body',
  }),
  'a response before the end of the request': async (agent, { port }) => {
    const headers = { 'content-length': 4 };
    const request = https.request({
      agent,
      port,
      host: 'localhost',
      path: '/early',
      method: 'POST',
      headers,
    });
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    request.write('bo');
    const [response] = await within(answered, { what: 'the response' });
    await once(response.resume(), 'end');
    request.end('dy');
    await untilFree(agent);
  },
  'bytes that come while the socket is free': async (agent, origin) => {
    await asking({ path: '/ok' })(agent, origin);
    origin.requests[0]?.socket.write('HTTP/1.1 408 Request Timeout\r\n\r\n');
    await untilFree(agent, 0);
  },
  'bytes that come before the application has read the response': async (agent, { port, requests }) => {
    const response = await responseTo(agent, port, '/ok');
    await waitFor(() => response.complete, { what: 'the whole response' });
    const { socket } = response;
    const before = socket.bytesRead;
    requests[0]?.socket.write('stray');
    await waitFor(() => socket.bytesRead > before, { what: 'the stray bytes' });
    response.resume();
    await waitFor(() => Object.keys(agent.sockets).length === 0, { what: 'the end of the exchange' });
  },
  'an upgrade': async (agent, { port }) => {
    const headers = { connection: 'upgrade', upgrade: 'echo' };
    const request = send({ agent, port, path: '/upgrade', headers });
    await within(once(request, 'upgrade'), { what: 'the upgrade' });
    request.socket?.destroy();
  },
  'an upgrade that the application does not take': async (agent, { port }) => {
    const headers = { connection: 'upgrade', upgrade: 'echo' };
    await within(once(send({ agent, port, path: '/upgrade', headers }), 'close'), { what: 'the end' });
  },
  'a tunnel': async (agent, { port }) => {
    const request = send({
      agent,
      port,
      path: 'proxied:443',
      method: 'CONNECT',
      headers: { host: 'localhost' },
    });
    await within(once(request, 'connect'), { what: 'the tunnel' });
    request.socket?.destroy();
  },
  'an aborted request': async (agent, { port }) => {
    const response = await responseTo(agent, port, '/half');
    response.on('error', () => undefined);
    (response as IncomingMessage & { req: ClientRequest }).req.destroy();
    await untilFree(agent, 0);
  },
  'a response that is not read to its end': async (agent, { port }) => {
    const response = await responseTo(agent, port, '/half');
    response.destroy();
    await untilFree(agent, 0);
  },
  'a request that got no answer in time': async (agent, { port, requests }) => {
    const request = send({ agent, port, path: '/silent' });
    request.on('error', () => undefined);
    await waitFor(() => requests.length === 1, { what: 'the request' });
    const timedOut = once(request, 'timeout');
    request.setTimeout(1);
    await within(timedOut, { what: 'the timeout' });
    request.destroy();
    await untilFree(agent, 0);
  },
  'a signal that aborts': async (agent, { port, requests }) => {
    const controller = new AbortController();
    const request = send({ agent, port, path: '/silent', signal: controller.signal });
    request.on('error', () => undefined);
    await waitFor(() => requests.length === 1, { what: 'the request' });
    controller.abort();
    await untilFree(agent, 0);
  },
};

/** A response whose body is not read yet. */
function responseTo(agent: Agent, port: number, path: string): Promise<IncomingMessage> {
  const response = new Promise<IncomingMessage>((resolve) => {
    send({ agent, port, path }, (message) => {
      message.pause();
      resolve(message);
    }).on('error', () => undefined);
  });
  return within(response, { what: 'the response' });
}

for (const [title, exchange] of Object.entries(GOOD)) {
  test(`P7: after ${title} the session goes back`, async (t) => {
    const origin = await httpOrigin(t, leaf, answer);
    const agent = new Agent({ ca: ca.cert, releaseAfter: NEVER_MS, shared: { fallback: false } });
    await exchange(agent, origin);
    agent.destroy();
    await untilStates(daemon, origin.port, ['idle']);
  });
}

for (const [title, exchange] of Object.entries(DOUBTFUL)) {
  test(`P7: after ${title} the session does not go back`, async (t) => {
    const origin = await httpOrigin(t, leaf, answer);
    const agent = new Agent({ ca: ca.cert, releaseAfter: NEVER_MS, shared: { fallback: false } });
    await exchange(agent, origin);
    agent.destroy();
    await untilStates(daemon, origin.port, []);
    assert.equal(origin.connections, 1);
  });
}
