// Handing a live session from process to process: every byte at its place, whoever reads how much of it, in both
// directions; handles that work once, for a time, and for one run of the daemon.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { patternSha256 } from '#helpers/pattern.js';
import { runNodeForJson } from '#helpers/run-node.js';
import type { Scope } from '#helpers/scope.js';
import { closed, exchange, opened, readBytes } from '#helpers/streams.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import tls, { type TlshubSocket } from '#src/index.js';

let ca: Authority;
let leaf: Certificate;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
});

/** A daemon that the test's own sockets use from now on, and an origin. */
async function setUp(
  t: Scope,
  args: readonly string[] = [],
): Promise<{ daemon: TestDaemon; origin: CountingOrigin; env: Record<string, string> }> {
  const daemon = await startTestDaemon(t, { arguments: args });
  process.env.TLSHUB_DIR = daemon.directory;
  const origin = await countingOrigin(t, { cert: leaf.cert, key: leaf.key });
  return { daemon, origin, env: { TLSHUB_DIR: daemon.directory, CA: ca.cert, PORT: String(origin.port) } };
}

async function connectTo(origin: CountingOrigin): Promise<TlshubSocket> {
  const options = { host: '127.0.0.1', port: origin.port, ca: ca.cert, shared: { fallback: false } };
  return (await opened(tls.connect(options))) as TlshubSocket;
}

async function attachTo(handle: string): Promise<TlshubSocket> {
  return (await opened(tls.attach(handle) as TLSSocket)) as TlshubSocket;
}

/** The code with which an attach fails. */
async function failureOf(handle: string, wait = 0): Promise<string | undefined> {
  const socket = tls.attach(handle, { wait });
  return within(
    new Promise<string | undefined>((resolve) => {
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      socket.once('secureConnect', () => {
        socket.destroy();
        resolve(undefined);
      });
    }),
    { what: 'the failure of an attach' },
  );
}

/** Opens or takes the session over, as the environment says; the rest of each program. */
const BEGIN = `
  import { once } from 'node:events';
  import tls from 'tlshub';
  import { pattern } from '#helpers/pattern.js';
  const { PORT, CA, HANDLE, FIRST, OFFSET, AMOUNT, SEED } = process.env;
  let seed = Number(SEED);
  const random = (most) => 1 + ((seed = (seed * 1103515245 + 12345) % 2147483648) % most);
  const socket = HANDLE === undefined
    ? tls.connect({ host: '127.0.0.1', port: Number(PORT), ca: CA, shared: { fallback: false } })
    : tls.attach(HANDLE);
  await once(socket, 'secureConnect');
  if (FIRST !== undefined) socket.write(FIRST);
  let offset = Number(OFFSET);
  const end = offset + Number(AMOUNT);
`;

/** Reads so many bytes of the pattern in pieces of random size, and leaves the rest. */
const READER = `${BEGIN}
  while (offset < end) {
    const piece = socket.read(Math.min(random(70_000), end - offset, Math.max(1, socket.readableLength)));
    if (piece === null) { await once(socket, 'readable'); continue; }
    if (pattern(offset, piece.length).compare(piece) !== 0) throw new Error('wrong bytes at ' + offset);
    offset += piece.length;
  }
  console.log(JSON.stringify({ handle: await socket.detach(), offset }));
`;

/** Writes so many bytes of the pattern in pieces of random size, and leaves at once. */
const WRITER = `${BEGIN}
  while (offset < end) {
    const piece = pattern(offset, Math.min(random(70_000), end - offset));
    socket.write(piece);
    offset += piece.length;
  }
  console.log(JSON.stringify({ handle: await socket.detach(), offset }));
`;

interface Left {
  handle: string;
  offset: number;
}

/** Runs one process after another over the stream; answers what the last one left. */
async function passOn(
  program: string,
  env: Record<string, string>,
  first: string,
  amounts: readonly number[],
): Promise<Left> {
  let left: Left | undefined;
  for (const amount of amounts) {
    const step = left === undefined ? { FIRST: first } : { HANDLE: left.handle };
    const numbers = {
      OFFSET: String(left?.offset ?? 0),
      AMOUNT: String(amount),
      SEED: String(randomInt(1e9)),
    };
    left = (await runNodeForJson(program, { env: { ...env, ...numbers, ...step } })) as Left;
  }
  assert.ok(left !== undefined);
  return left;
}

test('P6/P12: a stream goes on at the exact byte from process to process', async (t) => {
  const { origin, env } = await setUp(t);
  // Also processes that read nothing, or one byte, or more than fits any buffer on the way.
  const amounts = [
    1,
    0,
    300_000,
    16_384,
    1,
    2_500_000,
    65_536,
    0,
    1_000_003,
    randomInt(500_000),
    randomInt(100),
  ];
  const bytes = 6_000_000;
  const { handle, offset } = await passOn(READER, env, `send ${bytes}\n`, amounts);
  t.diagnostic(`${amounts.length} processes, the last one left at byte ${offset}`);
  const rest = await runNodeForJson(READER.replace('await socket.detach()', '(socket.end(), null)'), {
    env: { ...env, HANDLE: handle, OFFSET: String(offset), AMOUNT: String(bytes - offset), SEED: '1' },
  });
  assert.deepEqual(rest, { handle: null, offset: bytes });
  assert.equal(origin.counts.connections, 1);
});

test('P6: what a process wrote before it left has gone out, and the next one goes on', async (t) => {
  const { origin, env } = await setUp(t);
  const amounts = [1, 700_000, 0, 3_000_000, 65_537];
  const bytes = amounts.reduce((sum, amount) => sum + amount, 0);
  const { handle, offset } = await passOn(WRITER, env, `take ${bytes}\n`, amounts);
  assert.equal(offset, bytes);
  const socket = await attachTo(handle);
  assert.equal((await readBytes(socket, 72)).toString(), `sha256 ${patternSha256(bytes)}\n`);
  assert.equal(await exchange(socket, 'on'), 'ok on');
  await socket.release();
  assert.equal(origin.counts.connections, 1);
});

test('P6: bytes that are left behind survive many hands that read nothing', async (t) => {
  const { origin } = await setUp(t);
  let socket = await connectTo(origin);
  socket.write('first\n');
  await waitFor(() => socket.bytesRead === 9, { what: 'the answer' });
  for (let hands = 0; hands < 20; hands += 1) socket = await attachTo(await socket.detach());
  assert.equal((await readBytes(socket, 9)).toString(), 'ok first\n');
  assert.equal(await exchange(socket, 'second'), 'ok second');
  await socket.release();
});

test('P7: a session that was handed over goes to the pool like any other', async (t) => {
  const { origin } = await setUp(t);
  const first = await connectTo(origin);
  assert.equal(await exchange(first, 'one'), 'ok one');
  const second = await attachTo(await first.detach());
  assert.deepEqual([second.sharing.shared, second.sharing.reused], [true, true]);
  await second.release();
  const third = await connectTo(origin);
  assert.equal(third.sharing.reused, true);
  assert.equal(await exchange(third, 'two'), 'ok two');
  await third.release();
  assert.equal(origin.counts.connections, 1);
});

test('P12: a handle works once; while it is in use others are told, at once or after `wait`', async (t) => {
  const { origin } = await setUp(t);
  const handle = await (await connectTo(origin)).detach();
  const holder = await attachTo(handle);
  assert.equal(await failureOf(handle), 'ERR_TLSHUB_SESSION_BUSY');
  const startMs = performance.now();
  assert.equal(await failureOf(handle, 300), 'ERR_TLSHUB_SESSION_BUSY');
  assert.ok(performance.now() - startMs >= 290);
  assert.equal(await exchange(holder, 'undisturbed'), 'ok undisturbed');
  const next = await holder.detach();
  assert.equal(await failureOf(handle), 'ERR_TLSHUB_HANDLE_UNKNOWN');
  await (await attachTo(next)).release();
  assert.equal(await failureOf(next), 'ERR_TLSHUB_HANDLE_UNKNOWN');
});

test('P12: of many that use a handle at once one gets the session', async (t) => {
  const { origin } = await setUp(t);
  const handle = await (await connectTo(origin)).detach();
  const sockets = Array.from({ length: 20 }, () => tls.attach(handle));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  const outcomes = await Promise.all(
    sockets.map(
      (socket) =>
        new Promise<string>((resolve) => {
          socket.once('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
          socket.once('secureConnect', () => resolve('open'));
        }),
    ),
  );
  assert.deepEqual([...new Set(outcomes)].sort(), ['ERR_TLSHUB_SESSION_BUSY', 'open']);
  assert.equal(outcomes.filter((outcome) => outcome === 'open').length, 1);
});

test('P12/P16: a handle of a daemon that was restarted is stale', async (t) => {
  const { daemon, origin } = await setUp(t);
  const handle = await (await connectTo(origin)).detach();
  await daemon.kill('SIGKILL');
  await startTestDaemon(t, { directory: daemon.directory });
  assert.equal(await failureOf(handle), 'ERR_TLSHUB_HANDLE_STALE');
});

test('P12: what is no handle, and a handle that nobody gave, are told apart', async (t) => {
  const { daemon } = await setUp(t);
  const { generation } = (await daemon.status()).status as { generation: string };
  assert.equal(await failureOf('tlshub1.nonsense'), 'ERR_TLSHUB_HANDLE_INVALID');
  assert.equal(await failureOf(`tlshub1.${generation}.${'0'.repeat(32)}`), 'ERR_TLSHUB_HANDLE_UNKNOWN');
  assert.equal(await failureOf(`tlshub1.${'0'.repeat(16)}.${'0'.repeat(32)}`), 'ERR_TLSHUB_HANDLE_STALE');
});

test('P18: a handle that nobody uses expires, and its session ends in order', async (t) => {
  const { daemon, origin } = await setUp(t, ['--handle-ttl', '200ms']);
  const handle = await (await connectTo(origin)).detach();
  await waitFor(() => origin.counts.open === 0, { what: 'the end of the session' });
  assert.deepEqual(await daemon.sessions(), []);
  assert.equal(await failureOf(handle), 'ERR_TLSHUB_HANDLE_UNKNOWN');
});

test('P8: what the peer does while nobody holds the session is what the next holder sees', async (t) => {
  const { daemon, origin } = await setUp(t);
  const socket = await connectTo(origin);
  assert.equal(await exchange(socket, 'hello'), 'ok hello');
  const handle = await socket.detach();
  for (const peer of origin.sockets) peer.end('goodbye\n');
  await waitFor(async () => (await daemon.sessions())[0]?.unreadBytes !== 0, { what: 'the last words' });
  const next = await attachTo(handle);
  assert.equal((await readBytes(next, 8)).toString(), 'goodbye\n');
  const end = closed(next);
  let ended = false;
  next.once('end', () => {
    ended = true;
  });
  next.resume();
  await end;
  assert.equal(ended, true);
});

test('P6: a socket that cannot be detached says why, and goes on', async (t) => {
  const { origin } = await setUp(t);
  const code = 'ERR_TLSHUB_NOT_DETACHABLE';
  const decoding = await connectTo(origin);
  decoding.setEncoding('utf8');
  decoding.write('hello\n');
  await waitFor(() => decoding.readableLength === 9, { what: 'the answer' });
  await assert.rejects(decoding.detach(), { code });
  assert.equal(decoding.read(), 'ok hello\n');
  decoding.destroy();

  const ended = await connectTo(origin);
  const end = closed(ended);
  ended.resume().end();
  await assert.rejects(ended.detach(), { code });
  await end;

  const cannotCross = { host: '127.0.0.1', port: origin.port, ca: ca.cert, pskCallback: () => null };
  const direct = tls.connect({ ...cannotCross, shared: true });
  await opened(direct);
  await assert.rejects(direct.detach(), { code });
  direct.destroy();
});

test('P6: half a character that setEncoding holds back is not lost', async (t) => {
  const { daemon, origin } = await setUp(t);
  const socket = await connectTo(origin);
  assert.equal(await exchange(socket, 'hello'), 'ok hello');
  socket.setEncoding('utf8');
  // The first byte of two.
  for (const peer of origin.sockets) peer.write(Buffer.from([0xc3]));
  await waitFor(() => socket.bytesRead === 10, { what: 'the byte' });
  const outcome = await socket.detach().then(
    (handle) => ({ handle }),
    (error: NodeJS.ErrnoException) => ({ code: error.code }),
  );
  if ('handle' in outcome) {
    assert.equal((await readBytes(await attachTo(outcome.handle), 1))[0], 0xc3);
  } else {
    assert.equal(outcome.code, 'ERR_TLSHUB_NOT_DETACHABLE');
    assert.equal((await daemon.sessions()).length, 1, 'and the socket goes on');
    socket.destroy();
  }
});
