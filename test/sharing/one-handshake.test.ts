// The promise that gives the project its reason: however many processes come one after another, the origin pays for
// one handshake. Counted by a real nginx, by a counting node:tls server, and by a proxy that sees TCP connections.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { countingOrigin } from '#helpers/counting-origin.js';
import { startNginx } from '#helpers/nginx.js';
import { startProxy } from '#helpers/proxy.js';
import { runNode } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import { exchange, opened } from '#helpers/streams.js';
import type { TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import type { TlshubSocket } from '#src/index.js';
import { connectAs, useTestDaemon } from './both-ways.ts';

/** Processes that are run at least, the time in which more are run, and the most. */
const LEAST_PROCESSES = 60;
const PROCESSES_MS = 10_000;
const MOST_PROCESSES = 1000;

/** A short-lived program: one session, one exchange, given back. Prints whether the session was there before. */
const PROGRAM = `
  import tls from 'tlshub';
  const { PORT, CA, REQUEST, ENDING } = process.env;
  const socket = tls.connect({ host: '127.0.0.1', port: Number(PORT), ca: CA, shared: { fallback: false } });
  socket.on('secureConnect', () => socket.write(REQUEST));
  let answer = '';
  socket.on('data', async (chunk) => {
    answer += chunk;
    if (!answer.endsWith(ENDING)) return;
    const { reused } = socket.sharing;
    await socket.release();
    console.log(reused ? 'reused' : 'new');
  });
`;

let ca: Authority;
let leaf: Certificate;
let daemon: TestDaemon;
const scope = fileScope();
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
  daemon = await useTestDaemon(scope);
});

/** Runs processes one after another until the time is over; answers how many there were. */
async function runProcesses(port: number, request: string, ending: string): Promise<number> {
  const env = {
    TLSHUB_DIR: daemon.directory,
    PORT: String(port),
    CA: ca.cert,
    REQUEST: request,
    ENDING: ending,
  };
  const end = performance.now() + PROCESSES_MS;
  let count = 0;
  while (count < LEAST_PROCESSES || (count < MOST_PROCESSES && performance.now() < end)) {
    const result = await runNode(PROGRAM, { env });
    const expected = { code: 0, signal: null, stdout: count === 0 ? 'new\n' : 'reused\n', stderr: '' };
    assert.deepEqual(result, expected, `process ${count}`);
    count += 1;
  }
  return count;
}

test('P1: sequential processes cost nginx one handshake', async (t) => {
  const nginx = await startNginx(t, { cert: leaf.chain, key: leaf.key });
  if (nginx === undefined) return;
  const proxy = await startProxy(t, { targetPort: nginx.port });
  const request = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const count = await runProcesses(proxy.port, request, '\r\n\r\nok\n');
  t.diagnostic(`${count} processes`);
  // nginx writes its log behind the answer.
  await waitFor(() => nginx.requests().length >= count, { what: `${count} requests in the log of nginx` });
  assert.equal(nginx.handshakes(), 1);
  assert.equal(proxy.connections.length, 1);
  const connections = new Set(nginx.requests().map((line) => line.connection));
  assert.deepEqual([connections.size, nginx.requests().length], [1, count]);
});

test('P1: sequential processes cost a counting origin one handshake', async (t) => {
  const origin = await countingOrigin(t, { ...leaf });
  const count = await runProcesses(origin.port, 'hello\n', 'ok hello\n');
  t.diagnostic(`${count} processes`);
  assert.deepEqual(origin.counts, {
    connections: 1,
    handshakes: 1,
    resumptions: 0,
    failures: 0,
    requests: count,
    open: 1,
  });
});

test('P1: 1,000 leases of one process, one after another, cost one handshake', async (t) => {
  const origin = await countingOrigin(t, { ...leaf });
  const sessions = new Set<unknown>();
  for (let count = 0; count < 1000; count += 1) {
    const socket = (await opened(connectAs('shared', target(origin.port)))) as TlshubSocket;
    assert.equal(await exchange(socket, `lease ${count}`), `ok lease ${count}`);
    assert.equal(socket.sharing.reused, count > 0);
    sessions.add(socket.sharing.sessionId);
    await socket.release();
  }
  assert.equal(sessions.size, 1);
  assert.deepEqual(origin.counts, {
    connections: 1,
    handshakes: 1,
    resumptions: 0,
    failures: 0,
    requests: 1000,
    open: 1,
  });
});

test('P1: leases held at the same time get sessions of their own, and later ones use them again', async (t) => {
  const origin = await countingOrigin(t, { ...leaf });
  for (let round = 0; round < 5; round += 1) {
    const sockets = (await Promise.all(
      Array.from({ length: 4 }, () => opened(connectAs('shared', target(origin.port)))),
    )) as TlshubSocket[];
    const answers = await Promise.all(sockets.map((socket, index) => exchange(socket, `socket ${index}`)));
    assert.deepEqual(answers, ['ok socket 0', 'ok socket 1', 'ok socket 2', 'ok socket 3']);
    await Promise.all(sockets.map((socket) => socket.release()));
  }
  assert.equal(origin.counts.connections, 4);
  assert.equal(origin.counts.handshakes + origin.counts.resumptions, 4);
});

function target(port: number): ConnectionOptions {
  return { host: '127.0.0.1', port, ca: ca.cert };
}
