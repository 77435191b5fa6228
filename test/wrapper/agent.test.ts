// tls.Agent in one process: how long it keeps a lease, when it gives sessions back, and what it does where nothing can
// be shared. Which exchanges leave a doubt is in agent-doubts.test.ts; processes are in ../e2e.
import assert from 'node:assert/strict';
import dns from 'node:dns';
import { once } from 'node:events';
import { createServer } from 'node:http';
import https from 'node:https';
import { connect as connectTo, type Socket } from 'node:net';
import { before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { ask, freeSockets, send, untilFree, untilStates } from '#helpers/agent-client.js';
import { countingOrigin } from '#helpers/counting-origin.js';
import { httpOrigin, ok } from '#helpers/http-origin.js';
import { listen } from '#helpers/listen.js';
import { fileScope } from '#helpers/scope.js';
import { opened } from '#helpers/streams.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import tls, { Agent, type AgentOptions } from '#src/index.js';

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

const agentWith = (options: AgentOptions = {}) =>
  new Agent({ ca: ca.cert, releaseAfter: NEVER_MS, shared: { fallback: false }, ...options });

const http = { kind: 'http' } as const;

test('a free session goes back after a while, and the next request gets it again', async (t) => {
  const origin = await httpOrigin(t, leaf);
  const agent = agentWith({ releaseAfter: 1 });
  const first = await ask({ agent, port: origin.port });
  await untilStates(daemon, origin.port, ['idle']);
  await waitFor(() => first.socket.closed, { what: 'the close of the socket' });
  assert.deepEqual([Object.keys(agent.sockets), Object.keys(agent.freeSockets)], [[], []]);
  const second = await ask({ agent, port: origin.port });
  assert.notEqual(second.socket, first.socket);
  assert.deepEqual([first.body, second.body, origin.connections], ['1', '1', 1]);
  assert.deepEqual([first.reusedSocket, second.reusedSocket], [false, true]);
  await untilStates(daemon, origin.port, ['idle']);
});

test('by default it goes back by itself too', async (t) => {
  const origin = await httpOrigin(t, leaf);
  const agent = new tls.Agent({ ca: ca.cert });
  await ask({ agent, port: origin.port });
  await untilStates(daemon, origin.port, ['idle']);
});

test('a burst of requests is one lease', async (t) => {
  const origin = await httpOrigin(t, leaf);
  const agent = agentWith();
  const sockets = new Set<unknown>();
  for (let count = 0; count < 20; count += 1) sockets.add((await ask({ agent, port: origin.port })).socket);
  const [session] = (await daemon.sessions()).filter(({ peer }) => peer === `localhost:${origin.port}`);
  assert.deepEqual([sockets.size, session?.leases, session?.state], [1, 1, 'leased']);
  agent.destroy();
});

test('a request takes the socket before its session goes back', async (t) => {
  const origin = await httpOrigin(t, leaf);
  const agent = agentWith({ releaseAfter: 20 });
  const { socket } = await ask({ agent, port: origin.port });
  await untilFree(agent);
  const slow = await countingOrigin(t, { ...leaf, behaviour: http });
  const request = send({ agent, port: origin.port, method: 'POST', headers: { 'content-length': 1 } });
  // The other origin's session is freed later, and goes back by time: the first one's time is over then.
  await ask({ agent, port: slow.port });
  await untilStates(daemon, slow.port, ['idle']);
  assert.equal(request.socket, socket);
  assert.equal(socket.destroyed, false);
  request.destroy();
  request.on('error', () => undefined);
  await untilStates(daemon, origin.port, []);
});

test('requests at the same time get sessions of their own, and all go back', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: http });
  const agent = agentWith();
  const round = () => Promise.all(Array.from({ length: 4 }, () => ask({ agent, port: origin.port })));
  await round();
  await untilFree(agent, 4);
  agent.destroy();
  await untilStates(daemon, origin.port, ['idle', 'idle', 'idle', 'idle']);
  await round();
  assert.equal(origin.counts.connections, 4);
  agent.destroy();
});

test('requests wait for a socket as with any agent', async (t) => {
  const origin = await httpOrigin(t, leaf);
  const agent = agentWith({ maxSockets: 1 });
  const answers = await Promise.all(Array.from({ length: 5 }, () => ask({ agent, port: origin.port })));
  assert.equal(new Set(answers.map(({ socket }) => socket)).size, 1);
  await untilFree(agent);
  agent.destroy();
  await untilStates(daemon, origin.port, ['idle']);
});

test('the time of a free socket gives its session back, not up', async (t) => {
  const origin = await httpOrigin(t, leaf);
  const agent = agentWith({ timeout: 30 });
  const { socket } = await ask({ agent, port: origin.port });
  await waitFor(() => socket.closed, { what: 'the close of the socket' });
  await untilStates(daemon, origin.port, ['idle']);
});

test('destroy() leaves requests unanswered and gives free sessions back', async (t) => {
  const origin = await httpOrigin(t, leaf, ({ path, socket }) => path === '/' && socket.write(ok('')));
  const agent = agentWith();
  const request = send({ agent, port: origin.port, path: '/silent' });
  const failed = new Promise<Error>((resolve) => request.once('error', resolve));
  await waitFor(() => origin.requests.length === 1, { what: 'the request' });
  await ask({ agent, port: origin.port });
  await waitFor(() => freeSockets(agent).length === 1, { what: 'the free socket' });
  agent.destroy();
  assert.match((await failed).message, /socket hang up/);
  await untilStates(daemon, origin.port, ['idle']);
});

test('a socket with an authenticated connection serves this process, and nobody else', async (t) => {
  const origin = await httpOrigin(t, leaf, ({ socket, connection, path }) => {
    socket.write(ok(connection, path === '/login' ? ['WWW-Authenticate: Negotiate oYH='] : []));
  });
  const other = await httpOrigin(t, leaf);
  const agent = agentWith({ releaseAfter: 1 });
  const login = await ask({ agent, port: origin.port, path: '/login' });
  // Freed later, goes back by time: then the time of the first one would be over.
  await ask({ agent, port: other.port });
  await untilStates(daemon, other.port, ['idle']);
  const next = await ask({ agent, port: origin.port });
  assert.deepEqual([next.socket === login.socket, next.body, next.reusedSocket], [true, '1', true]);
  agent.destroy();
  await untilStates(daemon, origin.port, []);
});

test('P2: a request with its own `shared` does not get a socket of another', async (t) => {
  const origin = await httpOrigin(t, leaf);
  const agent = agentWith();
  await ask({ agent, port: origin.port });
  await untilFree(agent);
  const direct = await ask({ agent, port: origin.port, shared: false });
  assert.deepEqual([direct.body, direct.reusedSocket, direct.socket.sharing], ['2', false, undefined]);
  assert.equal((await ask({ agent, port: origin.port })).body, '1');
  agent.destroy();
});

test('P3: `shared: false` is a keep-alive agent of node:https', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: http });
  const agent = agentWith({ shared: false, releaseAfter: 1 });
  const first = await ask({ agent, port: origin.port });
  assert.equal(first.socket.constructor.name, 'TLSSocket');
  await untilFree(agent);
  const second = await ask({ agent, port: origin.port });
  assert.deepEqual([second.socket === first.socket, second.reusedSocket], [true, true]);
  agent.destroy();
  await untilStates(daemon, origin.port, []);
});

test('P5: what cannot be shared is kept alive in the process, with a reason', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: http });
  const agent = agentWith({ shared: true, releaseAfter: 1 });
  const { lookup } = dns;
  const ask1 = () => ask({ agent, port: origin.port, lookup: (...args) => lookup(...args) });
  const first = await ask1();
  assert.deepEqual(
    [first.socket.sharing.shared, first.socket.sharing.reason?.includes('lookup')],
    [false, true],
  );
  await untilFree(agent);
  const second = await ask1();
  assert.equal(second.socket, first.socket);
  await untilFree(agent);
  agent.destroy();
  const third = await ask1();
  assert.match(String(third.socket.sharing.reason), /lookup/);
  agent.destroy();
  // As with https.Agent, the second connection resumes the session of the first.
  assert.deepEqual([origin.counts.handshakes, origin.counts.resumptions], [1, 1]);
});

test('P5: without a daemon sockets are kept alive in the process', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: http });
  const agent = agentWith({ shared: true, releaseAfter: 1 });
  process.env.TLSHUB_DIR = `/${'too-long'.repeat(20)}`;
  t.after(() => {
    process.env.TLSHUB_DIR = daemon.directory;
  });
  const first = await ask({ agent, port: origin.port });
  assert.equal(first.socket.sharing.shared, false);
  assert.notEqual(first.socket.sharing.reason, null);
  const other = await httpOrigin(t, leaf);
  process.env.TLSHUB_DIR = daemon.directory;
  await ask({ agent, port: other.port });
  await untilStates(daemon, other.port, ['idle']);
  const second = await ask({ agent, port: origin.port });
  assert.deepEqual([second.socket === first.socket, second.reusedSocket], [true, true]);
  agent.destroy();
});

test('when the daemon ends, free sockets are closed and busy ones serve their request', async (t) => {
  const own = await startTestDaemon(t, { arguments: ['--drain-deadline', '60s'] });
  process.env.TLSHUB_DIR = own.directory;
  t.after(() => {
    process.env.TLSHUB_DIR = daemon.directory;
  });
  let finish: (() => void) | undefined;
  const origin = await httpOrigin(t, leaf, ({ path, socket }) => {
    if (path === '/slow') finish = () => socket.write(ok('slow'));
    else socket.write(ok('fast'));
  });
  const agent = agentWith();
  const slow = ask({ agent, port: origin.port, path: '/slow' });
  const fast = await ask({ agent, port: origin.port });
  await waitFor(() => finish !== undefined && freeSockets(agent).length === 1, { what: 'both requests' });
  own.child.kill('SIGTERM');
  await waitFor(() => fast.socket.closed, { what: 'the close of the free socket' });
  finish?.();
  const answer = await slow;
  assert.equal(answer.body, 'slow');
  await waitFor(() => answer.socket.closed, { what: 'the close of the busy socket' });
  await waitFor(() => own.child.exitCode !== null, { what: 'the end of the daemon' });
  assert.equal(own.child.exitCode, 0);
});

test('P16: when the daemon dies, requests fail with one error, and the next ones work', async (t) => {
  const own = await startTestDaemon(t);
  process.env.TLSHUB_DIR = own.directory;
  t.after(() => {
    process.env.TLSHUB_DIR = daemon.directory;
  });
  const origin = await httpOrigin(t, leaf, ({ path, socket }) => path === '/' && socket.write(ok('fine')));
  const agent = agentWith();
  const request = send({ agent, port: origin.port, path: '/silent' });
  const failed = once(request, 'error') as Promise<[NodeJS.ErrnoException]>;
  await ask({ agent, port: origin.port });
  await waitFor(() => origin.requests.length === 2 && freeSockets(agent).length === 1, {
    what: 'both requests',
  });
  await own.kill('SIGKILL');
  assert.equal((await within(failed, { what: 'the error' }))[0].code, 'ERR_TLSHUB_DAEMON_LOST');
  await untilFree(agent, 0);
  await startTestDaemon(t, { directory: own.directory });
  const { body, socket } = await ask({ agent, port: origin.port });
  assert.deepEqual([body, socket.sharing.shared], ['fine', true]);
  agent.destroy();
});

test('P5: through a proxy the session is one of this process', async (t) => {
  const origin = await httpOrigin(t, leaf);
  const tunnels: unknown[] = [];
  const proxy = createServer().on('connect', ({ url }, client: Socket) => {
    tunnels.push(url);
    const peer = connectTo(origin.port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      client.pipe(peer).pipe(client);
    });
    for (const socket of [client, peer]) socket.on('error', () => undefined);
    t.after(() => void client.destroy());
  });
  const port = await listen(proxy);
  t.after(() => void proxy.close());
  const options = { proxyEnv: { HTTPS_PROXY: `http://127.0.0.1:${port}` } };
  const agent = agentWith({ ...options, shared: true });
  assert.equal((await ask({ agent, port: origin.port })).body, '1');
  agent.destroy();
  // Not every version of Node knows proxies.
  const goesThrough = Object.getOwnPropertySymbols(new https.Agent(options)).some(
    ({ description }) => description === 'kProxyConfig',
  );
  assert.deepEqual(tunnels, goesThrough ? [`localhost:${origin.port}`] : []);
  await untilStates(daemon, origin.port, goesThrough ? [] : ['idle']);
});

test('P2: a check of the peer that one request brought is not used for another', async (t) => {
  const origin = await httpOrigin(t, leaf);
  // A Node that keeps no socket of such a request has a method for it: its session goes back at once.
  const keepsNone = Object.hasOwn(https.Agent.prototype, 'keepSocketAlive');
  const agent = agentWith({ releaseAfter: keepsNone ? NEVER_MS : 1 });
  const checked: string[] = [];
  const askChecked = (by: string) =>
    ask({
      agent,
      port: origin.port,
      checkServerIdentity: () => {
        checked.push(by);
        return undefined;
      },
    });
  await askChecked('first');
  await untilStates(daemon, origin.port, ['idle']);
  const second = await askChecked('second');
  assert.deepEqual([checked, second.body], [['first', 'second'], '1']);
  await untilStates(daemon, origin.port, ['idle']);
  agent.destroy();
});

test('agents of other libraries may borrow createConnection', async (t) => {
  const origin = await httpOrigin(t, leaf);
  class Borrower extends https.Agent {}
  Object.assign(Borrower.prototype, {
    createConnection: Agent.prototype.createConnection,
    getName: Agent.prototype.getName,
  });
  const agent = new Borrower({ ca: ca.cert, keepAlive: true });
  assert.equal((await ask({ agent, port: origin.port })).status, 200);
  agent.destroy();
});

test('createConnection takes a port and a host too', async (t) => {
  const origin = await httpOrigin(t, leaf);
  const agent = agentWith() as unknown as { createConnection(...args: unknown[]): TLSSocket };
  const socket = agent.createConnection(origin.port, 'localhost', { ca: ca.cert });
  await opened(socket);
  assert.equal((socket as unknown as { sharing: { shared: boolean } }).sharing.shared, true);
  socket.destroy();
});

test('wrong options throw', () => {
  const wrong = [
    { releaseAfter: -1 },
    { releaseAfter: 1.5 },
    { releaseAfter: '1' },
    { shared: 'yes' },
    { shared: { wait: -1 } },
    { shared: { name: 'one' } },
  ];
  for (const options of wrong) {
    assert.throws(() => new Agent(options as AgentOptions), { code: 'ERR_TLSHUB_INVALID_OPTION' });
  }
  assert.throws(() => new Agent({ scheduling: 'random' as 'fifo' }), { code: 'ERR_INVALID_ARG_VALUE' });
});

test('it is an https.Agent that keeps connections alive', () => {
  const agent = new Agent({ keepAlive: false, maxSockets: 3 });
  assert.ok(agent instanceof https.Agent);
  const { keepAlive } = agent as unknown as { keepAlive: boolean };
  assert.deepEqual([keepAlive, agent.maxSockets, 'releaseAfter' in agent.options], [true, 3, false]);
  assert.deepEqual(process.listeners('exit').length <= 1, true);
});
