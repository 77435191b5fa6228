// Contexts of the daemon's configuration, on the server side: an application names one and serves with its certificate;
// the key is in the daemon alone, and a reload changes the certificate without a session noticing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { before, test } from 'node:test';
import nodeTls from 'node:tls';
import { textsInMemory } from '#helpers/process-memory.js';
import { spawnNode } from '#helpers/run-node.js';
import type { Scope } from '#helpers/scope.js';
import { exchange, opened } from '#helpers/streams.js';
import { askDaemon, startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { within } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import tls, { type ServerSharedOptions, type ShareableServerOptions, type TlshubServer } from '#src/index.js';
import {
  type ContextDirectory,
  type ContextPki,
  clientSection,
  contextDirectory,
  makeContextPki,
  serverSection,
} from '../daemon/contexts/context-files.ts';

let pki: ContextPki;
before(async () => {
  pki = await makeContextPki();
});

/** A daemon with contexts, which this process uses from now on. */
async function stage(
  scope: Scope,
  ...sections: readonly string[]
): Promise<{ files: ContextDirectory; daemon: TestDaemon }> {
  const files = contextDirectory(scope, pki);
  files.configure(...sections);
  const daemon = await startTestDaemon(scope, { arguments: ['--config', files.file] });
  process.env.TLSHUB_DIR = daemon.directory;
  return { files, daemon };
}

/** A server that answers lines, listening or failed. */
async function serve(
  scope: Scope,
  shared: ServerSharedOptions,
  options: ShareableServerOptions = {},
): Promise<TlshubServer> {
  const server = tls.createServer({ ...options, shared }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => socket.write(`ok ${chunk}`));
  });
  scope.after(() => void server.close());
  server.listen(0, '127.0.0.1');
  await within(once(server, 'listening'), { what: 'listening' });
  return server;
}

async function visit(server: TlshubServer | number, options: nodeTls.ConnectionOptions = {}) {
  const port = typeof server === 'number' ? server : (server.address() as AddressInfo).port;
  const target = { port, host: '127.0.0.1', servername: 'localhost', ca: pki.ca.cert };
  const socket = await opened(nodeTls.connect({ ...target, ...options }));
  // The daemon ends before it, after the test.
  return socket.on('error', () => {});
}

const serialOf = (socket: nodeTls.TLSSocket) => socket.getPeerCertificate().serialNumber;

const SERVER = `
  import tls from 'tlshub';
  const { CONTEXT, CERT, KEY } = process.env;
  const own = CONTEXT === undefined ? { cert: CERT, key: KEY } : {};
  const shared = CONTEXT === undefined ? { fallback: false } : { context: CONTEXT };
  const server = tls.createServer({ ...own, shared }, (socket) => socket.end('served'));
  server.listen(0, '127.0.0.1', () => console.log('port', server.address().port, 'is open'));
`;

test('P13: with a context the server has no key: it is not in the memory of the application', async (t) => {
  const { daemon } = await stage(t, serverSection('www'));
  const texts = { key: pki.server.key.split('\n')[2] ?? '' };
  for (const env of [{ CONTEXT: 'www' }, { CERT: pki.server.chain, KEY: pki.server.key }]) {
    const application = spawnNode(SERVER, { env: { TLSHUB_DIR: daemon.directory, ...env } });
    t.after(() => void application.child.kill('SIGKILL'));
    await application.printed('is open');
    const port = Number(/port (\d+)/.exec(application.stdout)?.[1]);
    const socket = await visit(port);
    assert.equal(String((await once(socket, 'data'))[0]), 'served');
    // The same search finds it in a process that has it.
    const expected = 'CONTEXT' in env ? [] : ['key'];
    if (process.platform === 'linux') assert.deepEqual(textsInMemory(application.pid, texts), expected);
  }
});

test('issue 4: a reload gives new sessions the new certificate; open ones stay, and a broken file changes nothing', async (t) => {
  const { files, daemon } = await stage(t, serverSection('www', 'alpn = ["chat"]'));
  const server = await serve(t, { context: 'www' });
  const held = await visit(server, { ALPNProtocols: ['chat'] });
  assert.equal(held.alpnProtocol, 'chat');
  const old = serialOf(held);
  const renewed = await pki.ca.issue({ names: ['localhost'] });
  files.write({ 'server.pem': renewed.chain });
  await assert.rejects(askDaemon(daemon.directory, 'reload'), /ERR_TLSHUB_CONFIG/);
  assert.equal(serialOf(await visit(server)), old);
  files.write({ 'server.key': renewed.key });
  assert.deepEqual((await askDaemon(daemon.directory, 'reload')).changed, ['www']);
  assert.notEqual(serialOf(await visit(server)), old);
  assert.equal(await exchange(held, 'still'), 'ok still');
});

test('issue 4: the CA list of a context decides about client certificates', async (t) => {
  await stage(t, serverSection('www', 'ca = ["ca.pem"]'));
  const server = await serve(t, { context: 'www' }, { requestCert: true });
  const client = await visit(server, { cert: pki.client.chain, key: pki.client.key });
  assert.equal(await exchange(client, 'hello'), 'ok hello');
});

test('P2: a reload with another CA list takes no ticket that the old one gave, on this port and on the next', async (t) => {
  const { files, daemon } = await stage(t, serverSection('www', 'ca = ["ca.pem"]'));
  const options = { requestCert: true, rejectUnauthorized: false };
  const server = await serve(t, { context: 'www' }, options);
  const { port } = server.address() as AddressInfo;
  const mine = { cert: pki.client.chain, key: pki.client.key };
  const first = nodeTls.connect({
    port,
    host: '127.0.0.1',
    servername: 'localhost',
    ca: pki.ca.cert,
    ...mine,
  });
  // The daemon ends before it, after the test.
  first.on('error', () => {});
  const [session] = (await within(once(first, 'session'), { what: 'a ticket' })) as [Buffer];
  const again = await visit(server, { ...mine, session });
  assert.equal(again.isSessionReused(), true);
  const { cert } = await createCa({ name: 'Another root' });
  files.write({ 'ca.pem': cert });
  await askDaemon(daemon.directory, 'reload');
  assert.equal((await visit(server, { ...mine, session })).isSessionReused(), false);
});

test('issue 4: a context that was removed serves no new worker; who listens with it goes on', async (t) => {
  const { files, daemon } = await stage(t, serverSection('www'));
  const server = await serve(t, { context: 'www' });
  const { port } = server.address() as AddressInfo;
  files.configure('');
  assert.deepEqual((await askDaemon(daemon.directory, 'reload')).removed, ['www']);
  const late = tls.createServer({ shared: { context: 'www' } });
  late.listen(port, '127.0.0.1');
  const [error] = await within(once(late, 'error'), { what: 'the refusal' });
  assert.equal((error as NodeJS.ErrnoException).code, 'ERR_TLSHUB_CONTEXT_UNKNOWN');
  assert.equal(await exchange(await visit(server), 'still'), 'ok still');
});

test('issue 4: a context that there is not, of the other side, or for others is one error', async (t) => {
  await stage(t, clientSection('api'), serverSection('theirs', 'uids = [4711]'));
  for (const context of ['nothing', 'api', 'theirs']) {
    const server = tls.createServer({ shared: { context } });
    server.listen(0);
    const [error] = await within(once(server, 'error'), { what: 'the refusal' });
    assert.equal((error as NodeJS.ErrnoException).code, 'ERR_TLSHUB_CONTEXT_UNKNOWN');
    assert.equal(server.listening, false);
  }
});

test('issue 4: a certificate of its own beside a context is ERR_TLSHUB_INVALID_OPTION', async (t) => {
  await stage(t, serverSection('www'));
  const own = { cert: pki.server.cert, key: pki.server.key };
  assert.throws(() => tls.createServer({ ...own, shared: { context: 'www' } }), {
    code: 'ERR_TLSHUB_INVALID_OPTION',
  });
});

test('P5, P13: with TLSHUB=off there is no server without the certificate that it names', async (t) => {
  process.env.TLSHUB = 'off';
  t.after(() => {
    delete process.env.TLSHUB;
  });
  assert.throws(() => tls.createServer({ shared: { context: 'www' } }), { code: 'ERR_TLSHUB_NOT_SHAREABLE' });
});
