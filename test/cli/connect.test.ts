// `tlshub connect` as a program in any language meets it: bytes through two pipes, and an exit code.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { createServer } from 'node:tls';
import { countingOrigin, type OriginOptions } from '#helpers/counting-origin.js';
import { listen, unusedPort } from '#helpers/listen.js';
import { PatternChecker } from '#helpers/pattern.js';
import { fileScope, type Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import { runConnect, startConnect } from './run-connect.ts';

const file = fileScope();
let ca: Authority;
let leaf: Certificate;
let daemon: TestDaemon;
let caFile: string;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
  daemon = await startTestDaemon(file);
  caFile = join(tempDir(file), 'ca.pem');
  writeFileSync(caFile, ca.cert);
});

const origin = (scope: Scope, options: Partial<OriginOptions>) =>
  countingOrigin(scope, { ...leaf, ...options });
const env = () => ({ TLSHUB_DIR: daemon.directory });

for (const way of [['--no-fallback'], ['--no-share']]) {
  test(`${way}: every byte passes unchanged in both directions, then exit code 0`, async (t) => {
    const { port } = await origin(t, { behaviour: { kind: 'echo' } });
    const input = Buffer.concat([Buffer.from([0, 4, 10, 13, 26, 127, 128, 255]), randomBytes(3_000_000)]);
    const result = await runConnect(t, [`localhost:${port}`, '--ca', caFile, ...way], env(), input);
    assert.deepEqual([result.code, result.stderr], [0, '']);
    assert.equal(result.stdout.equals(input), true);
  });

  test(`${way}: the end of input ends our side only, and the answer that follows comes through`, async (t) => {
    const server = createServer({ key: leaf.key, cert: leaf.chain, allowHalfOpen: true }, (socket) => {
      let question = '';
      socket.on('data', (chunk) => {
        question += chunk;
      });
      socket.on('end', () => socket.end(`you said: ${question}`));
    });
    const port = await listen(server);
    t.after(() => void server.close());
    const result = await runConnect(t, [`127.0.0.1:${port}`, '--ca', caFile, ...way], env(), 'hello');
    assert.deepEqual([result.code, String(result.stdout), result.stderr], [0, 'you said: hello', '']);
  });

  test(`${way}: the end of the peer ends it, though input is still open`, async (t) => {
    const { port } = await origin(t, {
      behaviour: { kind: 'script', steps: [{ text: 'bye' }, { close: 'close_notify' }] },
    });
    const running = startConnect(t, [`localhost:${port}`, '--ca', caFile, ...way], env());
    const result = await running.result;
    assert.deepEqual([result.code, String(result.stdout), result.stderr], [0, 'bye', '']);
  });

  test(`P8: ${way}: a reset by the peer is exit code 1 with the code of node:tls`, async (t) => {
    const { port } = await origin(t, {
      behaviour: { kind: 'script', steps: [{ text: 'ready' }, { receive: 2 }, { close: 'reset' }] },
    });
    const running = startConnect(t, [`localhost:${port}`, '--ca', caFile, ...way], env());
    // A reset that comes right behind the tickets of the handshake can be seen as an end, by node:tls too.
    await running.received(5);
    running.child.stdin?.write('go');
    const result = await running.result;
    assert.equal(result.code, 1);
    assert.match(result.stderr, /^tlshub: read ECONNRESET\n {2}code: ECONNRESET\n$/);
  });
}

test('P1: with --release, one handshake serves one process after another', async (t) => {
  const { port, counts } = await origin(t, {});
  const args = [`localhost:${port}`, '--ca', caFile, '--release', '--json'];
  for (const word of ['one', 'two', 'three']) {
    const result = await runConnect(t, args, env(), `${word}\n`);
    assert.deepEqual([result.code, String(result.stdout)], [0, `ok ${word}\n`]);
    const { ended, sent, received, sharing } = JSON.parse(result.stderr);
    assert.deepEqual([ended, sent, received], ['released', word.length + 1, word.length + 4]);
    assert.deepEqual([sharing.shared, sharing.reused, sharing.reason], [true, word !== 'one', null]);
  }
  assert.deepEqual([counts.handshakes, counts.resumptions, counts.connections], [1, 0, 1]);
});

test('--release waits for a slow answer, and for all of an answer that comes in parts', async (t) => {
  const { port } = await origin(t, {
    behaviour: {
      kind: 'script',
      steps: [
        { receiveLine: true },
        { waitMs: 700 },
        { text: 'first,' },
        { waitMs: 100 },
        { text: 'second' },
      ],
    },
  });
  const args = [`localhost:${port}`, '--ca', caFile, '--release', '--quiet', '500ms', '--verbose'];
  const result = await runConnect(t, args, env(), 'question\n');
  assert.deepEqual([result.code, String(result.stdout)], [0, 'first,second']);
  assert.match(result.stderr, /\ntlshub: released: 9 bytes sent, 12 received\n$/);
});

test('P7: with --release, a session whose peer ends it is not kept, and the exit code is 0', async (t) => {
  const { port, counts } = await origin(t, {
    behaviour: { kind: 'script', steps: [{ receiveLine: true }, { text: 'bye' }, { close: 'close_notify' }] },
  });
  for (let run = 0; run < 2; run += 1) {
    const result = await runConnect(t, [`localhost:${port}`, '--ca', caFile, '--release'], env(), 'x\n');
    assert.deepEqual([result.code, String(result.stdout), result.stderr], [0, 'bye', '']);
  }
  assert.equal(counts.connections, 2);
});

test('P6: --detach leaves the session with its unread bytes, --attach goes on at the exact byte, once', async (t) => {
  const { port, counts } = await origin(t, {});
  const first = startConnect(t, [`localhost:${port}`, '--ca', caFile, '--detach'], env());
  first.child.stdin?.write('one\n');
  await first.received('ok one\n'.length);
  first.child.stdin?.end('two\n');
  const { code, stdout, stderr } = await first.result;
  assert.equal(code, 0);
  const handle = /^tlshub: detached: (\S+)\n$/.exec(stderr)?.[1] ?? '';
  assert.notEqual(handle, '', stderr);

  const second = startConnect(t, ['--attach', handle], env());
  second.child.stdin?.write('three\n');
  const expected = 'ok one\nok two\nok three\n';
  await second.received(expected.length - stdout.length);
  second.child.stdin?.end();
  const rest = await second.result;
  assert.deepEqual([rest.code, `${stdout}${rest.stdout}`, rest.stderr], [0, expected, '']);
  assert.equal(counts.handshakes, 1);

  const third = await runConnect(t, ['--attach', handle, '--json'], env());
  assert.equal(third.code, 1);
  assert.equal(JSON.parse(third.stderr).error.code, 'ERR_TLSHUB_HANDLE_UNKNOWN');
});

test('--detach of a session that the peer has ended is exit code 1', async (t) => {
  const { port } = await origin(t, {
    behaviour: { kind: 'script', steps: [{ text: 'bye' }, { close: 'close_notify' }] },
  });
  const running = startConnect(t, [`localhost:${port}`, '--ca', caFile, '--detach'], env());
  const result = await running.result;
  assert.deepEqual([result.code, String(result.stdout)], [1, 'bye']);
  assert.match(result.stderr, /code: ERR_TLSHUB_NOT_DETACHABLE/);
});

test('failures to open have the codes of node:tls and exit code 1, shared or not', async (t) => {
  const now = Date.now();
  const names = ['localhost', '127.0.0.1'];
  const expired = await ca.issue({ names, notBefore: new Date(now - 2e8), notAfter: new Date(now - 1e8) });
  const wrongName = await ca.issue({ names: ['other.test'] });
  const ports: Record<string, number> = {
    CERT_HAS_EXPIRED: (await countingOrigin(t, { ...expired })).port,
    ERR_TLS_CERT_ALTNAME_INVALID: (await countingOrigin(t, { ...wrongName })).port,
    ECONNREFUSED: await unusedPort(),
  };
  for (const [code, port] of Object.entries(ports)) {
    const args = [`localhost:${port}`, '--ca', caFile, '--json'];
    const shared = await runConnect(t, [...args, '--no-fallback'], env());
    const direct = await runConnect(t, [...args, '--no-share'], env());
    assert.deepEqual([shared.code, String(shared.stdout)], [1, '']);
    assert.equal(JSON.parse(shared.stderr).error.code, code);
    assert.deepEqual(shared, direct);
  }
});

test('--insecure accepts what cannot be verified, and --verbose says so', async (t) => {
  const selfSigned = await ca.issue({ names: ['localhost'], selfSigned: true });
  const { port } = await countingOrigin(t, { ...selfSigned, behaviour: { kind: 'echo' } });
  const refused = await runConnect(t, [`localhost:${port}`], env(), 'x');
  assert.deepEqual([refused.code, String(refused.stdout)], [1, '']);
  assert.match(refused.stderr, /code: DEPTH_ZERO_SELF_SIGNED_CERT/);
  const accepted = await runConnect(t, [`localhost:${port}`, '--insecure', '--verbose'], env(), 'x');
  assert.deepEqual([accepted.code, String(accepted.stdout)], [0, 'x']);
  assert.match(accepted.stderr, /certificate NOT verified \(DEPTH_ZERO_SELF_SIGNED_CERT\)/);
});

test('own certificate, ALPN and server name reach the peer', async (t) => {
  const client = await ca.issue({ names: ['client'], clientAuth: true });
  const directory = tempDir(t);
  const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  writeFileSync(certFile, client.cert);
  writeFileSync(keyFile, client.key);
  const options = {
    requestCert: true,
    rejectUnauthorized: true,
    ca: ca.cert,
    ALPNProtocols: ['second', 'third'],
  };
  const server = createServer({ ...options, key: leaf.key, cert: leaf.chain }, (socket) => {
    const { servername } = socket as unknown as { servername: string };
    const { CN } = socket.getPeerCertificate().subject;
    socket.end(`${CN} ${socket.alpnProtocol} ${servername}`);
  });
  const port = await listen(server);
  t.after(() => void server.close());
  const own = ['--cert', certFile, '--key', keyFile, '--alpn', 'first,second'];
  const args = [`127.0.0.1:${port}`, '--ca', caFile, '--servername', 'localhost', ...own];
  const result = await runConnect(t, args, env());
  assert.deepEqual([result.code, String(result.stdout), result.stderr], [0, 'client second localhost', '']);
});

test('a slow reader slows the peer, and loses nothing', async (t) => {
  const bytes = 48 * 1024 * 1024;
  const { port } = await origin(t, {});
  const running = startConnect(t, [`localhost:${port}`, '--ca', caFile], env());
  const { stdout } = running.child;
  if (stdout === null) throw new Error('no pipe');
  stdout.removeAllListeners('data');
  stdout.pause();
  running.child.stdin?.write(`send ${bytes}\n`);
  const own = async () => {
    const sessions = await daemon.sessions();
    return Number(sessions.find(({ peer }) => peer === `localhost:${port}`)?.bytesFromPeer ?? 0);
  };
  let before = -1;
  let equalReadings = 0;
  const passed = await waitFor(
    async () => {
      const now = await own();
      equalReadings = now === before ? equalReadings + 1 : 0;
      before = now;
      return now > 0 && equalReadings >= 20 && now;
    },
    { what: 'the stream to stop' },
  );
  assert.ok(passed < 8 * 1024 * 1024, `${passed} bytes passed`);
  const checker = new PatternChecker();
  stdout.on('data', (chunk: Buffer) => checker.push(chunk));
  stdout.resume();
  await waitFor(() => checker.bytes === bytes, {
    what: () => `all bytes: ${checker.bytes}`,
    deadlineMs: 20_000,
  });
  running.child.stdin?.end();
  assert.equal((await running.result).code, 0);
});

test('a closed standard output ends the session and is no failure', async (t) => {
  const { port, counts } = await origin(t, {});
  const running = startConnect(t, [`localhost:${port}`, '--ca', caFile], env());
  running.child.stdin?.write('hello\n');
  await running.received('ok hello\n'.length);
  running.child.stdout?.destroy();
  running.child.stdin?.write('send 1000000\n');
  const { code, stderr } = await running.result;
  assert.deepEqual([code, stderr], [0, '']);
  await waitFor(() => counts.open === 0, { what: 'the end of the session' });
});

test('SIGINT, SIGTERM and SIGHUP end the session, with the exit codes of shells', async (t) => {
  const { port, counts } = await origin(t, {});
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    const running = startConnect(t, [`localhost:${port}`, '--ca', caFile], env());
    running.child.stdin?.write('hello\n');
    await running.received('ok hello\n'.length);
    running.child.kill(signal);
    const result = await running.result;
    assert.deepEqual([result.code, result.stderr], [code, '']);
    await waitFor(() => counts.open === 0, { what: `the end of the session after ${signal}` });
  }
});

test('P15: kill -9 ends its own session and leaves that of another process alone', async (t) => {
  const { port, counts } = await origin(t, {});
  const [victim, other] = ['victim', 'other'].map(() =>
    startConnect(t, [`localhost:${port}`, '--ca', caFile], env()),
  );
  for (const running of [victim, other]) {
    running?.child.stdin?.write('hello\n');
    await running?.received('ok hello\n'.length);
  }
  assert.equal(counts.open, 2);
  victim?.child.kill('SIGKILL');
  await waitFor(() => counts.open === 1, { what: 'the end of the session' });
  other?.child.stdin?.end('still here\n');
  const result = await other?.result;
  assert.deepEqual([result?.code, String(result?.stdout)], [0, 'ok hello\nok still here\n']);
});

test('P16: the death of the daemon is exit code 1 with ERR_TLSHUB_DAEMON_LOST', async (t) => {
  const mortal = await startTestDaemon(t);
  const { port } = await origin(t, {});
  const running = startConnect(t, [`localhost:${port}`, '--ca', caFile], { TLSHUB_DIR: mortal.directory });
  running.child.stdin?.write('hello\n');
  await running.received('ok hello\n'.length);
  await mortal.kill('SIGKILL');
  const result = await running.result;
  assert.equal(result.code, 1);
  assert.match(result.stderr, /code: ERR_TLSHUB_DAEMON_LOST/);
});

test('P5: where no daemon can be had, TLS is made in the process and said so; --no-fallback is exit code 3', async (t) => {
  const { port } = await origin(t, { behaviour: { kind: 'echo' } });
  const open = tempDir(t);
  chmodSync(open, 0o777);
  const args = [`localhost:${port}`, '--ca', caFile];
  const fallen = await runConnect(t, args, { TLSHUB_DIR: open }, 'x');
  assert.deepEqual([fallen.code, String(fallen.stdout)], [0, 'x']);
  assert.match(fallen.stderr, /^tlshub: not shared: /);
  for (const flag of ['--no-fallback', '--detach']) {
    const refused = await runConnect(t, [...args, flag], { TLSHUB_DIR: open }, 'x');
    assert.deepEqual([refused.code, String(refused.stdout)], [3, '']);
    assert.match(refused.stderr, /^tlshub: .*\n {2}code: ERR_TLSHUB_DIRECTORY\n/);
  }
});

test('--timeout limits how long opening may take', async (t) => {
  const { port } = await origin(t, { handshakeDelayMs: 60_000 });
  const args = [`localhost:${port}`, '--ca', caFile, '--timeout', '300ms', '--json'];
  for (const way of ['--no-share', '--no-fallback']) {
    const result = await runConnect(t, [...args, way], env());
    assert.equal(result.code, 1);
    assert.equal(JSON.parse(result.stderr).error.code, 'ETIMEDOUT');
  }
});

test('wrong command lines are exit code 2 and open nothing', async (t) => {
  const { port, counts } = await origin(t, {});
  const address = `localhost:${port}`;
  const wrong: readonly (readonly string[])[] = [
    [],
    ['localhost'],
    ['::1:443'],
    [address, 'too much'],
    [address, '--attach', 'handle'],
    ['--attach', 'handle', '--ca', caFile],
    ['--attach', 'handle', '--insecure'],
    [address, '--release', '--detach'],
    [address, '--no-share', '--release'],
    [address, '--no-share', '--detach'],
    ['--attach', 'handle', '--no-share'],
    [address, '--cert', caFile],
    [address, '--ca', join(caFile, 'nothing')],
    [address, '--wait', '5'],
    [address, '--no-such-flag'],
  ];
  for (const args of wrong) {
    const result = await runConnect(t, args, env());
    assert.deepEqual([result.code, String(result.stdout)], [2, ''], args.join(' '));
    assert.match(result.stderr, /^tlshub: .+\n {2}code: USAGE\n {2}help: /, args.join(' '));
  }
  assert.equal(counts.connections, 0);
});
