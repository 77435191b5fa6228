// Servers of unchanged programs under tlshub/register: which of them the daemon has, by `shared` and by
// TLSHUB_SHARE_SERVERS, and that all others are exactly Node's.
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { unusedPort } from '#helpers/listen.js';
import { runNodeForJson } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { type Certificate, createCa } from '#src/cli/demo/pki.js';

const scope = fileScope();
let ca: string;
let leaf: Certificate;
let daemon: TestDaemon;
before(async () => {
  const authority = await createCa({ name: 'Test root' });
  ca = authority.cert;
  leaf = await authority.issue({ names: ['localhost', '127.0.0.1'] });
  daemon = await startTestDaemon(scope);
});

/** Makes a server in each way there is, talks to it, and prints what it says of its sharing, and its own members. */
const PROGRAM = `
  import https from 'node:https';
  import { createServer as createHttps } from 'node:https';
  import tls from 'node:tls';
  import { once } from 'node:events';
  const { CERT: cert, KEY: key, CA: ca, PORT, OPTIONS } = process.env;
  const early = process.env.EARLY && await import('node:http2');
  if (process.env.EARLY) await import('tlshub/register');
  const http2 = await import('node:http2');
  const options = { cert, key, ...JSON.parse(OPTIONS ?? '{}') };
  const hello = (socket) => socket.end('hello');
  const answer = (request, response) => response.end('hello');
  class Heir extends https.Server {}
  class OldHeir { constructor(...args) { Reflect.apply(tls.Server, this, args); } }
  Object.setPrototypeOf(OldHeir.prototype, tls.Server.prototype);
  const make = {
    'tls.createServer': () => tls.createServer(options, hello),
    'new tls.Server': () => new tls.Server(options, hello),
    'tls.Server': () => tls.Server(options, hello),
    'heir of the old kind': () => new OldHeir(options, hello),
    'https.createServer': () => https.createServer(options, answer),
    'createServer of node:https': () => createHttps(options, answer),
    'new https.Server': () => new https.Server(options, answer),
    'heir of https.Server': () => new Heir(options, answer),
    'http2.createSecureServer': () => http2.createSecureServer(options, answer),
  };
  const said = {};
  for (const [name, makeOne] of Object.entries(make)) {
    const server = makeOne();
    server.on('clientError', () => {}).on('sessionError', () => {});
    server.listen(Number(PORT), '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    const ALPNProtocols = name.startsWith('http2') ? ['h2'] : ['http/1.1'];
    const socket = tls.connect({ host: '127.0.0.1', port, ca, shared: false, ALPNProtocols }).on('error', () => {});
    let text = '';
    let protocol;
    if (name.startsWith('http2')) {
      const session = http2.connect('https://127.0.0.1:' + port, { createConnection: () => socket });
      for await (const chunk of session.request({ ':path': '/' })) text += chunk;
      session.close();
    } else {
      socket.on('data', (chunk) => { text += chunk; });
      await once(socket, 'secureConnect');
      if (/https/.test(name)) socket.write('GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n');
      await once(socket, 'close');
    }
    said[name] = [server.sharing?.shared ?? null, text.endsWith('hello') ? socket.alpnProtocol : text];
    if (process.env.MEMBERS) said[name].push(Object.getOwnPropertyNames(server).sort(), server.eventNames().map(String));
    server.close();
    await once(server, 'close');
  }
  console.log(JSON.stringify(said));
`;

type Said = Record<string, [shared: boolean | null, protocol: string | false, ...unknown[]]>;

async function run(env: Record<string, string | undefined>, registers = true): Promise<Said> {
  return (await runNodeForJson(PROGRAM, {
    nodeArguments: registers ? ['--import', 'tlshub/register'] : [],
    env: {
      ...{
        TLSHUB_DIR: daemon.directory,
        TLSHUB_SHARE: 'off',
        TLSHUB_SHARE_SERVERS: undefined,
        EARLY: undefined,
      },
      ...{ CERT: leaf.cert, KEY: leaf.key, CA: ca, PORT: '0', ...env },
    },
  })) as Said;
}

/** What every server said. */
function sharings(said: Said): unknown[] {
  assert.equal(Object.keys(said).length, 9);
  return [...new Set(Object.values(said).map(([shared]) => shared))];
}

test('P3: without `shared` and without a policy every server is exactly the one of Node', async (t) => {
  const nodes = await run({ MEMBERS: '1' }, false);
  const directory = tempDir(t);
  const ours = await run({ MEMBERS: '1', TLSHUB_DIR: directory });
  assert.deepEqual(ours, nodes);
  assert.deepEqual(await run({ MEMBERS: '1', TLSHUB: 'off', TLSHUB_SHARE_SERVERS: 'all' }), nodes);
  assert.deepEqual(sharings(nodes), [null]);
});

test('every entry point understands `shared`, and the protocols of HTTP stay', async () => {
  const said = await run({ OPTIONS: '{"shared":true}' });
  assert.deepEqual(sharings(said), [true]);
  const nodes = await run({}, false);
  for (const [name, [, protocol]] of Object.entries(nodes)) assert.equal(said[name]?.[1], protocol, name);
});

test('http2 that was loaded before understands it too', async () => {
  assert.deepEqual(sharings(await run({ EARLY: '1', OPTIONS: '{"shared":true}' }, false)), [true]);
  assert.deepEqual(sharings(await run({ EARLY: '1', TLSHUB_SHARE_SERVERS: 'all' }, false)), [true]);
});

test('TLSHUB_SHARE_SERVERS=all shares servers that say nothing, and `shared: false` wins', async () => {
  assert.deepEqual(sharings(await run({ TLSHUB_SHARE_SERVERS: 'all' })), [true]);
  assert.deepEqual(sharings(await run({ TLSHUB_SHARE_SERVERS: 'all', OPTIONS: '{"shared":false}' })), [null]);
});

test("a list of ports shares the servers that listen on them; the others are Node's", async () => {
  const port = String(await unusedPort());
  assert.deepEqual(sharings(await run({ PORT: port, TLSHUB_SHARE_SERVERS: `1,${port}` })), [true]);
  assert.deepEqual(sharings(await run({ TLSHUB_SHARE_SERVERS: port })), [null]);
  assert.deepEqual(sharings(await run({ TLSHUB_SHARE_SERVERS: port, OPTIONS: '{"shared":true}' })), [true]);
});

test('what cannot cross listens by itself, and changes of certificates end a sharing that nobody asked for', async () => {
  const said = await runNodeForJson(
    `
    import https from 'node:https';
    import { once } from 'node:events';
    const { CERT: cert, KEY: key } = process.env;
    const said = [];
    for (const change of [
      (server) => server,
      (server) => server.getTicketKeys(),
      (server) => server.addContext('a.test', { cert, key, unheardOf: 1 }),
      (server) => server.addContext('a.test', { cert, key }),
    ]) {
      const server = https.createServer({ cert, key });
      change(server);
      server.listen(0);
      await once(server, 'listening');
      said.push(server.sharing?.shared ?? null);
      server.close();
    }
    const server = https.createServer({ cert, key, pskCallback: () => null }).listen(0);
    await once(server, 'listening');
    said.push(server.sharing);
    server.close();
    console.log(JSON.stringify(said));
  `,
    {
      nodeArguments: ['--import', 'tlshub/register'],
      env: { TLSHUB_DIR: daemon.directory, CERT: leaf.cert, KEY: leaf.key, TLSHUB_SHARE_SERVERS: 'all' },
    },
  );
  const reason =
    'option "pskCallback" cannot be shared: A function of the application cannot run in the daemon.';
  assert.deepEqual((said as unknown[]).slice(0, 4), [true, null, null, true]);
  assert.equal((said as { shared: boolean }[])[4]?.shared, false, reason);
});

test('the daemon itself is left alone, also where NODE_OPTIONS loads tlshub/register into every program', async (t) => {
  const env = { TLSHUB_DIR: tempDir(t), TLSHUB_SHARE_SERVERS: 'all' };
  const registered = await startTestDaemon(t, { nodeArguments: ['--import', 'tlshub/register'], env });
  const said = await runNodeForJson(
    `
    import https from 'tlshub/https';
    import { once } from 'node:events';
    const { CERT: cert, KEY: key, CA: ca } = process.env;
    const server = https.createServer({ cert, key, shared: true }, (request, response) => response.end());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address();
    const [response] = await once(https.get({ host: '127.0.0.1', port, ca, shared: true }), 'response');
    console.log(JSON.stringify([response.statusCode, response.socket.sharing.shared]));
    process.exit();
  `,
    { env: { TLSHUB_DIR: registered.directory, CERT: leaf.cert, KEY: leaf.key, CA: ca } },
  );
  assert.deepEqual(said, [200, true]);
  assert.deepEqual(readdirSync(env.TLSHUB_DIR), [], 'it has asked another daemon');
});

/** Two workers of cluster on one port; prints how each of them is shared. */
const PRIMARY = `
  import cluster from 'node:cluster';
  cluster.setupPrimary({ exec: process.env.WORKER, execArgv: ['--import', 'tlshub/register'] });
  const said = [];
  for (const worker of [cluster.fork(), cluster.fork()]) {
    worker.on('message', (word) => {
      said.push(word);
      if (said.length < 2) return;
      console.log(JSON.stringify(said));
      for (const one of Object.values(cluster.workers)) one.kill('SIGKILL');
    });
  }
`;
const WORKER = `
  import https from 'node:https';
  const { CERT: cert, KEY: key, PORT } = process.env;
  const server = https.createServer({ cert, key });
  server.listen(Number(PORT), '127.0.0.1', () => process.send(server.sharing?.shared ?? null));
`;

test('workers of node:cluster share their port as ever; with the policy they are workers of the daemon', async (t) => {
  const worker = join(tempDir(t), 'worker.mjs');
  writeFileSync(worker, WORKER);
  for (const [policy, expected] of [
    [undefined, [null, null]],
    ['all', [true, true]],
  ] as const) {
    const port = String(await unusedPort());
    const said = await runNodeForJson(PRIMARY, {
      env: {
        ...{ TLSHUB_DIR: daemon.directory, CERT: leaf.cert, KEY: leaf.key, PORT: port },
        ...{ TLSHUB_SHARE_SERVERS: policy, WORKER: worker },
      },
    });
    assert.deepEqual(said, expected);
  }
});
