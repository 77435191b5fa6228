// Activate on receipt with real processes: a parked session costs none until its peer says something, and then its
// command has every byte.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { type CountingOrigin, countingOrigin, type OriginOptions } from '#helpers/counting-origin.js';
import { NODE, PACKAGE_ROOT, runCli, spawnNode } from '#helpers/run-node.js';
import { closed, opened, readBytes } from '#helpers/streams.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon, type TestDaemon, type TestDaemonOptions } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import type { StatusReport } from '#src/daemon/status.js';
import { codeOf } from '#src/errors.js';
import { type AttachOptions, attach } from '#src/wrapper/attach.js';
import { connect, type TlshubSocket } from '#src/wrapper/connect.js';
import { sessions } from '#src/wrapper/sessions.js';
import type { SharedOptions } from '#src/wrapper/sharing-options.js';

let ca: Authority;
let leaf: Certificate;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
});

/** Takes the session over, writes down what it found, answers, and ends it; for `run`. */
const TAKER = `
  import { appendFileSync } from 'node:fs';
  import tls from ${JSON.stringify(join(PACKAGE_ROOT, 'dist/index.js'))};
  const { TLSHUB_HANDLE, TLSHUB_REASON } = process.env;
  const socket = tls.attach(TLSHUB_HANDLE);
  let text = '';
  const tell = (end) => appendFileSync('told', JSON.stringify({
    pid: process.pid, uid: process.getuid(), reason: TLSHUB_REASON, cwd: process.cwd(), argument: process.argv[2],
    state: socket.state && String(socket.state), resumedAt: socket.sharing.resumedAt, text, end,
    variables: Object.keys(process.env),
  }) + '\\n');
  socket.on('secureConnect', () => socket.write('taken\\n'));
  socket.on('data', (chunk) => {
    text += chunk;
    if (!text.endsWith('.')) return;
    tell('told');
    socket.end();
  });
  socket.on('end', () => { if (!text.endsWith('.')) tell('end'); });
  socket.on('error', (error) => tell(error.code));
`;

interface Told {
  pid: number;
  uid: number;
  reason: string;
  cwd: string;
  argument: string;
  state: string | null;
  resumedAt: number;
  text: string;
  end: string;
  variables: string[];
}

interface Scene {
  daemon: TestDaemon;
  origin: CountingOrigin;
  /** Where commands run and write. */
  directory: string;
  taker: [string, ...string[]];
  open(shared?: SharedOptions, at?: CountingOrigin): Promise<{ socket: TlshubSocket; peer: TLSSocket }>;
  /** What the takers have written down. */
  told(): Told[];
  lines(file: string): string[];
  /** The processes that the daemon has started and that are not gone, zombies included. */
  children(): string[];
}

async function scene(t: TestContext, options: TestDaemonOptions = {}, how: Partial<OriginOptions> = {}) {
  const daemon = await startTestDaemon(t, options);
  process.env.TLSHUB_DIR = daemon.directory;
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'silent' }, ...how });
  const directory = tempDir(t);
  const script = join(directory, 'taker.mjs');
  writeFileSync(script, TAKER);
  const lines = (file: string) => {
    const path = join(directory, file);
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
  };
  const known = new Set<TLSSocket>();
  const made: Scene = {
    daemon,
    origin,
    directory,
    taker: [NODE, script, 'argument'],
    open: async (shared = {}, at = origin) => {
      const socket = connect({
        host: '127.0.0.1',
        port: at.port,
        servername: 'localhost',
        ca: ca.cert,
        shared: { fallback: false, ...shared },
      });
      socket.on('error', () => {});
      t.after(() => void socket.destroy());
      await opened(socket);
      const peer = await waitFor(() => [...at.sockets].find((one) => !known.has(one)), {
        what: 'the connection at the peer',
      });
      known.add(peer);
      // A peer that does not read would not see the end.
      if (at !== origin) return { socket, peer };
      peer.on('end', () => peer.end());
      peer.resume();
      return { socket, peer };
    },
    told: () => lines('told').map((line) => JSON.parse(line) as Told),
    lines,
    children: () =>
      readFileSync(`/proc/${daemon.pid}/task/${daemon.pid}/children`, 'utf8')
        .trim()
        .split(' ')
        .filter(Boolean),
  };
  return made;
}

async function statusOf(daemon: TestDaemon): Promise<StatusReport> {
  return (await daemon.status()).status as StatusReport;
}

/** Attaches, and forgives the failures that come when the test is over. */
function attachTo(name: string, options?: AttachOptions): TlshubSocket {
  const socket = attach(name, options);
  socket.on('error', () => {});
  return socket;
}

/** A shell command that writes its reason down. */
const note: [string, ...string[]] = ['sh', '-c', 'echo "$TLSHUB_REASON" >>reasons'];

test('P6: bytes that arrive start the command once, which takes the session over: handle, reason, state, directory', async (t) => {
  process.env.TLSHUB_TEST_SECRET = 'of the daemon';
  const { daemon, origin, directory, taker, open, told, children } = await scene(t, {
    env: { NODE_OPTIONS: '--no-deprecation', LC_TEST: 'x' },
  });
  delete process.env.TLSHUB_TEST_SECRET;
  const { socket, peer } = await open({ name: 'inbox' });
  await socket.park({ run: taker, cwd: directory, state: Buffer.from('login done') });
  assert.equal(socket.destroyed, true);
  assert.deepEqual(children(), []);
  const [listed] = await sessions();
  assert.deepEqual(listed?.parked, { program: NODE, reason: null, tries: 0 });
  assert.equal(JSON.stringify(listed).includes('argument'), false, 'arguments may hold secrets');
  let heard = '';
  peer.on('data', (chunk) => {
    heard += chunk;
  });
  peer.write('hello, ');
  await waitFor(() => heard === 'taken\n', { what: 'the answer of the command' });
  peer.write('sleeper.');
  const [seen] = await waitFor(() => told().length === 1 && told(), { what: 'what the command found' });
  const { pid, variables, ...rest } = seen ?? ({} as Told);
  assert.deepEqual(rest, {
    uid: process.getuid?.(),
    reason: 'data',
    cwd: directory,
    argument: 'argument',
    state: 'login done',
    resumedAt: 0,
    text: 'hello, sleeper.',
    end: 'told',
  });
  assert.ok(pid !== process.pid && pid !== daemon.pid);
  const own = ['TLSHUB_DIR', 'TLSHUB_HANDLE', 'TLSHUB_REASON'];
  assert.deepEqual(variables.filter((name) => name.startsWith('TLSHUB_')).sort(), own);
  assert.deepEqual(
    [variables.includes('NODE_OPTIONS'), variables.includes('PATH'), variables.includes('LC_TEST')],
    [false, true, true],
  );
  await waitFor(() => children().length === 0, { what: 'no process, and no zombie' });
  await waitFor(async () => (await sessions()).length === 0, { what: 'the end of the session' });
  assert.deepEqual([origin.counts.handshakes, told().length], [1, 1]);
});

test('bytes that were decrypted and not read before the session is parked start the command at once', async (t) => {
  const { directory, taker, open, told } = await scene(t);
  const { socket, peer } = await open({ name: 'unread' });
  peer.write('first half, second half.');
  assert.equal(String(await readBytes(socket, 12)), 'first half, ');
  await socket.park({ run: taker, cwd: directory });
  const [seen] = await waitFor(() => told().length === 1 && told(), { what: 'the command' });
  assert.deepEqual([seen?.reason, seen?.text, seen?.resumedAt], ['data', 'second half.', 12]);
});

test('P6: a pooled session can be parked too, with what it had unread', async (t) => {
  const { directory, taker, open, told, origin } = await scene(t);
  const { socket, peer } = await open();
  peer.write('read, unread.');
  assert.equal(String(await readBytes(socket, 6)), 'read, ');
  await socket.park({ run: taker, cwd: directory });
  const [seen] = await waitFor(() => told().length === 1 && told(), { what: 'the command' });
  assert.deepEqual([seen?.reason, seen?.text], ['data', 'unread.']);

  const second = await open();
  await second.socket.park({ run: taker, cwd: directory, state: Buffer.from('of a pooled one') });
  const listed = (await sessions()).find(({ parked }) => parked !== null);
  assert.deepEqual([listed?.name, listed?.mode, listed?.parked?.reason], [null, 'exclusive', null]);
  second.peer.write('later.');
  const [, later] = await waitFor(() => told().length === 2 && told(), { what: 'the second command' });
  assert.deepEqual([later?.reason, later?.text, later?.state], ['data', 'later.', 'of a pooled one']);
  assert.ok(origin.counts.connections <= 2);
});

test('P7: the end of the peer, its failure and the time are told as the reason; close and error are there to be read', async (t) => {
  const { directory, taker, open, told } = await scene(t);
  const closing = await open({ name: 'closing' });
  await closing.socket.park({ run: taker, cwd: directory });
  closing.peer.end();
  await waitFor(() => told().length === 1, { what: 'the command for close' });
  const resetting = await countingOrigin(t, {
    ...leaf,
    behaviour: { kind: 'script', steps: [{ receiveLine: true }, { waitMs: 300 }, { close: 'reset' }] },
  });
  const failing = await open({ name: 'failing' }, resetting);
  failing.socket.write('go\n');
  await failing.socket.park({ run: taker, cwd: directory });
  await waitFor(() => told().length === 2, { what: 'the command for error' });
  const overrun = await open({ name: 'overrun' });
  await overrun.socket.park({ run: taker, cwd: directory });
  overrun.peer.end('last words');
  await waitFor(() => told().length === 3, { what: 'the command for data before the end' });
  assert.deepEqual(
    told().map(({ reason, text, end }) => [reason, text, end]),
    [
      ['close', '', 'end'],
      ['error', '', 'ECONNRESET'],
      ['data', 'last words', 'end'],
    ],
  );
});

test('a timeout starts the command and leaves the session usable', async (t) => {
  const { directory, open, lines, origin, daemon } = await scene(t);
  const { socket, peer } = await open({ name: 'patient' });
  await socket.park({ run: note, cwd: directory, timeout: 50 });
  await waitFor(() => lines('reasons').length === 1, { what: 'the command' });
  assert.deepEqual(lines('reasons'), ['timeout']);
  await waitFor(async () => (await daemon.sessions())[0]?.parked === null, {
    what: 'the end of the command',
  });
  const again = attachTo('patient');
  await opened(again);
  peer.write('still here');
  assert.equal(String(await readBytes(again, 10)), 'still here');
  again.destroy();
  assert.deepEqual([origin.counts.open, lines('reasons').length], [1, 1]);
});

test('with stdio the session is the command’s standard input and output', async (t) => {
  const { directory, open, children } = await scene(t);
  const { socket, peer } = await open({ name: 'wired' });
  await socket.park({
    run: ['sh', '-c', 'read line; echo "$TLSHUB_REASON: $line"; cat'],
    cwd: directory,
    stdio: true,
  });
  peer.removeAllListeners('data');
  peer.pause();
  peer.write('one\ntwo\n');
  assert.equal(String(await readBytes(peer, 14)), 'data: one\ntwo\n');
  const big = Buffer.alloc(1_000_000, 'abcdefg\n');
  peer.write(big);
  assert.equal((await readBytes(peer, big.length)).equals(big), true);
  assert.equal(children().length, 2);
  peer.end();
  peer.resume();
  await closed(peer);
  await waitFor(() => children().length === 0, { what: 'no process, and no zombie' });
});

test('hundreds of parked sessions cost no process; those whose peers speak are woken, each once', async (t) => {
  const count = 300;
  const woken = 60;
  const { directory, open, lines, children, daemon } = await scene(t, {
    arguments: ['--max-sessions', '1000'],
  });
  const peers: TLSSocket[] = [];
  for (let index = 0; index < count; index += 1) {
    const { socket, peer } = await open({ name: `inbox ${index}` });
    peers.push(peer);
    await socket.park({ run: ['sh', '-c', `echo "${index} $TLSHUB_REASON" >>reasons`], cwd: directory });
  }
  assert.deepEqual(children(), []);
  const { sessions: counts, commands } = await statusOf(daemon);
  assert.deepEqual([counts.parked, commands], [count, { running: 0, queued: 0 }]);
  for (const peer of peers.slice(0, woken)) peer.write('wake');
  await waitFor(() => lines('reasons').length === woken, { what: 'all that were woken', deadlineMs: 30_000 });
  await waitFor(() => children().length === 0, { what: 'no process, and no zombie' });
  const expected = Array.from({ length: woken }, (_, index) => `${index} data`);
  assert.deepEqual(lines('reasons').sort(), expected.sort());
  assert.equal((await statusOf(daemon)).sessions.parked, count - woken);
});

test('P7: a command that cannot start, or dies at once, is logged and tried again; then the session is closed', async (t) => {
  const { directory, open, lines, daemon, children } = await scene(t);
  const dying = ['sh', '-c', 'echo try >>tries; exit 3'] as [string, ...string[]];
  const orders = {
    missing: { run: ['/no/such/program', 'secret argument'] as [string, ...string[]] },
    dying: { run: dying },
    wired: { run: ['sh', '-c', 'echo try >>wired-tries; exit 3'] as [string, ...string[]], stdio: true },
  };
  const peers: TLSSocket[] = [];
  for (const [name, order] of Object.entries(orders)) {
    const { socket, peer } = await open({ name });
    await socket.park({ ...order, cwd: directory });
    peers.push(peer);
  }
  const startedAtMs = performance.now();
  for (const peer of peers) peer.write('wake');
  await waitFor(async () => (await sessions()).some(({ parked }) => parked?.tries === 2), {
    what: 'a second try',
  });
  const listed = (await sessions()).find(({ name }) => name === 'missing');
  assert.match(listed?.reason ?? '', /^its command could not be started: .*ENOENT/);
  await waitFor(async () => (await sessions()).length === 0, { what: 'the ends', deadlineMs: 20_000 });
  assert.ok(performance.now() - startedAtMs > 7_000, 'the pauses add up to 7.5 s');
  assert.deepEqual([lines('tries').length, lines('wired-tries').length], [5, 5]);
  await Promise.all(peers.map((peer) => closed(peer)));
  const log = daemon.log();
  assert.match(
    log,
    /"program":"\/no\/such\/program","try":1,"msg":"the command could not be started: .*ENOENT"/,
  );
  assert.match(log, /"reason":"its command failed 5 times: ended with 3 .*a parked session is closed/);
  assert.equal(log.includes('secret argument'), false);
  assert.deepEqual(children(), []);
});

test('a command that works at the third try has every byte', async (t) => {
  const { directory, open, lines } = await scene(t);
  for (const stdio of [false, true]) {
    const name = `third ${stdio}`;
    const { socket, peer } = await open({ name });
    const work = stdio
      ? 'head -c 5 >got'
      : `"${NODE}" "${PACKAGE_ROOT}/dist/cli/main.js" connect --attach "$TLSHUB_HANDLE" </dev/null >got`;
    const script = `echo try >>"tries ${stdio}"; [ $(wc -l <"tries ${stdio}") -ge 3 ] || exit 1; ${work}`;
    await socket.park({ run: ['sh', '-c', script], cwd: directory, stdio });
    peer.end('every');
    await waitFor(
      () => existsSync(join(directory, 'got')) && readFileSync(join(directory, 'got'), 'utf8') === 'every',
      {
        what: `the bytes, stdio ${stdio}`,
      },
    );
    assert.equal(lines(`tries ${stdio}`).length, 3);
    writeFileSync(join(directory, 'got'), '');
  }
});

test('P7: park is refused while another process holds the session or waits for it, and costs the caller nothing', async (t) => {
  const { directory, open, origin } = await scene(t);
  const { socket, peer } = await open({ name: 'wanted' });
  const waiting = attachTo('wanted', { wait: 10_000 });
  await waitFor(async () => (await sessions())[0]?.waiting === 1, { what: 'the waiting process' });
  await assert.rejects(socket.park({ run: note, cwd: directory }), { code: 'ERR_TLSHUB_SESSION_BUSY' });
  peer.write('for the holder');
  assert.equal(String(await readBytes(socket, 14)), 'for the holder');
  await socket.release();
  await opened(waiting);
  waiting.end();

  const first = await open({ name: 'open to all', mode: 'broadcast' });
  const other = attachTo('open to all');
  await opened(other);
  await assert.rejects(first.socket.park({ run: note }), { code: 'ERR_TLSHUB_SESSION_BUSY' });
  first.peer.write('to both');
  assert.equal(String(await readBytes(first.socket, 7)), 'to both');
  assert.equal(String(await readBytes(other, 7)), 'to both');
  await other.release();
  await first.socket.park({ run: note, cwd: directory });
  assert.equal(origin.counts.connections, 2);
});

test('whoever attaches to a parked session by its name takes it back: the command is not started', async (t) => {
  const { directory, open, lines, daemon } = await scene(t);
  const { socket, peer } = await open({ name: 'taken back' });
  await socket.park({ run: note, cwd: directory, timeout: 300 });
  const own = attachTo('taken back');
  await opened(own);
  assert.equal((await sessions())[0]?.parked, null);
  peer.write('for the holder');
  assert.equal(String(await readBytes(own, 14)), 'for the holder');
  await own.park({ run: ['sh', '-c', 'echo again >>reasons'], cwd: directory });
  peer.write('for the command');
  await waitFor(() => lines('reasons').length > 0, { what: 'the second command' });
  await waitFor(async () => (await statusOf(daemon)).commands.running === 0, { what: 'its end' });
  assert.deepEqual(lines('reasons'), ['again']);
});

test('P6: the holder may die: what it parked is woken all the same', async (t) => {
  const { directory, origin, taker, told, daemon } = await scene(t);
  const script = `
    import tls from ${JSON.stringify(join(PACKAGE_ROOT, 'dist/index.js'))};
    const [, port, ca, cwd, ...run] = process.argv;
    const socket = tls.connect({ host: '127.0.0.1', servername: 'localhost', port, ca, shared: { name: 'orphan' } });
    socket.once('secureConnect', () => socket.park({ run, cwd }).then(() => process.kill(process.pid, 'SIGKILL')));
  `;
  const holder = spawnNode(script, {
    env: { TLSHUB_DIR: daemon.directory },
    arguments: ['script', `${origin.port}`, ca.cert, directory, ...taker].slice(1),
  });
  assert.equal((await holder.result).signal, 'SIGKILL', holder.stderr);
  assert.equal((await daemon.sessions())[0]?.name, 'orphan');
  [...origin.sockets][0]?.write('anybody?.');
  const [seen] = await waitFor(() => told().length === 1 && told(), { what: 'the command' });
  assert.deepEqual([seen?.reason, seen?.text], ['data', 'anybody?.']);
});

test('P7: an operator who closes a parked session wakes its command, which is told the reason', async (t) => {
  const { directory, taker, open, told, daemon } = await scene(t);
  const { socket } = await open({ name: 'closed' });
  await socket.park({ run: taker, cwd: directory });
  const [{ id = '' } = {}] = await sessions();
  assert.equal((await runCli(['close', id, '-d', daemon.directory])).code, 0);
  const [seen] = await waitFor(() => told().length === 1 && told(), { what: 'the command' });
  assert.deepEqual([seen?.reason, seen?.end], ['error', 'ERR_TLSHUB_CLOSED']);
});

test('a daemon that is drained closes its parked sessions, starts no command, and ends', async (t) => {
  const { directory, open, daemon } = await scene(t);
  const parked = await Promise.all([open({ name: 'a' }), open({ name: 'b' })].map(async (one) => one));
  for (const { socket } of parked) await socket.park({ run: note, cwd: directory, timeout: 60_000 });
  assert.equal(await daemon.stop(), 0);
  await Promise.all(parked.map(({ peer }) => closed(peer)));
  assert.equal(readdirSync(directory).includes('reasons'), false);
});

test('a daemon ends although a command runs, and the command runs on', async (t) => {
  const { directory, open, daemon, lines } = await scene(t);
  const { socket, peer } = await open({ name: 'long' });
  const script = 'echo "$$" >>pids; until [ -e go ]; do sleep 0.05; done; echo over >>over';
  await socket.park({ run: ['sh', '-c', script], cwd: directory });
  peer.write('wake');
  await waitFor(() => lines('pids').length === 1, { what: 'the command' });
  assert.equal(await daemon.stop(), 0);
  writeFileSync(join(directory, 'go'), '');
  await waitFor(() => lines('over').length === 1, { what: 'the end of the command' });
});

test('P7: what cannot be parked, or not so, is refused with a code', async (t) => {
  const { open, directory } = await scene(t);
  const { socket } = await open({ name: 'choosy' });
  const wrong: [string, unknown][] = [
    ['no command', {}],
    ['an empty command', { run: [] }],
    ['a command of numbers', { run: [1] }],
    ['an empty program', { run: [''] }],
    ['a time that is none', { run: ['true'], timeout: -1 }],
    ['a time that no timer can run', { run: ['true'], timeout: 2 ** 31 }],
    ['a state that is too large', { run: ['true'], state: Buffer.alloc(65_537) }],
    ['a state that is no buffer', { run: ['true'], state: 'text' }],
  ];
  for (const [what, options] of wrong) {
    await assert.rejects(socket.park(options as never), { code: 'ERR_TLSHUB_INVALID_OPTION' }, what);
  }
  await socket.park({ run: note, cwd: directory });
  await assert.rejects(socket.park({ run: note }), { code: 'ERR_TLSHUB_NOT_LEASED' });
  const early = connect({ host: '127.0.0.1', port: 1, shared: { fallback: false } });
  const failure = new Promise((resolve) => early.on('error', resolve));
  await assert.rejects(early.park({ run: note }), { code: 'ERR_TLSHUB_NOT_LEASED' });
  assert.equal(codeOf(await within(failure as Promise<Error>, { what: 'the failure' })), 'ECONNREFUSED');
});
