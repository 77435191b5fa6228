// Short-lived programs that each make one HTTPS request, one after another: with tlshub/register an unchanged program,
// with tls.Agent one that asks for it. However they end, they cost the origin one handshake.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { untilStates } from '#helpers/agent-client.js';
import { countingOrigin } from '#helpers/counting-origin.js';
import { httpOrigin, ok } from '#helpers/http-origin.js';
import { type RunOptions, runNode, spawnNode } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';

const PROCESSES = 10;

const scope = fileScope();
let ca: Authority;
let leaf: Certificate;
let daemon: TestDaemon;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost'] });
  daemon = await startTestDaemon(scope);
});

/** A program that knows nothing of tlshub, and what it does at the end of the response. */
const unchanged = (atEnd: string) => `
  import https from 'node:https';
  https.get(process.env.URL, { ca: process.env.CA }, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (text) => { body += text; });
    response.on('end', () => { ${atEnd} });
  });
`;
const PRINT = `process.stdout.write(response.statusCode + ' ' + body.length);`;

const IMPORT: RunOptions = { nodeArguments: ['--import', 'tlshub/register'] };
const REQUIRE: RunOptions = { nodeArguments: ['--require', 'tlshub/register'] };

const PROGRAMS: readonly { title: string; script: string; options: RunOptions; prints: RegExp }[] = [
  { title: 'an unchanged program', script: unchanged(PRINT), options: IMPORT, prints: /^200 \d+$/ },
  {
    title: 'an unchanged program, with --require',
    script: unchanged(PRINT),
    options: REQUIRE,
    prints: /^200 \d+$/,
  },
  {
    title: 'an unchanged program that calls process.exit() at the end of the response',
    script: unchanged('process.exit();'),
    options: IMPORT,
    prints: /^$/,
  },
  {
    title: 'an unchanged program that calls process.exit() before it has read the response',
    script: `
      import https from 'node:https';
      https.get(process.env.URL, { ca: process.env.CA }, (response) => {
        const timer = setInterval(() => response.complete && process.exit(), 1);
      });
    `,
    options: IMPORT,
    prints: /^$/,
  },
  {
    title: 'an unchanged program that does not end by itself',
    script: `
      import https from 'node:https';
      process.on('uncaughtException', () => process.exit(0));
      https.get(process.env.URL, { ca: process.env.CA }, (response) => {
        response.resume().on('end', () => { throw new Error('wrong'); });
      });
      setInterval(() => {}, 1000);
    `,
    options: IMPORT,
    prints: /^$/,
  },
  {
    title: 'a program with a tls.Agent',
    script: `
      import https from 'node:https';
      import tls from 'tlshub';
      const agent = new tls.Agent({ ca: process.env.CA, shared: { fallback: false } });
      https.get(process.env.URL, { agent }, (response) => response.resume().on('end', () => {
        process.stdout.write(String(response.statusCode));
      }));
    `,
    options: {},
    prints: /^200$/,
  },
];

for (const { title, script, options, prints } of PROGRAMS) {
  test(`P1: ${PROCESSES} processes of ${title} cost one handshake`, async (t) => {
    const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
    const env = environment(origin.port);
    for (let count = 0; count < PROCESSES; count += 1) {
      const { code, stdout, stderr } = await runNode(script, { ...options, env });
      assert.deepEqual([code, stderr], [0, ''], `process ${count}`);
      assert.match(stdout, prints);
    }
    const { connections, handshakes, requests, open } = origin.counts;
    assert.deepEqual([connections, handshakes, requests, open], [1, 1, PROCESSES, 1]);
  });
}

test('P7: processes that end in the middle of a response share nothing', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  const script = `
    import https from 'node:https';
    https.get(process.env.URL + 'bytes/10000000', { ca: process.env.CA }, (response) => {
      response.once('data', () => process.exit());
    });
  `;
  for (let count = 0; count < 3; count += 1) {
    const { code, stderr } = await runNode(script, { ...IMPORT, env: environment(origin.port) });
    assert.deepEqual([code, stderr], [0, '']);
  }
  assert.equal(origin.counts.connections, 3);
  await waitFor(() => origin.counts.open === 0, { what: 'the close of all sessions' });
});

test('P7: processes whose connection was authenticated share nothing, however they end', async (t) => {
  const origin = await httpOrigin(t, leaf, ({ socket }) =>
    socket.write(ok('no', ['WWW-Authenticate: NTLM'])),
  );
  for (const atEnd of [PRINT, 'process.exit();', PRINT, 'process.exit();']) {
    const { code, stderr } = await runNode(unchanged(atEnd), { ...IMPORT, env: environment(origin.port) });
    assert.deepEqual([code, stderr], [0, '']);
  }
  assert.equal(origin.connections, 4);
  await untilStates(daemon, origin.port, []);
});

test('P1: a worker thread gives its sessions back when it ends', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  const script = `
    import { once } from 'node:events';
    import { Worker } from 'node:worker_threads';
    const code = "import https from 'node:https';" +
      "https.get(process.env.URL, { ca: process.env.CA }, (response) => response.resume());";
    for (let count = 0; count < 3; count += 1) await once(new Worker(code, { eval: true }), 'exit');
  `;
  const { code, stderr } = await runNode(script, { ...IMPORT, env: environment(origin.port) });
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual([origin.counts.requests, origin.counts.connections], [3, 1]);
  await untilStates(daemon, origin.port, ['idle']);
});

test('a program ends at once, whatever the daemon does', async (t) => {
  const own = await startTestDaemon(t);
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  const script = `
    import https from 'node:https';
    https.get(process.env.URL, { ca: process.env.CA }, (response) => {
      response.resume().on('end', () => {
        console.log('answered');
        process.stdin.once('data', () => process.stdin.destroy());
      });
    });
  `;
  const env = { ...environment(origin.port), TLSHUB_DIR: own.directory };
  const program = spawnNode(script, { ...IMPORT, env, deadlineMs: 10_000 });
  await program.printed('answered');
  await own.kill('SIGSTOP');
  program.child.stdin?.write('end\n');
  const { code, stderr } = await program.result;
  await own.kill('SIGCONT');
  assert.deepEqual([code, stderr], [0, '']);
});

test('a free socket does not keep the process alive', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  const script = `
    import https from 'node:https';
    import tls from 'tlshub';
    const agent = new tls.Agent({ ca: process.env.CA, releaseAfter: 600_000 });
    https.get(process.env.URL, { agent }, (response) => response.resume());
  `;
  const { code, stderr } = await runNode(script, { env: environment(origin.port), deadlineMs: 10_000 });
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual((await daemon.sessions()).at(-1)?.state, 'idle');
});

test('the end of the process is told to the application as without tlshub', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  const script = `
    import https from 'node:https';
    for (const name of ['beforeExit', 'exit']) process.on(name, (code) => console.log(name, code));
    https.get(process.env.URL, { ca: process.env.CA }, (response) => response.resume());
  `;
  const env = environment(origin.port);
  const direct = await runNode(script, { env });
  assert.equal(direct.stdout, 'beforeExit 0\nexit 0\n');
  assert.deepEqual(await runNode(script, { ...IMPORT, env }), direct);
});

function environment(port: number): Record<string, string> {
  return { TLSHUB_DIR: daemon.directory, URL: `https://localhost:${port}/`, CA: ca.cert };
}
