// Issue 3, named sessions and what else a socket can do: an own check of the peer's certificate, the fallback into the
// process, timeouts, and the verbs of a socket that is not shared.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, test } from 'node:test';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { fileScope } from '#helpers/scope.js';
import { closed, exchange, opened } from '#helpers/streams.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { within } from '#helpers/wait-for.js';
import { connect, type ShareableConnectionOptions, type TlshubSocket } from '#src/index.js';
import { makeTestPki, type TestPki } from '../sharing/test-pki.ts';

const scope = fileScope();
let pki: TestPki;
let daemon: TestDaemon;
let origin: CountingOrigin;
before(async () => {
  pki = await makeTestPki();
  daemon = await startTestDaemon(scope);
  origin = await countingOrigin(scope, pki.good);
  process.env.TLSHUB_DIR = daemon.directory;
});

function options(shared: object, more: object = {}): ShareableConnectionOptions {
  const target = { port: origin.port, host: '127.0.0.1', servername: 'localhost', ca: pki.ca.cert };
  return { ...target, shared: { fallback: false, ...shared }, ...more };
}

async function verbsAreRefused(socket: TlshubSocket): Promise<void> {
  const verbs = [socket.commit(), socket.setState(Buffer.from('x')), socket.setName('x')];
  for (const verb of verbs) await assert.rejects(verb, { code: 'ERR_TLSHUB_NOT_LEASED' });
  for (const verb of [socket.park({ run: ['true'] }), socket.detach()])
    await assert.rejects(verb, { code: 'ERR_TLSHUB_NOT_DETACHABLE' });
}

test('issue 3: who refuses the peer of a named session ends it for all; the next gets a new one', async () => {
  const shared = { name: 'refused', mode: 'broadcast' };
  const accepts = { checkServerIdentity: () => undefined };
  const refuses = { checkServerIdentity: () => new Error('not this one') };
  const one = await opened(connect(options(shared, accepts)));
  const failed = within(once(one, 'error'), { what: 'the error of the other holder' });
  const two = connect(options(shared, refuses));
  const [refusal] = await within(once(two, 'error'), { what: 'the refusal' });
  assert.equal(refusal.message, 'not this one');
  assert.equal((await failed)[0].code, 'ERR_TLSHUB_CLOSED');
  const three = await opened(connect(options(shared, accepts)));
  assert.equal(three.sharing.reused, false);
  three.destroy();
  await closed(three);
});

test('P4: the opener and those who join get each event of the opening once', async () => {
  for (const expected of [1, 1]) {
    const seen: string[] = [];
    const socket = connect(options({ name: 'events' }));
    for (const name of ['lookup', 'connect', 'ready', 'secureConnect'])
      socket.on(name, () => void seen.push(name));
    await opened(socket);
    assert.equal(seen.filter((name) => name === 'connect').length, expected, seen.join());
    assert.equal(seen.filter((name) => name === 'secureConnect').length, 1);
    await socket.release();
  }
});

test('P5, issue 3: without a daemon a named session falls back like any other, and its verbs say so', async (t) => {
  const directory = tempDir(t);
  process.env.TLSHUB_DIR = `${directory}/${'d'.repeat(100)}`;
  t.after(() => {
    process.env.TLSHUB_DIR = daemon.directory;
  });
  const socket = await opened(connect(options({ name: 'fallback', fallback: true })));
  assert.equal(socket.sharing.shared, false);
  assert.match(String(socket.sharing.reason), /path|socket/);
  assert.equal(await exchange(socket, 'hello'), 'ok hello');
  await verbsAreRefused(socket);
  socket.destroy();
  const strict = connect(options({ name: 'fallback' }));
  const [error] = await once(strict, 'error');
  assert.equal(error.code, 'ERR_TLSHUB_SOCKET_PATH');
});

test('P5: with TLSHUB=off the verbs of named sessions exist and are refused', async (t) => {
  process.env.TLSHUB = 'off';
  t.after(() => {
    delete process.env.TLSHUB;
  });
  const socket = await opened(connect(options({ name: 'off' })));
  assert.equal(socket.sharing.reason, 'TLSHUB=off');
  assert.equal(socket.state, null);
  await verbsAreRefused(socket);
  socket.destroy();
});

test('P4: bytes that pass keep the timeout of a named session from running out', async () => {
  const socket = await opened(connect(options({ name: 'timeout' })));
  let timeouts = 0;
  socket.on('timeout', () => {
    timeouts += 1;
  });
  socket.setTimeout(400);
  const untilMs = performance.now() + 1_000;
  while (performance.now() < untilMs) assert.equal(await exchange(socket, 'a'), 'ok a');
  assert.equal(timeouts, 0);
  await within(once(socket, 'timeout'), { what: 'the timeout of a socket that is idle' });
  socket.end();
  socket.resume();
  await closed(socket);
});

test('issue 3: a state of 64 KiB is kept, a longer one is ERR_TLSHUB_INVALID_OPTION', async () => {
  const socket = await opened(connect(options({ name: 'state' })));
  await assert.rejects(socket.setState(Buffer.alloc(65_537)), { code: 'ERR_TLSHUB_INVALID_OPTION' });
  await socket.setState(Buffer.alloc(65_536, 's'));
  await socket.release();
  const next = await opened(connect(options({ name: 'state' })));
  assert.deepEqual(next.state, Buffer.alloc(65_536, 's'));
  next.destroy();
});
