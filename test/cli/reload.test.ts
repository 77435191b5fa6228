// `tlshub reload` and SIGHUP, and the configuration file at the start of a daemon: what is printed, and that a broken file
// changes nothing.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { before, test } from 'node:test';
import { countingOrigin } from '#helpers/counting-origin.js';
import { PACKAGE_ROOT, runCli, runNodeForJson } from '#helpers/run-node.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import {
  type ContextPki,
  clientSection,
  contextDirectory,
  makeContextPki,
  serverSection,
} from '../daemon/contexts/context-files.ts';
import { runConnect } from './run-connect.ts';

let pki: ContextPki;
before(async () => {
  pki = await makeContextPki();
});

test('reload says what has changed, for people and as JSON', async (t) => {
  const files = contextDirectory(t, pki);
  const daemon = await startTestDaemon(t, { directory: files.path });
  const reload = (...flags: string[]) => runCli(['reload', '-d', files.path, ...flags]);
  const nothing = await reload();
  assert.deepEqual([nothing.code, nothing.stdout], [0, 'there is no configuration file\n']);
  files.configure(clientSection('api'), serverSection('www'));
  const first = await reload('--json');
  const endpoints = { added: [], changed: [], removed: [], failed: [] };
  const report = { file: files.file, added: ['api', 'www'], changed: [], removed: [], endpoints };
  assert.deepEqual([first.code, JSON.parse(first.stdout)], [0, report]);
  assert.equal((await reload()).stdout, `${files.file}: nothing has changed\n`);
  files.configure(clientSection('api', 'alpn = ["h2"]'), serverSection('new'));
  assert.equal((await reload()).stdout, `${files.file}: added new; changed api; removed www\n`);
  assert.match(daemon.log(), /"the configuration was reloaded"/);
  const status = await runCli(['status', '--json', '-d', files.path]);
  assert.deepEqual(JSON.parse(status.stdout).contexts, { file: files.file, server: 1, client: 1 });
});

test('a broken file is exit code 1 with the reason, and changes nothing', async (t) => {
  const files = contextDirectory(t, pki);
  files.configure(clientSection('api'));
  const daemon = await startTestDaemon(t, { directory: files.path });
  files.configure(clientSection('api'), clientSection('new', 'nonsense = true'));
  const { code, stdout, stderr } = await runCli(['reload', '-d', files.path]);
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(
    stderr,
    /^tlshub: .*tlshub\.toml: line \d+: context\.new\.nonsense is not a known key; there are: side, /,
  );
  assert.match(stderr, /\n {2}code: ERR_TLSHUB_CONFIG\n {2}help: mend it, then "tlshub reload"/);
  assert.match(daemon.log(), /"the configuration was not reloaded: nothing has changed"/);
  const status = await runCli(['status', '--json', '-d', files.path]);
  assert.deepEqual(JSON.parse(status.stdout).contexts, { file: files.file, server: 0, client: 1 });
});

test('SIGHUP reloads as well, good or broken, and the daemon lives on', async (t) => {
  const files = contextDirectory(t, pki);
  files.configure(clientSection('api'));
  const daemon = await startTestDaemon(t, { directory: files.path });
  files.configure(clientSection('other'));
  await daemon.kill('SIGHUP');
  await waitFor(() => daemon.log().includes('"added":["other"]'), { what: 'the reload' });
  files.configure('nonsense');
  await daemon.kill('SIGHUP');
  await waitFor(() => daemon.log().includes('was not reloaded'), { what: 'the refusal' });
  const { status } = (await daemon.status()) as { status: { contexts: unknown } };
  assert.deepEqual(status.contexts, { file: files.file, server: 0, client: 1 });
  assert.equal(await daemon.stop(), 0);
});

test('reload starts no daemon', async (t) => {
  const files = contextDirectory(t, pki);
  const { code, stderr } = await runCli(['reload', '-d', files.path]);
  assert.equal(code, 3);
  assert.match(stderr, /ERR_TLSHUB_DAEMON_UNREACHABLE/);
});

test('start takes a file relative to its own directory, and hands it to the daemon', async (t) => {
  const files = contextDirectory(t, pki);
  files.configure(clientSection('api'));
  const directory = join(contextDirectory(t, pki).path, 'd');
  t.after(() => runCli(['stop', '--now', '-d', directory]));
  const started = await runCli(['start', '-d', directory, '--config', relative(PACKAGE_ROOT, files.file)]);
  assert.deepEqual([started.code, started.stderr], [0, '']);
  const reload = await runCli(['reload', '-d', directory]);
  assert.equal(reload.stdout, `${files.file}: nothing has changed\n`);
  const late = await runCli(['start', '-d', directory, '--config', files.file]);
  assert.match(late.stderr, /it keeps the flags that it was started with/);
});

test('a daemon does not start with a file that it cannot use', async (t) => {
  const files = contextDirectory(t, pki);
  files.configure(clientSection('api', 'nonsense = true'));
  const gone = join(files.path, 'gone.toml');
  for (const [verb, ...flags] of [
    ['daemon'],
    ['start'],
    ['daemon', '--config', gone],
    ['start', '--config', gone],
  ]) {
    const { code, stderr } = await runCli([verb ?? '', '-d', files.path, ...flags]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /code: ERR_TLSHUB_CONFIG/);
    assert.match(
      stderr,
      flags.length > 0 ? /gone\.toml: there is no such file/ : /nonsense is not a known key/,
    );
  }
  assert.equal(existsSync(join(files.path, 'tlshub.sock')), false);
});

test('P5: where it keeps a daemon from starting, sharing falls back and says why; a context does not', async (t) => {
  const files = contextDirectory(t, pki);
  files.configure('nonsense = true');
  const origin = await countingOrigin(t, { cert: pki.server.chain, key: pki.server.key });
  const script = (options: string) => `
    import tls from 'tlshub';
    const target = { host: '127.0.0.1', port: ${origin.port}, servername: 'localhost' };
    const socket = tls.connect({ ...target, ${options} });
    const tell = (what) => {
      console.log(JSON.stringify([what, socket.sharing.reason]));
      socket.destroy();
    };
    socket.on('secureConnect', () => tell('open'));
    socket.on('error', (error) => tell(error.code));
  `;
  const env = { TLSHUB_DIR: files.path, CA: pki.ca.cert };
  const [plain, reason] = (await runNodeForJson(script('ca: process.env.CA, shared: true'), {
    env,
  })) as string[];
  assert.equal(plain, 'open');
  assert.match(reason ?? '', /nonsense\] is not a known section/);
  const [named] = (await runNodeForJson(script(`shared: { context: 'api' }`), { env })) as string[];
  assert.equal(named, 'ERR_TLSHUB_CONFIG');
});

test('connect --context authenticates with it; what it excludes is exit code 2', async (t) => {
  const files = contextDirectory(t, pki);
  files.configure(clientSection('api'));
  const { directory } = await startTestDaemon(t, { directory: files.path });
  const origin = await countingOrigin(t, {
    cert: pki.server.chain,
    key: pki.server.key,
    tls: { ca: pki.ca.cert, requestCert: true, rejectUnauthorized: true },
  });
  const env = { TLSHUB_DIR: directory };
  const address = `localhost:${origin.port}`;
  const result = await runConnect(t, [address, '--context', 'api', '--release'], env, 'hello\n');
  assert.deepEqual([result.code, String(result.stdout), result.stderr], [0, 'ok hello\n', '']);
  const unknown = await runConnect(t, [address, '--context', 'other'], env);
  assert.equal(unknown.code, 1);
  assert.match(
    unknown.stderr,
    /code: ERR_TLSHUB_CONTEXT_UNKNOWN\n {2}help: "tlshub doctor" lists the contexts/,
  );
  const ca = join(dirname(files.file), 'ca.pem');
  for (const flags of [['--ca', ca], ['--cert', ca, '--key', ca], ['--fallback'], ['--no-share']]) {
    const wrong = await runConnect(t, [address, '--context', 'api', ...flags], env);
    assert.equal(wrong.code, 2, flags.join(' '));
    assert.match(wrong.stderr, /exclude each other/);
  }
});

test('doctor names the contexts, and what is wrong with the file', async (t) => {
  const files = contextDirectory(t, pki);
  const check = async (directory: string) => {
    const { stdout } = await runCli(['doctor', '--json', '-d', directory]);
    const { checks } = JSON.parse(stdout) as { checks: { check: string; state: string; found: string }[] };
    return checks.find((result) => result.check === 'configuration');
  };
  assert.equal((await check(files.path))?.state, 'note');
  files.configure(clientSection('api'), serverSection('www'));
  const good = await check(files.path);
  assert.deepEqual([good?.state, good?.found], ['ok', `${files.file} defines contexts: api, www`]);
  // Of a daemon that runs it looks at the file that this one has.
  const { directory } = await startTestDaemon(t, { arguments: ['--config', files.file] });
  files.write({ 'client.key': pki.server.key });
  const bad = await check(directory);
  assert.equal(bad?.state, 'failed');
  assert.match(bad?.found ?? '', /context\.api: the key in client\.key is not the one of the certificate/);
});
