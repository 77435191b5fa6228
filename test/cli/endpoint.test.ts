// `tlshub endpoint` as a command: what it prints, what it refuses, how it ends, and that it outlives daemons.
import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { listen, unusedPort } from '#helpers/listen.js';
import { runCli, runNode } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import { closed, exchange } from '#helpers/streams.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import { startEndpoint } from './run-endpoint.ts';

const file = fileScope();
let ca: Authority;
let leaf: Certificate;
let origin: CountingOrigin;
let caFile: string;
let daemon: TestDaemon;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
  origin = await countingOrigin(file, leaf);
  caFile = join(tempDir(file), 'ca.pem');
  writeFileSync(caFile, ca.cert);
  daemon = await startTestDaemon(file);
});

const target = (port = origin.port) => ['--to', `localhost:${port}`, '--ca', caFile];
const anyPort = ['--listen', '127.0.0.1:0'];
const reportsOf = async (directory: string) => {
  const { stdout } = await runCli(['status', '--json', '-d', directory]);
  return (JSON.parse(stdout) as { endpoints: Record<string, unknown>[] }).endpoints;
};

test('it prints its address, status lists it, sessions name it, and Ctrl-C ends it with exit code 0', async (t) => {
  const endpoint = await startEndpoint(t, [...anyPort, ...target()], daemon.directory);
  assert.match(endpoint.address, /^127\.0\.0\.1:\d+$/);
  const client = endpoint.connect();
  assert.equal(await exchange(client, 'hello'), 'ok hello');
  const [report] = await reportsOf(daemon.directory);
  assert.deepEqual(
    [report?.address, report?.kind, report?.to, report?.pid, report?.connections, report?.total],
    [endpoint.address, 'raw', `localhost:${origin.port}`, endpoint.pid, 1, 1],
  );
  assert.deepEqual([report?.bytesFromClients, report?.bytesToClients], [6, 9]);
  const table = await runCli(['sessions', '-d', daemon.directory]);
  assert.match(table.stdout, new RegExp(`endpoint ${endpoint.address}`));
  const text = await runCli(['status', '-d', daemon.directory]);
  assert.match(text.stdout, /\nENDPOINT +KIND +TO +OF +CLIENTS/);
  endpoint.child.kill('SIGINT');
  await waitFor(() => daemon.log().includes('an endpoint is closed'), { what: 'the door to close' });
  assert.equal(await exchange(client, 'still there'), 'ok still there');
  client.end();
  const { code, stderr } = await endpoint.result;
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual(await reportsOf(daemon.directory), []);
});

test('a client that does not end is cut at the deadline; a second signal does not wait', async (t) => {
  const endpoint = await startEndpoint(t, [...anyPort, ...target()], daemon.directory);
  const client = endpoint.connect();
  assert.equal(await exchange(client, 'hello'), 'ok hello');
  endpoint.child.kill('SIGTERM');
  await closed(client);
  assert.equal((await endpoint.result).code, 0);
  const other = await startEndpoint(t, [...anyPort, ...target()], daemon.directory);
  assert.equal(await exchange(other.connect(), 'hello'), 'ok hello');
  other.child.kill('SIGINT');
  await waitFor(() => daemon.log().split('an endpoint is closed').length >= 4, { what: 'the door to close' });
  other.child.kill('SIGINT');
  assert.equal((await other.result).code, 130);
});

test('--json prints one object; a Unix socket is 0600, replaced when stale, and removed at the end', async (t) => {
  const path = join(tempDir(t), 'a.sock');
  // A process that is killed leaves the file of its socket behind.
  const leave = `
    import { createServer } from 'node:net';
    createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'));
  `;
  await runNode(leave, { arguments: [path] });
  assert.ok(existsSync(path));
  const endpoint = await startEndpoint(
    t,
    ['--listen', `unix:${path}`, ...target(), '--json'],
    daemon.directory,
  );
  const to = `localhost:${origin.port}`;
  assert.deepEqual(JSON.parse(endpoint.address), { address: path, kind: 'raw', to, pid: endpoint.pid });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const second = await runCli(['endpoint', '-d', daemon.directory, '--listen', path, ...target()]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, new RegExp(`EADDRINUSE: address already in use ${path}\\n`));
  endpoint.child.kill('SIGINT');
  assert.equal((await endpoint.result).code, 0);
  assert.equal(existsSync(path), false);
});

test('P11: a socket in use, a file in the way, a directory that is not there: exit code 1, and nothing is touched', async (t) => {
  const directory = tempDir(t);
  const inTheWay = join(directory, 'file');
  writeFileSync(inTheWay, 'mine');
  const run = (listenAt: string) =>
    runCli(['endpoint', '-d', daemon.directory, '--listen', listenAt, ...target()]);
  const blocked = await run(inTheWay);
  assert.equal(blocked.code, 1);
  assert.match(blocked.stderr, /is in the way and is no socket/);
  const nowhere = await run(join(directory, 'no', 'such.sock'));
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr, /such\.sock/);
  const taken = createServer();
  const port = await listen(taken);
  t.after(() => void taken.close());
  const used = await run(`127.0.0.1:${port}`);
  assert.equal(used.code, 1);
  assert.match(
    used.stderr,
    new RegExp(`listen EADDRINUSE: address already in use 127\\.0\\.0\\.1:${port}\n {2}code: EADDRINUSE`),
  );
});

test('P10: an address that other hosts reach is exit code 2, unless it is meant', async (t) => {
  for (const place of ['0.0.0.0:0', '192.0.2.1:80', '[::]:0']) {
    const { code, stderr } = await runCli([
      'endpoint',
      '-d',
      daemon.directory,
      '--listen',
      place,
      ...target(),
    ]);
    assert.equal(code, 2, place);
    assert.match(
      stderr,
      /can be reached from other hosts, and everyone who reaches the endpoint speaks with/,
    );
    assert.match(stderr, /--unsafe-listen/);
  }
  const open = ['--listen', '0.0.0.0:0', '--unsafe-listen', ...target()];
  const endpoint = await startEndpoint(t, open, daemon.directory);
  assert.match(endpoint.address, /^0\.0\.0\.0:\d+$/);
  assert.equal(await exchange(endpoint.connect(), 'hello'), 'ok hello');
});

test('a wrong command line is exit code 2 and says what is wrong', async () => {
  const wrong: [string[], RegExp][] = [
    [['--to', 'localhost:1'], /--listen/],
    [anyPort, /--to/],
    [['--listen', 'somewhere:80', '--to', 'localhost:1'], /The host is an IP address/],
    [['--listen', 'nonsense', '--to', 'localhost:1'], /It is HOST:PORT/],
    [['--listen', `/${'a'.repeat(200)}`, '--to', 'localhost:1'], /does not fit a Unix socket/],
    [['--listen', './a.sock', '--unsafe-listen', '--to', 'localhost:1'], /only a TCP address can be unsafe/],
    [[...anyPort, ...target(), '--keep-host'], /--keep-host is for --kind http/],
    [[...anyPort, ...target(), '--kind', 'http', '--alpn', 'h2'], /--alpn is for --kind raw/],
    [[...anyPort, ...target(), '--context', 'x'], /exclude each other/],
    [[...anyPort, ...target(), '--cert', caFile], /--cert and --key go together/],
  ];
  for (const [args, message] of wrong) {
    const { code, stderr } = await runCli(['endpoint', '-d', daemon.directory, ...args]);
    assert.deepEqual([code, message.test(stderr)], [2, true], `${args.join(' ')}: ${stderr}`);
  }
});

test('P15: when the command is killed its door closes, and its clients end', async (t) => {
  const endpoint = await startEndpoint(t, [...anyPort, ...target()], daemon.directory);
  const client = endpoint.connect();
  assert.equal(await exchange(client, 'hello'), 'ok hello');
  endpoint.child.kill('SIGKILL');
  await waitFor(async () => (await reportsOf(daemon.directory)).length === 1 && refuses(endpoint.connect()), {
    what: 'the door to close',
  });
  await closed(client);
  await waitFor(async () => (await reportsOf(daemon.directory)).length === 0, { what: 'the endpoint to go' });
});

/** Whether a connection is not accepted. */
async function refuses(
  client: ReturnType<Awaited<ReturnType<typeof startEndpoint>>['connect']>,
): Promise<boolean> {
  return new Promise((resolve) => {
    client.once('connect', () => resolve(false));
    client.once('error', () => resolve(true));
  });
}

test('P16: it opens the same address again when the daemon is killed, and when it drains', async (t) => {
  const directory = tempDir(t);
  t.after(() => runCli(['stop', '--now', '-d', directory]));
  const path = join(directory, 'door.sock');
  const tcp = await startEndpoint(t, [...anyPort, ...target()], directory);
  const unix = await startEndpoint(t, ['--listen', path, ...target()], directory);
  const pidOf = async () =>
    (JSON.parse((await runCli(['status', '--json', '-d', directory])).stdout) as { pid: number }).pid;
  const first = await pidOf();
  const lost = tcp.connect();
  assert.equal(await exchange(lost, 'one'), 'ok one');
  process.kill(first, 'SIGKILL');
  await closed(lost);
  for (const endpoint of [tcp, unix]) {
    await waitFor(() => endpoint.stderr().includes('is open again'), { what: 'the next daemon' });
    assert.equal(await exchange(endpoint.connect(), 'two'), 'ok two');
  }
  const second = await pidOf();
  assert.notEqual(second, first);
  const kept = tcp.connect();
  assert.equal(await exchange(kept, 'three'), 'ok three');
  process.kill(second, 'SIGTERM');
  for (const endpoint of [tcp, unix]) {
    await waitFor(() => endpoint.stderr().split('is open again').length === 3, { what: 'the third daemon' });
    assert.equal(await exchange(endpoint.connect(), 'four'), 'ok four');
  }
  // What was open goes on in the daemon that drains.
  assert.equal(await exchange(kept, 'five'), 'ok five');
  assert.notEqual(await pidOf(), second);
});

test('a target that cannot be had is a reset for the client, a count and a reason', async (t) => {
  const expired = await ca.issue({
    names: ['localhost'],
    notBefore: new Date(Date.now() - 2 * 86_400_000),
    notAfter: new Date(Date.now() - 86_400_000),
  });
  const old = await countingOrigin(t, expired);
  for (const [port, reason] of [
    [await unusedPort(), /ECONNREFUSED/],
    [old.port, /certificate has expired/],
  ] as const) {
    const endpoint = await startEndpoint(t, [...anyPort, ...target(port)], daemon.directory);
    for (const _ of [1, 2]) {
      const client = endpoint.connect();
      let code: string | undefined;
      client.on('error', (error: NodeJS.ErrnoException) => {
        code = error.code;
      });
      client.write('hello\n');
      client.resume();
      await closed(client);
      assert.equal(code, 'ECONNRESET');
    }
    const report = (await reportsOf(daemon.directory)).find(({ address }) => address === endpoint.address);
    assert.deepEqual([report?.failures, report?.connections], [2, 0]);
    assert.match(String(report?.reason), reason);
    const lines = daemon
      .log()
      .split('\n')
      .filter((line) => line.includes('got no session'));
    assert.equal(lines.filter((line) => line.includes(endpoint.address)).length, 1);
    endpoint.child.kill('SIGINT');
    await endpoint.result;
  }
});
