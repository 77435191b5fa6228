// Programs that know nothing of tlshub, or of TLS, against real servers that speak TLS only: curl, Python, redis-cli,
// through endpoints of both kinds.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { countingOrigin } from '#helpers/counting-origin.js';
import { startNginx } from '#helpers/nginx.js';
import { PatternChecker } from '#helpers/pattern.js';
import { startRedis } from '#helpers/redis.js';
import { runCli, spawnProcess } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import { type RunningEndpoint, startEndpoint } from '../cli/run-endpoint.ts';

const file = fileScope();
let ca: Authority;
let leaf: Certificate;
let caFile: string;
let daemon: TestDaemon;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
  caFile = join(tempDir(file), 'ca.pem');
  writeFileSync(caFile, ca.cert);
  daemon = await startTestDaemon(file);
});

const target = (port: number) => ['--to', `localhost:${port}`, '--ca', caFile];
const run = async (command: string, ...args: string[]) => {
  const { code, stdout, stderr } = await spawnProcess(command, args, { stdin: '' }).result;
  assert.equal(code, 0, `${command}: ${stderr}`);
  return stdout;
};
/** How curl is told where an endpoint is. */
const curl = ({ address }: RunningEndpoint, path: string, ...args: string[]) =>
  address.startsWith('/')
    ? run('curl', '-sS', '--unix-socket', address, `http://localhost${path}`, ...args)
    : run('curl', '-sS', `http://${address}${path}`, ...args);
const totals = async ({ address }: RunningEndpoint) => {
  const { stdout } = await runCli(['status', '--json', '-d', daemon.directory]);
  const { endpoints } = JSON.parse(stdout) as {
    endpoints: { address: string; total: number; failures: number }[];
  };
  return endpoints.find((endpoint) => endpoint.address === address);
};

test('P10: a page that gave its own name the address of this host cannot read answers (DNS rebinding)', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  const open = (...args: string[]) =>
    startEndpoint(t, ['--kind', 'http', ...target(origin.port), ...args], daemon.directory);
  const guarded = await open('--listen', '127.0.0.1:0');
  const status = (endpoint: RunningEndpoint, host: string) =>
    curl(endpoint, '/', '-o', '/dev/null', '-w', '%{http_code}', '-H', `Host: ${host}`);
  for (const host of ['evil.example', 'evil.example:80', 'notlocalhost', 'localhost.evil.example'])
    assert.equal(await status(guarded, host), '421', host);
  for (const host of ['LocalHost:9000', 'api.localhost', '127.0.0.1', '[::1]:80'])
    assert.equal(await status(guarded, host), '200', host);
  const others = [
    await open('--listen', '127.0.0.1:0', '--keep-host'),
    await open('--listen', '127.0.0.1:0', '--unsafe-listen'),
    await open('--listen', join(tempDir(t), 'door.sock')),
  ];
  for (const endpoint of others)
    assert.equal(await status(endpoint, 'evil.example'), '200', endpoint.address);
});

for (const [where, kind] of [
  ['tcp', 'raw'],
  ['unix', 'raw'],
  ['tcp', 'http'],
  ['unix', 'http'],
] as const) {
  const place = (scope: Parameters<typeof tempDir>[0]) =>
    where === 'tcp' ? '127.0.0.1:0' : join(tempDir(scope), 'door.sock');

  test(`curl against nginx, ${kind} on ${where}: answers are whole, and TLS is resumed or shared`, async (t) => {
    const nginx = await startNginx(t, { cert: leaf.chain, key: leaf.key });
    if (nginx === undefined) return;
    const args = ['--listen', place(t), '--kind', kind, ...target(nginx.port)];
    const endpoint = await startEndpoint(t, args, daemon.directory);
    for (const path of ['/a', '/b', '/c']) assert.equal(await curl(endpoint, path), 'ok\n');
    // nginx writes its log behind the answer.
    await waitFor(() => nginx.requests().length === 3, { what: 'three requests in the log of nginx' });
    // Raw: a session for each client, with a ticket from the second one on. http: one session for all.
    assert.equal(nginx.handshakes(), 1);
    const connections = new Set(nginx.requests().map(({ connection }) => connection));
    assert.equal(connections.size, kind === 'raw' ? 3 : 1);
    assert.deepEqual(await totals(endpoint).then((report) => [report?.total, report?.failures]), [3, 0]);
  });

  test(`P6: megabytes both ways by curl, ${kind} on ${where}`, async (t) => {
    const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
    const args = ['--listen', place(t), '--kind', kind, ...target(origin.port)];
    const endpoint = await startEndpoint(t, args, daemon.directory);
    const saved = join(tempDir(t), 'body');
    await curl(endpoint, '/bytes/20000000', '-o', saved);
    const checker = new PatternChecker();
    for await (const chunk of createReadStream(saved)) checker.push(chunk as Buffer);
    assert.equal(checker.bytes, 20_000_000);
    const upload = randomBytes(5_000_000);
    writeFileSync(saved, upload);
    const answer = await curl(endpoint, '/upload', '--data-binary', `@${saved}`);
    const { bodySha256 } = JSON.parse(answer) as { bodySha256?: string };
    assert.equal(bodySha256, createHash('sha256').update(upload).digest('hex'), answer);
  });
}

const PYTHON = `
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
answers = []
for path in ("/one", "/two"):
    connection.request("POST", path, body=b"x" * 100000)
    response = connection.getresponse()
    answers.append([response.status, json.loads(response.read())["url"]])
connection.close()
print(json.dumps(answers))
`;

for (const kind of ['raw', 'http']) {
  test(`Python's http.client keeps its connection, ${kind}`, async (t) => {
    const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
    const args = ['--listen', '127.0.0.1:0', '--kind', kind, ...target(origin.port)];
    const endpoint = await startEndpoint(t, args, daemon.directory);
    const answers = JSON.parse(await run('python3', '-c', PYTHON, String(endpoint.port))) as unknown;
    assert.deepEqual(answers, [
      [200, '/one'],
      [200, '/two'],
    ]);
    assert.deepEqual([origin.counts.connections, origin.counts.requests], [1, 2]);
  });
}

test('redis-cli without TLS against a Redis with nothing but TLS', async (t) => {
  const port = await startRedis(t, { cert: leaf.chain, key: leaf.key });
  if (port === undefined) return;
  const endpoint = await startEndpoint(t, ['--listen', '127.0.0.1:0', ...target(port)], daemon.directory);
  const redis = (...args: string[]) => run('redis-cli', '-p', String(endpoint.port), ...args);
  assert.equal(await redis('PING'), 'PONG\n');
  assert.equal(await redis('SET', 'key', 'x'.repeat(100_000)), 'OK\n');
  assert.equal(await redis('STRLEN', 'key'), '100000\n');
  assert.match(await redis('--pipe-timeout', '5', 'INFO', 'clients'), /connected_clients:1\r?\n/);
});
