// The oracles that the sharing tests rest on see what they claim to see; shown with node:tls alone, without tlshub.
import assert from 'node:assert/strict';
import { connect as connectTcp } from 'node:net';
import { before, test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import { countingOrigin } from '#helpers/counting-origin.js';
import { forkOrigin } from '#helpers/forked-origin.js';
import { startNginx } from '#helpers/nginx.js';
import { PatternChecker, pattern, patternSha256 } from '#helpers/pattern.js';
import { startProxy } from '#helpers/proxy.js';
import { closed, exchange, opened, readBytes } from '#helpers/streams.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';

let ca: Authority;
let leaf: Certificate;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
});

function target(port: number, more: ConnectionOptions = {}): ConnectionOptions {
  return { host: '127.0.0.1', port, ca: ca.cert, ...more };
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`the counting origin tells close_notify, FIN and RST apart (${version})`, async (t) => {
    const tls = { maxVersion: version };
    const origin = await countingOrigin(t, { ...leaf, tls, watchEnds: true });
    for (let count = 0; count < 3; count += 1) {
      const raw = connectTcp({ host: '127.0.0.1', port: origin.port });
      const socket = await opened(connect({ socket: raw, ca: ca.cert }));
      assert.equal(await exchange(socket, 'hello'), 'ok hello');
      if (count === 0) socket.end();
      if (count === 1) socket.destroy();
      if (count === 2) raw.resetAndDestroy();
      socket.resume();
      await closed(socket);
    }
    await waitFor(() => !origin.outcomes().includes('open'), { what: 'three ends' });
    assert.deepEqual(origin.outcomes(), ['close_notify', 'fin', 'reset']);
  });

  test(`the counting origin tells full from resumed and failed handshakes (${version})`, async (t) => {
    const origin = await countingOrigin(t, { ...leaf, tls: { maxVersion: version } });
    const first = connect(target(origin.port));
    const sessions: Buffer[] = [];
    first.on('session', (session) => sessions.push(session));
    await opened(first);
    await exchange(first, 'hello');
    await waitFor(() => sessions.length > 0, { what: 'a session' });
    const second = await opened(connect(target(origin.port, { session: sessions.at(-1) })));
    await assert.rejects(opened(connect({ host: '127.0.0.1', port: origin.port, maxVersion: 'TLSv1.1' })));
    await waitFor(() => origin.counts.failures > 0, { what: 'the failure at the origin' });
    assert.deepEqual(origin.counts, {
      connections: 3,
      handshakes: 1,
      resumptions: 1,
      failures: 1,
      requests: 1,
      open: 2,
    });
    first.destroy();
    second.destroy();
    await waitFor(() => origin.counts.open === 0, { what: 'no open connection' });
  });
}

test('nginx counts full and resumed handshakes and requests', async (t) => {
  const nginx = await startNginx(t, { cert: leaf.chain, key: leaf.key });
  if (nginx === undefined) return;
  const request = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const sessions: Buffer[] = [];
  for (const resume of [false, true]) {
    const session = resume ? sessions.at(-1) : undefined;
    const socket = connect(target(nginx.port, { session }));
    socket.on('session', (ticket) => sessions.push(ticket));
    await opened(socket);
    for (let count = 0; count < 2; count += 1) {
      socket.write(request);
      assert.match((await readBytes(socket, 15)).toString(), /^HTTP\/1.1 200 OK$/);
      await waitFor(() => socket.read() !== null, { what: 'the rest of the response' });
    }
    socket.destroy();
  }
  await waitFor(() => nginx.requests().length === 4, { what: 'four lines in the log' });
  assert.equal(nginx.handshakes(), 1);
  assert.deepEqual(
    nginx.requests().map((line) => [line.requestOfConnection, line.resumed]),
    [
      [1, false],
      [2, false],
      [1, true],
      [2, true],
    ],
  );
});

test('the proxy adds its delay to each round trip', async (t) => {
  const origin = await countingOrigin(t, { ...leaf });
  const proxy = await startProxy(t, { targetPort: origin.port, delayMs: 20 });
  const socket = await opened(connect(target(proxy.port)));
  const start = performance.now();
  assert.equal(await exchange(socket, 'hello'), 'ok hello');
  assert.ok(performance.now() - start >= 39);
  socket.destroy();
  await waitFor(() => origin.counts.open === 0, { what: 'the end at the origin' });
});

test('an origin in another process counts and checks the pattern both ways', async (t) => {
  const origin = await forkOrigin(t, { ...leaf });
  const socket = await opened(connect(target(origin.port)));
  socket.write('take 100000\n');
  for (let offset = 0; offset < 100_000; offset += 10_000) socket.write(pattern(offset, 10_000));
  const line = `sha256 ${patternSha256(100_000)}\n`;
  assert.equal((await readBytes(socket, line.length)).toString(), line);
  socket.write('send 200000\n');
  const checker = new PatternChecker();
  checker.push(await readBytes(socket, 200_000));
  assert.equal(checker.bytes, 200_000);
  assert.deepEqual((await origin.counts()).handshakes, 1);
  socket.destroy();
});

test('the pattern checker finds a lost, a doubled and a swapped byte', () => {
  const bytes = Buffer.from(pattern(0, 300_000));
  const swapped = Buffer.from(bytes);
  swapped.copyWithin(65_536, 0, 65_536);
  const damaged = {
    lost: Buffer.concat([bytes.subarray(0, 70_000), bytes.subarray(70_001)]),
    doubled: Buffer.concat([bytes.subarray(0, 70_000), bytes.subarray(69_999)]),
    swapped,
  };
  for (const [what, stream] of Object.entries(damaged)) {
    assert.throws(() => new PatternChecker().push(stream), /differs/, what);
  }
  new PatternChecker().push(bytes);
});
