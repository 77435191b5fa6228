// The daemon's door: one daemon a directory, its socket placed at once and never stolen, other users kept out. Rivals
// and victims are real processes.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CAN_BECOME_OTHERS, OTHER_UID, runAsOther } from '#helpers/other-user.js';
import { NODE, type RunningNode, runNodeForJson, spawnNode, spawnProcess } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { Listener, type ListenerOptions, type Peer } from '#src/daemon/listener.js';
import { Logger } from '#src/daemon/log.js';
import type { TlshubError } from '#src/errors.js';

interface Opened {
  readonly listener: Listener;
  readonly path: string;
  readonly peers: Peer[];
  readonly sockets: Socket[];
  readonly refused: TlshubError[];
  readonly lost: Error[];
  /** Messages of the log. */
  readonly events: { msg: string; [field: string]: unknown }[];
}

/** A listener that greets each admitted connection with a line and closed after the test. */
async function openListener(
  t: TestContext,
  directory: string,
  options: Partial<ListenerOptions> = {},
): Promise<Opened> {
  const peers: Peer[] = [];
  const sockets: Socket[] = [];
  const refused: TlshubError[] = [];
  const lost: Error[] = [];
  const events: Opened['events'] = [];
  const listener = await Listener.open({
    directory,
    checkPeerCredentials: true,
    maxConnections: 100,
    log: new Logger('debug', (line) => events.push(JSON.parse(line))),
    onConnection: (socket, peer) => {
      peers.push(peer);
      sockets.push(socket);
      socket.on('error', () => {});
      socket.write('admitted\n');
    },
    onRefused: (socket, error) => {
      refused.push(error);
      socket.end(`${error.code}\n`);
    },
    onLost: (error) => lost.push(error),
    ...options,
  });
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await listener.close();
  });
  return { listener, path: listener.path, peers, sockets, refused, lost, events };
}

/** All that a connection is told before it ends, or its first line. */
async function greeting(path: string): Promise<string> {
  const socket = connect(path);
  try {
    const first = once(socket, 'data').then(([chunk]) => String(chunk));
    const end = once(socket, 'end').then(() => 'closed without a word');
    first.catch(() => {});
    end.catch(() => {});
    return await within(Promise.race([first, end]), { what: 'a word or the end' });
  } finally {
    socket.destroy();
  }
}

/** A process that opens a listener, tells the outcome in a line of JSON, and stays until it is killed. */
const RIVAL = `
  import { Listener } from '#src/daemon/listener.js';
  import { Logger } from '#src/daemon/log.js';
  const open = () => Listener.open({
    directory: process.argv[1],
    checkPeerCredentials: true,
    maxConnections: 1000,
    log: new Logger('silent', () => {}),
    onConnection: (socket) => {
      socket.on('error', () => {}).on('end', () => socket.end()).resume();
      socket.write('rival\\n');
    },
    onRefused: (socket, error) => { socket.on('error', () => {}); socket.end(error.code + '\\n'); },
  }).then(() => console.log('"listening"'), (error) => console.log(JSON.stringify(error.code)));
`;
const RIVAL_AT_ONCE = `${RIVAL}\nprocess.stdin.resume();\nawait open();`;

function spawnRival(t: TestContext, directory: string): RunningNode {
  const rival = spawnNode(RIVAL_AT_ONCE, { arguments: [directory] });
  t.after(() => rival.child.kill('SIGKILL'));
  return rival;
}

/** Leaves a socket on which nobody listens, as a killed daemon does. */
async function leaveStaleSocket(t: TestContext, directory: string): Promise<number> {
  const rival = spawnRival(t, directory);
  await rival.printed('listening');
  rival.child.kill('SIGKILL');
  await rival.result;
  const path = join(directory, 'tlshub.sock');
  assert.equal(lstatSync(path).isSocket(), true);
  return lstatSync(path).ino;
}

test('P11: the directory is 0700, the socket 0600, and no temporary name stays', async (t) => {
  const directory = join(tempDir(t), 'd');
  const { path } = await openListener(t, directory);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(directory).sort(), ['daemon.lock', 'tlshub.sock']);
});

test('a connection comes with its uid and pid, half-open connections stay open', async (t) => {
  const { path, peers } = await openListener(t, tempDir(t));
  const { pid, said } = (await runNodeForJson(
    `
    import { connect } from 'node:net';
    const socket = connect(process.argv[1]);
    socket.end();
    let said = '';
    for await (const chunk of socket) { said += chunk; if (said.endsWith('\\n')) break; }
    console.log(JSON.stringify({ pid: process.pid, said }));
    `,
    { arguments: [path] },
  )) as { pid: number; said: string };
  assert.equal(said, 'admitted\n');
  assert.deepEqual(peers, [{ uid: process.geteuid?.(), pid }]);
});

const CONNECT_AS_OTHER = `
  import { connect } from 'node:net';
  becomeOther();
  const socket = connect(process.argv[1]);
  let connected = false;
  let said = '';
  socket.on('connect', () => { connected = true; });
  socket.on('data', (chunk) => { said += chunk; });
  socket.on('error', () => {});
  socket.on('close', () => console.log(JSON.stringify({ connected, said })));
`;

test('P10: another user is refused even when the modes are loosened, and logged once (without root: none to be)', async (t) => {
  if (!CAN_BECOME_OTHERS) {
    assert.throws(() => process.setuid?.(OTHER_UID), { code: 'EPERM' });
    return;
  }
  const directory = tempDir(t);
  const { path, peers, events } = await openListener(t, directory);
  chmodSync(directory, 0o777);
  chmodSync(path, 0o777);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    assert.deepEqual(await runAsOther(CONNECT_AS_OTHER, [path]), { connected: true, said: '' });
  }
  assert.deepEqual(peers, []);
  const refusals = events.filter(({ msg }) => msg === 'a process of another user is refused');
  assert.deepEqual(
    refusals.map(({ uid }) => uid),
    [OTHER_UID],
  );
  assert.equal(await greeting(path), 'admitted\n', 'our own user still gets in');
});

test("P10: root is refused by another user's daemon (without root: nothing to be refused)", async (t) => {
  if (!CAN_BECOME_OTHERS) {
    assert.throws(() => process.setuid?.(0), { code: 'EPERM' });
    return;
  }
  const directory = tempDir(t);
  chownSync(directory, OTHER_UID, OTHER_UID);
  const daemon = spawnNode(
    `
    import koffi from 'koffi';
    koffi.load(null);
    ${RIVAL}
    process.setgroups([]);
    process.setgid(${OTHER_UID});
    process.setuid(${OTHER_UID});
    process.stdin.resume();
    await open();
    `,
    { arguments: [directory] },
  );
  t.after(() => daemon.child.kill('SIGKILL'));
  await daemon.printed('listening');
  assert.equal(await greeting(join(directory, 'tlshub.sock')), 'closed without a word');
});

test('P11: a stale socket is replaced', async (t) => {
  const directory = tempDir(t);
  const stale = await leaveStaleSocket(t, directory);
  const { path } = await openListener(t, directory);
  assert.notEqual(lstatSync(path).ino, stale);
  assert.equal(await greeting(path), 'admitted\n');
});

test('P11: a live socket is never stolen, and the error names its process', async (t) => {
  const directory = tempDir(t);
  const rival = spawnRival(t, directory);
  await rival.printed('listening');
  const path = join(directory, 'tlshub.sock');
  const inode = lstatSync(path).ino;
  await assert.rejects(openListener(t, directory), {
    code: 'ERR_TLSHUB_ALREADY_RUNNING',
    message: new RegExp(`another daemon \\(process ${rival.pid}\\) already serves`),
  });
  assert.equal(lstatSync(path).ino, inode);
  assert.equal(await greeting(path), 'rival\n');
  assert.deepEqual(readdirSync(directory).sort(), ['daemon.lock', 'tlshub.sock']);
});

test('P11: a live socket is not stolen either when its lock file was removed', async (t) => {
  const directory = tempDir(t);
  const rival = spawnRival(t, directory);
  await rival.printed('listening');
  unlinkSync(join(directory, 'daemon.lock'));
  await assert.rejects(openListener(t, directory), { code: 'ERR_TLSHUB_ALREADY_RUNNING' });
  assert.equal(await greeting(join(directory, 'tlshub.sock')), 'rival\n');
});

for (const before of ['nothing', 'a stale socket']) {
  test(`P17: of twelve processes that open at once, over ${before}, one listens and the others are told`, async (t) => {
    const directory = tempDir(t);
    if (before === 'a stale socket') await leaveStaleSocket(t, directory);
    const rivals = Array.from({ length: 12 }, () => spawnRival(t, directory));
    await Promise.all(rivals.map((rival) => rival.printed('"\n')));
    const outcomes = rivals.map((rival) => JSON.parse(rival.stdout)).sort();
    assert.deepEqual(outcomes, [...Array(11).fill('ERR_TLSHUB_ALREADY_RUNNING'), 'listening']);
    assert.equal(await greeting(join(directory, 'tlshub.sock')), 'rival\n');
    assert.deepEqual(readdirSync(directory).sort(), ['daemon.lock', 'tlshub.sock']);
  });
}

test('P16: after kill -9 the next one opens at once, and clears what was left', async (t) => {
  const directory = tempDir(t);
  await leaveStaleSocket(t, directory);
  // What a daemon leaves that dies between bind and link, and what it must not touch.
  const leftover = createServer();
  await new Promise<void>((resolve) => leftover.listen(join(directory, '.0123456789'), resolve));
  const lookalike = join(directory, '.abcdef0123');
  writeFileSync(lookalike, '');
  const { path } = await openListener(t, directory);
  leftover.close();
  assert.equal(await greeting(path), 'admitted\n');
  assert.deepEqual(readdirSync(directory).sort(), ['.abcdef0123', 'daemon.lock', 'tlshub.sock']);
});

test('P11: a symbolic link in place of the directory or of the lock is refused', async (t) => {
  const top = tempDir(t);
  mkdirSync(join(top, 'real'), { mode: 0o700 });
  symlinkSync(join(top, 'real'), join(top, 'link'));
  await assert.rejects(openListener(t, join(top, 'link')), { code: 'ERR_TLSHUB_DIRECTORY' });
  writeFileSync(join(top, 'victim'), 'precious');
  symlinkSync(join(top, 'victim'), join(top, 'real', 'daemon.lock'));
  await assert.rejects(openListener(t, join(top, 'real')), { code: 'ERR_TLSHUB_DIRECTORY' });
  assert.equal(statSync(join(top, 'victim')).size, 'precious'.length);
});

test('what is in the way and no socket stays, and the directory is free again after the failure', async (t) => {
  const directory = tempDir(t);
  const path = join(directory, 'tlshub.sock');
  writeFileSync(path, 'precious');
  await assert.rejects(openListener(t, directory), {
    code: 'ERR_TLSHUB_DIRECTORY',
    message: /tlshub\.sock is in the way and is no socket: remove it/,
  });
  assert.deepEqual(readdirSync(directory).sort(), ['daemon.lock', 'tlshub.sock']);
  rmSync(path);
  await openListener(t, directory);
  assert.equal(await greeting(path), 'admitted\n');
});

test('a directory whose socket path has the greatest length that is allowed works', async (t) => {
  const parent = tempDir(t);
  const limit = process.platform === 'darwin' ? 103 : 107;
  const directory = join(parent, 'd'.repeat(limit - Buffer.byteLength(join(parent, 'x', 'tlshub.sock')) + 1));
  const { path } = await openListener(t, directory);
  assert.equal(Buffer.byteLength(path), limit);
  assert.equal(await greeting(path), 'admitted\n');
  await assert.rejects(openListener(t, `${directory}d`), { code: 'ERR_TLSHUB_SOCKET_PATH' });
});

test('close removes the socket, frees the directory and leaves accepted connections alone', async (t) => {
  const directory = tempDir(t);
  const first = await openListener(t, directory);
  const client = connect(first.path);
  t.after(() => client.destroy());
  await once(client, 'data');
  await first.listener.close();
  assert.deepEqual(readdirSync(directory), ['daemon.lock']);
  const second = await openListener(t, directory);
  assert.equal(await greeting(second.path), 'admitted\n');
  first.sockets[0]?.write('still here\n');
  const [chunk] = await once(client, 'data');
  assert.equal(String(chunk), 'still here\n');
});

test("P11: close leaves another's socket in its place", async (t) => {
  const directory = tempDir(t);
  const { listener, path, lost } = await openListener(t, directory);
  const aside = join(directory, 'other');
  const other = createServer((socket) => socket.on('error', () => {}).end('other\n'));
  t.after(() => other.close());
  await new Promise<void>((resolve) => other.listen(aside, resolve));
  renameSync(aside, path);
  await waitFor(() => lost.length > 0, { what: 'the listener to notice' });
  assert.equal((lost[0] as TlshubError).code, 'ERR_TLSHUB_ALREADY_RUNNING');
  await listener.close();
  assert.equal(await greeting(path), 'other\n');
});

test('a socket that is removed is put in its place again', async (t) => {
  const { path, lost, events } = await openListener(t, tempDir(t));
  unlinkSync(path);
  await waitFor(() => existsSync(path), { what: 'the socket' });
  assert.equal(await greeting(path), 'admitted\n');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(lost, []);
  assert.equal(
    events.some(({ msg }) => msg === 'the socket was removed from the directory'),
    true,
  );
});

test('a directory that is removed is reported, not made again behind the back of another daemon', async (t) => {
  const directory = join(tempDir(t), 'd');
  const { lost } = await openListener(t, directory);
  rmSync(directory, { recursive: true });
  await waitFor(() => lost.length > 0, { what: 'the listener to notice' });
  assert.equal(existsSync(directory), false);
});

test('over the limit of connections each is refused by name, logged once, and one that ends makes room', async (t) => {
  const { path, sockets, refused, events } = await openListener(t, tempDir(t), { maxConnections: 2 });
  const clients = [connect(path), connect(path)];
  t.after(() => {
    for (const client of clients) client.destroy();
  });
  await Promise.all(clients.map((client) => once(client, 'data')));
  assert.equal(await greeting(path), 'ERR_TLSHUB_LIMIT\n');
  assert.equal(await greeting(path), 'ERR_TLSHUB_LIMIT\n');
  assert.match(refused[0]?.message ?? '', /2 connections \(--max-connections\)/);
  assert.equal(events.filter(({ msg }) => msg.startsWith('a connection is refused')).length, 1);
  clients[0]?.destroy();
  await waitFor(() => sockets.some((socket) => socket.destroyed || socket.readableEnded), {
    what: 'its end',
  });
  for (const socket of sockets) if (socket.readableEnded) socket.destroy();
  await waitFor(async () => (await greeting(path)) === 'admitted\n', { what: 'room for another' });
});

test('short of descriptors: connections are refused by name, the daemon stays and recovers', async (t) => {
  const directory = tempDir(t);
  const command = `ulimit -n 96 && exec "$0" --input-type=module --eval "$1" "$2"`;
  const rival = spawnProcess('sh', ['-c', command, NODE, RIVAL_AT_ONCE, directory], {});
  t.after(() => rival.child.kill('SIGKILL'));
  await rival.printed('listening');
  const path = join(directory, 'tlshub.sock');
  const said: string[] = [];
  const clients = Array.from({ length: 120 }, () => {
    const client = connect(path);
    client.on('error', () => {});
    client.on('data', (chunk) => said.push(String(chunk)));
    client.on('close', () => said.push(''));
    return client;
  });
  t.after(() => {
    for (const client of clients) client.destroy();
  });
  await waitFor(() => said.includes('ERR_TLSHUB_LIMIT\n') && said.includes('rival\n'), {
    what: 'both answers',
  });
  for (const client of clients) client.destroy();
  await waitFor(async () => (await greeting(path)) === 'rival\n', { what: 'it to admit again' });
  assert.equal(rival.child.exitCode, null);
});

test('told to do without, it admits connections unchecked', async (t) => {
  const { path, peers } = await openListener(t, tempDir(t), { checkPeerCredentials: false });
  assert.equal(await greeting(path), 'admitted\n');
  assert.deepEqual(peers, [{ uid: process.geteuid?.(), pid: null }]);
});

/** Where koffi cannot be loaded, as on a platform without a build of it. */
const WITHOUT_KOFFI = `
  import Module from 'node:module';
  const load = Module._load;
  Module._load = (name, ...rest) => {
    if (name === 'koffi') throw new Error('no prebuilt binary');
    return load(name, ...rest);
  };
  const { Listener } = await import('#src/daemon/listener.js');
  const { Logger } = await import('#src/daemon/log.js');
  const [, directory, check] = process.argv;
  const options = { directory, checkPeerCredentials: check === 'check', maxConnections: 10,
    log: new Logger('silent', () => {}), onConnection: (socket) => socket.destroy() };
  const first = await Listener.open(options).then((listener) => listener, (error) => error);
  const second = await Listener.open(options).then(() => 'listening', (error) => error.code);
  console.log(JSON.stringify([first.code ?? 'listening', second]));
  await first.close?.();
`;

test('P10: without native calls it refuses to open, unless told to do without', async (t) => {
  const directory = tempDir(t);
  const outcome = async (check: string) => runNodeForJson(WITHOUT_KOFFI, { arguments: [directory, check] });
  const refused = 'ERR_TLSHUB_PEER_CREDENTIALS';
  assert.deepEqual(await outcome('check'), [refused, refused]);
  await leaveStaleSocket(t, directory);
  assert.deepEqual(await outcome('unchecked'), ['listening', 'ERR_TLSHUB_ALREADY_RUNNING']);
});
