// TLSHUB_SHARE and TLSHUB under tlshub/register: which connections of an unchanged program reach the daemon.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { leaseCount } from '#helpers/agent-client.js';
import { countingOrigin } from '#helpers/counting-origin.js';
import { type RunResult, runNode } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';

const scope = fileScope();
let ca: Authority;
let leaf: Certificate;
let daemon: TestDaemon;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
  daemon = await startTestDaemon(scope);
});

/** Asks by https.get and by tls.connect, and prints what either says of its sharing. */
const PROGRAM = `
  import https from 'node:https';
  import tls from 'node:tls';
  const { HOST: host, PORT, CA: ca, OPTIONS } = process.env;
  const options = { host, port: Number(PORT), ca, ...JSON.parse(OPTIONS ?? '{}') };
  const said = [];
  const request = https.get(options, (response) => {
    said.push(request.socket.sharing?.shared ?? null);
    response.resume().on('end', () => {
      const socket = tls.connect(options, () => {
        said.push(socket.sharing?.shared ?? null);
        console.log(JSON.stringify(said));
        socket.destroy();
      });
    });
  });
`;

const SHARED = [true, true];
/** node:tls itself: its sockets know nothing of sharing. */
const DIRECT = [null, null];

interface Case {
  env: Record<string, string | undefined>;
  said: readonly unknown[];
  host?: string;
  options?: object;
  warns?: RegExp;
}

const CASES: Readonly<Record<string, Case>> = {
  'without TLSHUB_SHARE all is shared': { env: { TLSHUB_SHARE: undefined }, said: SHARED },
  'TLSHUB_SHARE=all': { env: { TLSHUB_SHARE: 'all' }, said: SHARED },
  'P3: TLSHUB_SHARE=off': { env: { TLSHUB_SHARE: 'off' }, said: DIRECT },
  'P3: TLSHUB=off': { env: { TLSHUB: 'off', TLSHUB_SHARE: 'all' }, said: DIRECT },
  'a host that is named': { env: { TLSHUB_SHARE: 'example.com,localhost' }, said: SHARED },
  'P3: a host that is not named': {
    env: { TLSHUB_SHARE: 'example.com,localhost' },
    host: '127.0.0.1',
    said: DIRECT,
  },
  'a host with its port': { env: { TLSHUB_SHARE: 'localhost:PORT' }, said: SHARED },
  'P3: a host with another port': { env: { TLSHUB_SHARE: 'localhost:1' }, said: DIRECT },
  'P3: a host that is excluded': { env: { TLSHUB_SHARE: '*,!localhost' }, said: DIRECT },
  'a host beside one that is excluded': {
    env: { TLSHUB_SHARE: '!localhost' },
    host: '127.0.0.1',
    said: SHARED,
  },
  'a policy that cannot be understood shares nothing': {
    env: { TLSHUB_SHARE: 'https://localhost' },
    said: DIRECT,
    warns:
      /^\(node:\d+\) \[TLSHUB_SHARE\] Warning: TLSHUB_SHARE: "https:\/\/localhost" is none of: .*No TLS session is shared\.\n/,
  },
  'what a program says wins over a policy that shares': {
    env: { TLSHUB_SHARE: 'all' },
    options: { shared: false },
    said: DIRECT,
  },
  'what a program says wins over a policy that shares nothing': {
    env: { TLSHUB_SHARE: 'off' },
    options: { shared: true },
    said: SHARED,
  },
};

for (const [title, { env, said, host = 'localhost', options, warns }] of Object.entries(CASES)) {
  test(title, async (t) => {
    const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
    const { TLSHUB_SHARE: share } = env;
    const before = await leaseCount(daemon);
    const result = await runNode(PROGRAM, {
      nodeArguments: ['--import', 'tlshub/register'],
      env: {
        ...env,
        ...(share !== undefined && { TLSHUB_SHARE: share.replace('PORT', String(origin.port)) }),
        TLSHUB_DIR: daemon.directory,
        HOST: host,
        PORT: String(origin.port),
        CA: ca.cert,
        OPTIONS: JSON.stringify(options ?? {}),
      },
    });
    assert.equal(result.code, 0, result.stderr);
    assert.match(result.stderr, warns ?? /^$/);
    assert.deepEqual(JSON.parse(result.stdout), said);
    assert.equal((await leaseCount(daemon)) - before, said === SHARED ? 2 : 0);
  });
}

test('P3: with TLSHUB=off nothing is replaced, and no daemon is asked', async (t) => {
  const script = `
    import https from 'node:https';
    import tls from 'node:tls';
    const before = [tls.connect, tls.createSecureContext, https.Agent, https.globalAgent];
    await import('tlshub/register');
    const now = [tls.connect, tls.createSecureContext, https.Agent, https.globalAgent];
    console.log(now.every((value, index) => value === before[index]));
  `;
  const run = (TLSHUB: string): Promise<RunResult> =>
    runNode(script, { env: { TLSHUB, TLSHUB_DIR: tempDir(t) } });
  assert.deepEqual(await run('off'), { code: 0, signal: null, stdout: 'true\n', stderr: '' });
  assert.equal((await run('')).stdout, 'false\n');
});

test('an agent that a program has put in place stays', async (t) => {
  const script = `
    import https from 'node:https';
    class Own extends https.Agent {}
    https.globalAgent = new Own();
    await import('tlshub/register');
    console.log(https.globalAgent.constructor === Own);
  `;
  const { stdout } = await runNode(script, { env: { TLSHUB_DIR: tempDir(t) } });
  assert.equal(stdout, 'true\n');
});

test('P3: for a host that is not shared, an agent keeps no connection that it would not keep without tlshub', async (t) => {
  const script = `
    import https from 'node:https';
    const { PORT: port, CA: ca } = process.env;
    const sockets = new Set();
    for (const keepAlive of [false, true]) {
      const agent = new https.Agent({ keepAlive, ca });
      for (let count = 0; count < 3; count += 1) {
        await new Promise((resolve) => {
          const request = https.get({ host: 'localhost', port, agent }, (response) => {
            sockets.add(request.socket);
            response.resume();
          });
          request.on('close', () => setImmediate(resolve));
        });
      }
      agent.destroy();
    }
    console.log(sockets.size);
  `;
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  for (const share of ['off', 'example.com']) {
    const env = { TLSHUB_SHARE: share, TLSHUB_DIR: daemon.directory, PORT: String(origin.port), CA: ca.cert };
    const result = await runNode(script, { nodeArguments: ['--import', 'tlshub/register'], env });
    assert.deepEqual(result, { code: 0, signal: null, stdout: '4\n', stderr: '' }, share);
  }
});
