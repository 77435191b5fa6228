// Endpoints of the configuration: opened at the start, changed by a reload, and what becomes of one that cannot be.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { listen, unusedPort } from '#helpers/listen.js';
import { runCli } from '#helpers/run-node.js';
import { fileScope, type Scope } from '#helpers/scope.js';
import { closed, exchange } from '#helpers/streams.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import {
  type ContextPki,
  clientSection,
  contextDirectory,
  makeContextPki,
} from '../contexts/context-files.ts';

const file = fileScope();
let pki: ContextPki;
let first: CountingOrigin;
let second: CountingOrigin;
before(async () => {
  pki = await makeContextPki();
  const identity = { cert: pki.server.chain, key: pki.server.key };
  const steps = [{ text: 'second\n' }] as const;
  first = await countingOrigin(file, identity);
  second = await countingOrigin(file, { ...identity, behaviour: { kind: 'script', steps } });
});

const section = (name: string, ...lines: string[]) => [`[endpoint.${name}]`, ...lines, ''].join('\n');
const to = (origin: CountingOrigin) => `to = "localhost:${origin.port}"`;
const at = (port: number) => `listen = "127.0.0.1:${port}"`;
const CA = 'ca = ["ca.pem"]';

function plain(scope: Scope, where: number | string): Socket {
  const client = typeof where === 'number' ? connect(where, '127.0.0.1') : connect(where);
  client.on('error', () => {});
  scope.after(() => void client.destroy());
  return client;
}

async function lineFrom(scope: Scope, where: number | string): Promise<string> {
  const client = plain(scope, where);
  let text = '';
  client.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await waitFor(() => text.endsWith('\n'), { what: 'a line' });
  return text;
}

interface Report {
  name: string;
  address: string;
  kind: string;
  connections: number;
  reason: string | null;
}

async function reportsOf(daemon: TestDaemon): Promise<Report[]> {
  const { endpoints } = (await daemon.status()).status as { endpoints: Report[] };
  return endpoints;
}

test('they are opened at the start: a Unix socket beside the file, certificates of their own or of a context', async (t) => {
  const files = contextDirectory(t, pki);
  const strict = await countingOrigin(t, {
    cert: pki.server.chain,
    key: pki.server.key,
    tls: { ca: pki.ca.cert, requestCert: true, rejectUnauthorized: true },
  });
  const own = ['certificate = "client.pem"', 'key = "client.key"', CA];
  files.configure(
    clientSection('api'),
    section('own', 'listen = "unix:own.sock"', to(strict), ...own),
    section('named', 'listen = "./named.sock"', to(strict), 'context = "api"'),
  );
  const daemon = await startTestDaemon(t, { directory: files.path });
  const paths = [join(files.path, 'own.sock'), join(files.path, 'named.sock')];
  for (const path of paths) {
    await waitFor(() => existsSync(path), { what: path });
    const client = plain(t, path);
    assert.equal(await exchange(client, 'hello'), 'ok hello');
    client.end();
  }
  assert.deepEqual(
    (await reportsOf(daemon)).map(({ name, address }) => [name, address]),
    [
      ['own', paths[0]],
      ['named', paths[1]],
    ],
  );
  assert.equal(await daemon.stop(), 0);
  for (const path of paths) assert.equal(existsSync(path), false);
});

test('a reload opens, closes and replaces; the door stays when only the target is another', async (t) => {
  const files = contextDirectory(t, pki);
  const [a, b, c] = [await unusedPort(), await unusedPort(), await unusedPort()];
  files.configure(section('a', at(a), to(first), CA), section('b', at(b), to(first), CA));
  await startTestDaemon(t, { directory: files.path });
  const reload = () => runCli(['reload', '-d', files.path]);
  const kept = plain(t, a);
  assert.equal(await exchange(kept, 'one'), 'ok one');
  const left = plain(t, b);
  assert.equal(await exchange(left, 'one'), 'ok one');
  files.configure(section('a', at(a), to(second), CA), section('c', at(c), to(second), CA));
  const { code, stdout } = await reload();
  assert.deepEqual(
    [code, stdout],
    [0, `${files.file}: added endpoint c; changed endpoint a; removed endpoint b\n`],
  );
  for (const port of [a, c]) assert.equal(await lineFrom(t, port), 'second\n');
  // What was open has its session still; what came to a door that is gone has a short time.
  assert.equal(await exchange(kept, 'two'), 'ok two');
  assert.equal(await exchange(left, 'two'), 'ok two');
  await closed(plain(t, b));
  await closed(left);
  assert.equal(await exchange(kept, 'three'), 'ok three');
  // Two that change places.
  files.configure(section('a', at(c), to(first), CA), section('c', at(a), to(second), CA));
  assert.equal((await reload()).stdout, `${files.file}: changed endpoint a, c\n`);
  assert.equal(await exchange(plain(t, c), 'four'), 'ok four');
  assert.equal(await lineFrom(t, a), 'second\n');
  assert.equal((await reload()).stdout, `${files.file}: nothing has changed\n`);
});

test('a broken file changes nothing and says why', async (t) => {
  const files = contextDirectory(t, pki);
  const port = await unusedPort();
  files.configure(section('a', at(port), to(first), CA));
  const daemon = await startTestDaemon(t, { directory: files.path });
  const kept = plain(t, port);
  assert.equal(await exchange(kept, 'one'), 'ok one');
  for (const [sections, reason] of [
    [[section('b', at(1), to(second), CA, 'nonsense = 1')], /endpoint\.b\.nonsense is not a known key/],
    [
      [section('b', at(1), to(second), 'ca = ["gone.pem"]')],
      /endpoint\.b: cannot use .*gone\.pem: there is no such file/,
    ],
    [
      [section('b', at(1), to(second), 'context = "gone"')],
      /endpoint\.b: "context": the file defines no client context "gone"/,
    ],
  ] as const) {
    files.configure(...sections);
    const { code, stderr } = await runCli(['reload', '-d', files.path]);
    assert.equal(code, 1);
    assert.match(stderr, reason);
  }
  assert.equal(await exchange(kept, 'two'), 'ok two');
  assert.deepEqual(
    (await reportsOf(daemon)).map(({ name }) => name),
    ['a'],
  );
});

test('one whose address is taken is named, keeps nothing else from working, and is opened when it is free', async (t) => {
  const files = contextDirectory(t, pki);
  const taken = createServer();
  const port = await listen(taken);
  const other = await unusedPort();
  files.configure(section('a', at(port), to(second), CA), section('b', at(other), to(first), CA));
  const daemon = await startTestDaemon(t, { directory: files.path });
  await waitFor(
    async () => (await reportsOf(daemon)).some(({ reason }) => reason?.includes('EADDRINUSE') === true),
    {
      what: 'the reason',
    },
  );
  assert.equal(await exchange(plain(t, other), 'one'), 'ok one');
  const { code, stderr } = await runCli(['reload', '-d', files.path]);
  assert.equal(code, 1);
  assert.match(stderr, /endpoint a is not open: listen EADDRINUSE/);
  taken.close();
  await waitFor(async () => (await reportsOf(daemon)).every(({ reason }) => reason === null), {
    what: 'the endpoint to be opened',
  });
  assert.equal(await lineFrom(t, port), 'second\n');
});

test('P18: a daemon with endpoints does not end for want of work', async (t) => {
  const files = contextDirectory(t, pki);
  const port = await unusedPort();
  files.configure(section('a', at(port), to(first), CA));
  const daemon = await startTestDaemon(t, { directory: files.path, arguments: ['--idle-exit', '50ms'] });
  await waitFor(async () => (await reportsOf(daemon)).length === 1, { what: 'the endpoint' });
  // One that was started later, without endpoints, ends meanwhile.
  const other = await startTestDaemon(t, { arguments: ['--idle-exit', '50ms'] });
  await waitFor(() => other.child.exitCode === 0, { what: 'the daemon without endpoints to end' });
  assert.equal(await exchange(plain(t, port), 'still'), 'ok still');
  files.configure('');
  assert.equal((await runCli(['reload', '-d', files.path])).code, 0);
  await waitFor(() => daemon.child.exitCode === 0, { what: 'the daemon to end' });
});
