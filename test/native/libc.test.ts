// The native calls, against the kernel: other processes, other users and real locks.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, closeSync, openSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { CAN_BECOME_OTHERS, OTHER_UID, runAsOther } from '#helpers/other-user.js';
import { runNodeForJson, spawnNode } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { within } from '#helpers/wait-for.js';
import { TlshubError } from '#src/errors.js';
import {
  descriptorLimit,
  makeFifo,
  type PeerCredentials,
  peerCredentials,
  tryLock,
} from '#src/native/libc.js';

function descriptorOf(socket: Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd;
}

/** The credentials of the process that connects while `client` runs. */
async function credentialsDuring(path: string, client: () => Promise<unknown>): Promise<PeerCredentials> {
  const server = createServer();
  await new Promise<void>((resolve) =>
    server.listen({ path, readableAll: true, writableAll: true }, resolve),
  );
  const accepted = once(server, 'connection').then(([socket]) => {
    try {
      return peerCredentials(descriptorOf(socket as Socket));
    } finally {
      (socket as Socket).destroy();
    }
  });
  try {
    await client();
    return await within(accepted, { what: 'the connection' });
  } finally {
    server.close();
  }
}

const CONNECT = `
  import { connect } from 'node:net';
  const socket = connect(process.argv[1]);
  await new Promise((resolve) => socket.on('connect', resolve));
  console.log(JSON.stringify({ pid: process.pid }));
  socket.resume();
`;

test('P10: peerCredentials tells the uid, gid and pid of the process at the other end', async (t) => {
  const path = join(tempDir(t), 's');
  let pid: unknown;
  const peer = await credentialsDuring(path, async () => {
    ({ pid } = (await runNodeForJson(CONNECT, { arguments: [path] })) as { pid: unknown });
  });
  assert.deepEqual(peer, { uid: process.geteuid?.(), gid: process.getegid?.(), pid });
});

test('P10: peerCredentials tells another user apart (without root: this user cannot become another)', async (t) => {
  if (!CAN_BECOME_OTHERS) {
    assert.throws(() => process.setuid?.(OTHER_UID), { code: 'EPERM' });
    return;
  }
  const directory = tempDir(t);
  const path = join(directory, 's');
  chmodSync(directory, 0o755);
  const peer = await credentialsDuring(path, () =>
    runAsOther(CONNECT.replace('const socket', 'becomeOther();\nconst socket'), [path]),
  );
  assert.equal(peer.uid, OTHER_UID);
  assert.equal(peer.gid, OTHER_UID);
});

test('P10: a descriptor without a known peer is refused, never taken for someone', async (t) => {
  const refused = (error: unknown) => {
    assert.ok(error instanceof TlshubError);
    assert.equal(error.code, 'ERR_TLSHUB_PEER_CREDENTIALS');
    return true;
  };
  const file = openSync(join(tempDir(t), 'file'), 'w');
  t.after(() => closeSync(file));
  assert.throws(() => peerCredentials(file), refused);
  assert.throws(() => peerCredentials(-1), refused);

  const server = createServer((socket) => socket.resume());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const client = connect(address.port, '127.0.0.1');
  await new Promise((resolve) => client.once('connect', resolve));
  assert.throws(() => peerCredentials(descriptorOf(client)), refused);
  client.destroy();
});

test('tryLock: one opening at a time, and closing it frees the lock', (t) => {
  const path = join(tempDir(t), 'lock');
  const first = openSync(path, 'w');
  const second = openSync(path, 'w');
  t.after(() => closeSync(second));
  assert.equal(tryLock(first), true);
  assert.equal(tryLock(first), true, 'taking it again is no conflict');
  assert.equal(tryLock(second), false);
  closeSync(first);
  assert.equal(tryLock(second), true);
});

test('tryLock: the kernel frees the lock of a process that is killed', async (t) => {
  const path = join(tempDir(t), 'lock');
  const holder = spawnNode(
    `
    import { openSync } from 'node:fs';
    import { tryLock } from '#src/native/libc.js';
    console.log(tryLock(openSync(process.argv[1], 'w')) ? 'locked' : 'not locked');
    process.stdin.resume();
    `,
    { arguments: [path] },
  );
  await holder.printed('locked');
  const fd = openSync(path, 'w');
  t.after(() => closeSync(fd));
  assert.equal(tryLock(fd), false);
  holder.child.kill('SIGKILL');
  await holder.result;
  assert.equal(tryLock(fd), true);
});

test('tryLock: a bad descriptor is a system error', () => {
  assert.throws(() => tryLock(-1), { code: 'EBADF', syscall: 'flock' });
});

test('makeFifo makes a private named pipe and reports one that is there', (t) => {
  const path = join(tempDir(t), 'pipe');
  makeFifo(path, 0o600);
  const { mode } = statSync(path);
  assert.equal(statSync(path).isFIFO(), true);
  assert.equal(mode & 0o777, 0o600);
  assert.throws(() => makeFifo(path, 0o600), { code: 'EEXIST', syscall: 'mkfifo', path });
});

test('P13: forbidCoreDumps leaves no core file and no memory to read', async () => {
  const state = await runNodeForJson(`
    import koffi from 'koffi';
    import { forbidCoreDumps } from '#src/native/libc.js';
    const libc = koffi.load(null);
    const limits = Buffer.alloc(16, 0xff);
    const before = process.platform === 'linux' ? libc.func('int prctl(int, ...)')(3) : 1;
    forbidCoreDumps();
    const after = process.platform === 'linux' ? libc.func('int prctl(int, ...)')(3) : 0;
    libc.func('int getrlimit(int, void *)')(4, limits);
    console.log(JSON.stringify({ before, after, limits: limits.toString('hex') }));
  `);
  assert.deepEqual(state, { before: 1, after: 0, limits: '00'.repeat(16) });
});

test('descriptorLimit is what the shell says', () => {
  const shell = spawnSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).stdout.trim();
  assert.equal(descriptorLimit(), shell === 'unlimited' ? Number.POSITIVE_INFINITY : Number(shell));
});

test('without koffi every native call says what to do', async () => {
  const message = await runNodeForJson(
    `
    import Module from 'node:module';
    const load = Module._load;
    Module._load = (name, ...rest) => {
      if (name === 'koffi') throw new Error('no prebuilt binary');
      return load(name, ...rest);
    };
    const { peerCredentials } = await import('#src/native/libc.js');
    try { peerCredentials(0); } catch (error) { console.log(JSON.stringify([error.code, error.message])); }
    `,
  );
  assert.ok(Array.isArray(message));
  assert.equal(message[0], 'ERR_TLSHUB_PEER_CREDENTIALS');
  assert.match(String(message[1]), /npm ci --include=optional/);
  assert.match(String(message[1]), /no prebuilt binary/);
});
