// Contexts of the daemon's configuration, on the client side: an application names one, and the peer sees its certificate.
// The key is in the daemon alone, and what a reload has replaced is not used again.
import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { connect as connectUnix, createServer } from 'node:net';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { ask } from '#helpers/agent-client.js';
import { type CountingOrigin, countingOrigin, type OriginOptions } from '#helpers/counting-origin.js';
import { startNginx } from '#helpers/nginx.js';
import { textsInMemory } from '#helpers/process-memory.js';
import { runCli, runNodeForJson, spawnNode } from '#helpers/run-node.js';
import type { Scope } from '#helpers/scope.js';
import { closed, exchange, opened } from '#helpers/streams.js';
import { tempDir } from '#helpers/temp-dir.js';
import { askDaemon, startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { codeOf } from '#src/errors.js';
import tls, { type TlshubSocket } from '#src/index.js';
import {
  type ContextDirectory,
  type ContextPki,
  clientSection,
  contextDirectory,
  makeContextPki,
  serverSection,
} from '../daemon/contexts/context-files.ts';
import { leaseCall, sessionKey, WireClient } from '../fuzz/wire-client.ts';

let pki: ContextPki;
before(async () => {
  pki = await makeContextPki();
});

interface Stage {
  files: ContextDirectory;
  daemon: TestDaemon;
  origin: CountingOrigin;
  connect(changes?: object): TlshubSocket;
}

/** An origin that lets in who has a certificate of our authority, and a daemon with contexts. */
async function stage(
  scope: Scope,
  sections: readonly string[] = [clientSection('api')],
  originOptions: Partial<OriginOptions> = {},
): Promise<Stage> {
  const files = contextDirectory(scope, pki);
  files.configure(...sections);
  const origin = await countingOrigin(scope, {
    cert: pki.server.chain,
    key: pki.server.key,
    ...originOptions,
    tls: { ca: pki.ca.cert, requestCert: true, rejectUnauthorized: true, ...originOptions.tls },
  });
  const daemon = await startTestDaemon(scope, { arguments: ['--config', files.file] });
  process.env.TLSHUB_DIR = daemon.directory;
  const connect = (changes: object = {}) => {
    const target = { host: '127.0.0.1', port: origin.port, servername: 'localhost' };
    const socket = tls.connect({ ...target, shared: { context: 'api' }, ...changes }) as TlshubSocket;
    // The daemon ends before the socket, after the test.
    socket.on('error', () => {});
    scope.after(() => void socket.destroy());
    return socket;
  };
  return { files, daemon, origin, connect };
}

/** Whose certificates the peers of the origin's open connections have shown, oldest first. */
const clientsOf = (origin: CountingOrigin) =>
  [...origin.sockets].map((socket: TLSSocket) => socket.getPeerCertificate().subject.CN);

/** A line of a PEM text that is in no other. */
const lineOf = (pem: string) => pem.split('\n')[2] ?? '';

/** A socket's error; fails when it opens instead. */
async function failureOf(socket: TlshubSocket): Promise<Error & { code?: string }> {
  const failure = new Promise<Error>((resolve, reject) => {
    socket.once('error', resolve);
    socket.once('secureConnect', () => reject(new Error('it was opened')));
  });
  return within(failure, { what: 'the error' });
}

/** A directory whose socket leads to the daemon, with all that passes on its way to it. */
async function watchedDirectory(scope: Scope, directory: string) {
  const path = tempDir(scope);
  let sent = '';
  const server = createServer((client) => {
    const daemon = connectUnix(join(directory, 'tlshub.sock'));
    client.on('data', (chunk) => {
      sent += chunk.toString('latin1');
    });
    client.pipe(daemon).pipe(client);
    for (const end of [client, daemon]) end.on('error', () => end.destroy());
  });
  scope.after(() => void server.close());
  await new Promise<void>((resolve) => server.listen(join(path, 'tlshub.sock'), resolve));
  chmodSync(join(path, 'tlshub.sock'), 0o600);
  return { path, sent: () => sent };
}

const APPLICATION = `
  import tls from 'tlshub';
  const { PORT, CONTEXT, CERT, KEY, CA } = process.env;
  const options = CONTEXT === undefined ? { cert: CERT, key: KEY, ca: CA } : {};
  const shared = CONTEXT === undefined ? { fallback: false } : { context: CONTEXT };
  const socket = tls.connect({ host: '127.0.0.1', port: Number(PORT), servername: 'localhost', ...options, shared });
  socket.on('secureConnect', () => socket.write('here I am\\n'));
  socket.on('data', (chunk) => process.stdout.write(String(chunk)));
`;

test('P13: with a context the application has no key: not in its memory, not on the socket', async (t) => {
  const { daemon, origin } = await stage(t);
  const watched = await watchedDirectory(t, daemon.directory);
  const key = pki.client.key;
  const texts = {
    'the key': lineOf(key),
    'the key on the wire': Buffer.from(key).toString('base64').slice(60, 160),
    'the answer': 'ok here I am',
  };
  const env = { TLSHUB_DIR: watched.path, PORT: String(origin.port) };
  const application = spawnNode(APPLICATION, { env: { ...env, CONTEXT: 'api' } });
  t.after(() => void application.child.kill('SIGKILL'));
  await application.printed('ok here I am');
  assert.deepEqual(clientsOf(origin), ['first client']);
  assert.match(watched.sent(), /"context":"api","ca":"[0-9a-f]{64}","cert":null,"key":null,"pfx":null,/);
  for (const text of Object.values(texts).slice(0, -1)) assert.ok(!watched.sent().includes(text));
  if (process.platform === 'linux') assert.deepEqual(textsInMemory(application.pid, texts), ['the answer']);

  // The same search finds them in a process that has them.
  const files = { CERT: pki.client.chain, KEY: key, CA: pki.ca.cert };
  const careless = spawnNode(APPLICATION, { env: { ...env, ...files } });
  t.after(() => void careless.child.kill('SIGKILL'));
  await careless.printed('ok here I am');
  assert.ok(watched.sent().includes(texts['the key on the wire']));
  if (process.platform === 'linux')
    assert.ok(textsInMemory(careless.pid, texts).includes('the key'), 'the key is not found where it is');
});

test('P13: neither inspection nor status nor log show the key of a context', async (t) => {
  const { daemon, connect } = await stage(t);
  await opened(connect());
  const flags = ['--json', '--directory', daemon.directory];
  const inspected = await runCli(['inspect', 's1', ...flags]);
  assert.equal(JSON.parse(inspected.stdout).key.context, 'api');
  const shown =
    inspected.stdout + JSON.stringify([await daemon.sessions(), await daemon.status()]) + daemon.log();
  const key = pki.client.key;
  for (const secret of [lineOf(key), Buffer.from(key).toString('base64').slice(60, 160)])
    assert.ok(!shown.includes(secret));
});

test('P1: processes that name the same context share one handshake', async (t) => {
  const { daemon, origin } = await stage(t);
  const script = `
    import tls from 'tlshub';
    const target = { host: '127.0.0.1', port: Number(process.env.PORT), servername: 'localhost' };
    const socket = tls.connect({ ...target, shared: { context: 'api' } });
    socket.write('x\\n');
    socket.once('data', async (chunk) => {
      await socket.release();
      console.log(JSON.stringify([String(chunk), socket.sharing.reused, socket.authorized]));
    });
  `;
  const env = { TLSHUB_DIR: daemon.directory, PORT: String(origin.port) };
  for (const reused of [false, true, true])
    assert.deepEqual(await runNodeForJson(script, { env }), ['ok x\n', reused, true]);
  assert.deepEqual([origin.counts.handshakes, origin.counts.resumptions], [1, 0]);
});

describe('P2: a reload', () => {
  test('no session and no ticket of the old contents serves the new ones; open sessions stay', async (t) => {
    const { files, daemon, origin, connect } = await stage(t);
    const held = await opened(connect());
    assert.equal(await exchange(held, 'before'), 'ok before');
    const warm = await opened(connect());
    assert.equal(await exchange(warm, 'warm'), 'ok warm');
    await warm.release();
    // Control: without a reload both are used.
    const again = await opened(connect());
    assert.equal(again.sharing.reused, true);
    const third = await opened(connect());
    assert.deepEqual([third.sharing.reused, third.isSessionReused()], [false, true]);
    assert.equal(await exchange(third, 'third'), 'ok third');
    assert.deepEqual([origin.counts.connections, origin.counts.resumptions], [3, 2]);
    await again.release();
    await third.release();

    files.write({ 'client.pem': pki.renewed.chain, 'client.key': pki.renewed.key });
    const before = { ...origin.counts };
    assert.deepEqual((await askDaemon(daemon.directory, 'reload')).changed, ['api']);
    const fresh = await opened(connect());
    assert.deepEqual([fresh.sharing.reused, fresh.isSessionReused()], [false, false]);
    assert.equal(await exchange(fresh, 'fresh'), 'ok fresh');
    assert.equal(origin.counts.handshakes, before.handshakes + 1);
    assert.equal(origin.counts.resumptions, before.resumptions);
    assert.equal(clientsOf(origin).at(-1), 'second client');
    assert.equal(await exchange(held, 'after'), 'ok after');
    assert.equal(clientsOf(origin)[0], 'first client');
  });

  test('a broken file changes nothing: sessions, contexts and warm sessions are as before', async (t) => {
    const { files, daemon, origin, connect } = await stage(t);
    const held = await opened(connect());
    const warm = await opened(connect());
    await warm.release();
    files.write({ 'client.pem': pki.renewed.chain });
    await assert.rejects(
      askDaemon(daemon.directory, 'reload'),
      /is not the one of the certificate.*ERR_TLSHUB_CONFIG/,
    );
    assert.match(daemon.log(), /the configuration was not reloaded: nothing has changed/);
    const next = await opened(connect());
    assert.equal(next.sharing.reused, true);
    assert.equal(await exchange(held, 'still here'), 'ok still here');
    assert.equal(origin.counts.connections, 2);
  });

  test('a named session is joined under its name, with the contents that it was opened with', async (t) => {
    const { files, daemon, origin, connect } = await stage(t);
    const shared = { context: 'api', name: 'line' };
    const opener = await opened(connect({ shared }));
    assert.equal(await exchange(opener, 'one'), 'ok one');
    await opener.release();
    files.write({ 'client.pem': pki.renewed.chain, 'client.key': pki.renewed.key });
    await askDaemon(daemon.directory, 'reload');
    const joiner = await opened(connect({ shared }));
    assert.deepEqual([joiner.sharing.reused, await exchange(joiner, 'two')], [true, 'ok two']);
    assert.deepEqual([origin.counts.connections, clientsOf(origin)], [1, ['first client']]);
  });

  test('a context that is gone is unknown, and its warm sessions are not to be had', async (t) => {
    const { files, daemon, connect } = await stage(t);
    await (await opened(connect())).release();
    files.configure(clientSection('other'));
    await askDaemon(daemon.directory, 'reload');
    assert.equal((await failureOf(connect())).code, 'ERR_TLSHUB_CONTEXT_UNKNOWN');
  });
});

test('P2: a context and the same certificate given by the application never share', async (t) => {
  const { origin, connect } = await stage(t, [clientSection('api'), clientSection('twin')]);
  const own = { cert: pki.client.chain, key: pki.client.key, ca: pki.ca.cert, shared: { fallback: false } };
  for (const changes of [{}, { shared: { context: 'twin' } }, own])
    await (await opened(connect(changes))).release();
  assert.equal(origin.counts.connections, 3);
});

describe('what is refused', () => {
  test('a context that there is not, of the other side, or for others: one error, and the peer sees nothing', async (t) => {
    const sections = [serverSection('www'), clientSection('theirs', 'uids = [4711]')];
    const { daemon, origin, connect } = await stage(t, sections);
    const messages = new Set<string>();
    for (const context of ['nothing', 'www', 'theirs']) {
      const socket = connect({ shared: { context } });
      const failure = await failureOf(socket);
      assert.equal(failure.code, 'ERR_TLSHUB_CONTEXT_UNKNOWN');
      messages.add(failure.message.replace(context, 'NAME'));
      assert.equal(socket.sharing.shared, false);
      await closed(socket);
    }
    assert.equal(messages.size, 1, [...messages].join('\n'));
    assert.equal(origin.counts.connections, 0);
    assert.match(daemon.log(), /"reason":"it is for the server side"/);
  });

  test('options that the context decides, at once; others are taken', async (t) => {
    const { origin, connect } = await stage(t);
    const secureContext = tls.createSecureContext();
    const options = {
      ...{ cert: pki.client.cert, key: pki.client.key, ca: pki.ca.cert, pfx: 'x', passphrase: 'x', crl: 'x' },
      ...{ ciphers: 'HIGH', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', sigalgs: 'ed25519', secureContext },
      ...{ ecdhCurve: 'auto', secureOptions: 0, secureProtocol: 'TLS_method', ticketKeys: Buffer.alloc(48) },
    };
    for (const [name, value] of Object.entries(options)) {
      assert.throws(() => connect({ [name]: value }), {
        code: 'ERR_TLSHUB_INVALID_OPTION',
        message: new RegExp(`^"${name}" and "shared.context" exclude each other`),
      });
    }
    const wrong = [1, null, '', 'a\tb', 'tlshub1.x'];
    for (const context of wrong)
      assert.throws(() => connect({ shared: { context } }), { code: 'ERR_TLSHUB_INVALID_OPTION' });
    assert.equal(origin.counts.connections, 0);
    const absent = { cert: undefined, key: null, ca: undefined };
    await opened(connect({ ...absent, rejectUnauthorized: true, minDHSize: 2_048 }));
  });

  test('P5: TLS in the process is no fallback for it, whatever "fallback" says', async (t) => {
    const { origin, connect } = await stage(t);
    const directory = process.env.TLSHUB_DIR;
    t.after(() => {
      process.env.TLSHUB_DIR = directory;
      delete process.env.TLSHUB;
    });
    const shared = { context: 'api', fallback: true };
    assert.throws(() => connect({ shared, lookup: () => {} }), { code: 'ERR_TLSHUB_NOT_SHAREABLE' });
    process.env.TLSHUB = 'off';
    assert.throws(() => connect({ shared }), { code: 'ERR_TLSHUB_NOT_SHAREABLE', message: /TLSHUB=off/ });
    delete process.env.TLSHUB;
    process.env.TLSHUB_DIR = join(tempDir(t), 'no', 'such', 'directory');
    assert.equal((await failureOf(connect({ shared }))).code, 'ERR_TLSHUB_DIRECTORY');
    assert.equal(origin.counts.handshakes, 0);
  });

  test('P14: a request on the wire with a context and material of its own', async (t) => {
    const { daemon, origin } = await stage(t);
    const refused = async (changes: object) => {
      const client = await WireClient.open(t, daemon.directory);
      client.send(leaseCall(sessionKey(origin.port, '', { context: 'api', ...changes })));
      return ((await client.message()) as { error?: { code?: string } }).error?.code;
    };
    assert.equal(await refused({}), undefined);
    for (const changes of [
      { cert: ['Zm9v'] },
      { ciphers: 'HIGH' },
      { ca: 'a'.repeat(64) },
      { passphrase: '' },
    ])
      assert.equal(await refused(changes), 'ERR_TLSHUB_INVALID_CALL');
    assert.equal(origin.counts.connections, 1);
  });

  test('a server of another authority, with the code of node:tls', async (t) => {
    const strange = await makeContextPki();
    const { connect } = await stage(t, [clientSection('api')], {
      cert: strange.server.chain,
      key: strange.server.key,
    });
    const failure = await failureOf(connect());
    assert.equal(codeOf(failure), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  });
});

test('protocols (ALPN): those of the context, or some of them in the order of the application', async (t) => {
  const sections = [clientSection('api', 'alpn = ["two", "one"]')];
  const { connect } = await stage(t, sections, { tls: { ALPNProtocols: ['one', 'two', 'three'] } });
  assert.equal((await opened(connect())).alpnProtocol, 'one');
  assert.equal((await opened(connect({ ALPNProtocols: ['two'] }))).alpnProtocol, 'two');
  const failure = await failureOf(connect({ ALPNProtocols: ['one', 'three'] }));
  assert.equal(failure.code, 'ERR_TLSHUB_INVALID_OPTION');
  assert.match(failure.message, /"three", which the context "api" does not allow; it has: two, one/);
});

test('versions and ciphers are those of the context', async (t) => {
  const lines = ['max_version = "TLSv1.2"', 'ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"'];
  const { connect } = await stage(t, [clientSection('api', ...lines)]);
  const socket = await opened(connect());
  assert.deepEqual(
    [socket.getProtocol(), socket.getCipher().name],
    ['TLSv1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
  );
});

test('an agent leases sessions of a context', async (t) => {
  const { origin } = await stage(t, [clientSection('api', 'alpn = ["h2", "http/1.1"]')], {
    behaviour: { kind: 'http' },
  });
  const agent = new tls.Agent({ shared: { context: 'api' } });
  t.after(() => agent.destroy());
  for (let request = 0; request < 2; request += 1)
    assert.equal((await ask({ port: origin.port, agent })).status, 200);
  assert.equal(origin.counts.handshakes, 1);
});

test('nginx takes the certificate of a context', async (t) => {
  const { files, connect } = await stage(t);
  const { chain: cert, key } = pki.server;
  const serverLines = `ssl_client_certificate ${join(files.path, 'ca.pem')}; ssl_verify_client on;`;
  const nginx = await startNginx(t, { cert, key, serverLines });
  if (nginx === undefined) return;
  const socket = await opened(connect({ port: nginx.port }));
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  await waitFor(() => answer.endsWith('ok\n'), { what: () => `the answer: ${answer}` });
  assert.match(answer, /^HTTP\/1\.1 200 /);
});
