// P6, issue 4: what is written while a session is being handed off neither reaches the peer nor keeps it back.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { unusedPort } from '#helpers/listen.js';
import { spawnNode } from '#helpers/run-node.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { createCa } from '#src/cli/demo/pki.js';

/** The order of a late write and of the hand-off is another each time. */
const ATTEMPTS = 40;

const SERVER = `
  import tls from 'tlshub';
  const server = tls.createServer({ ...JSON.parse(process.argv[2]), shared: { fallback: false } });
`;
const LISTEN = `
  server.listen(Number(process.argv[1]), '127.0.0.1', () => console.log('up'));
`;
const GIVER = `${SERVER}
  server.on('adopt', (socket) => socket.end());
  server.on('secureConnection', (socket) => {
    socket.on('error', () => {});
    setImmediate(() => socket.write('late'));
    socket.handOff().then(() => console.log('handed off'), (error) => console.log(error.message));
  });
${LISTEN}`;
const TAKER = `${SERVER}
  server.on('adopt', (socket) => socket.end('adopted'));
  server.on('secureConnection', (socket) => socket.end());
${LISTEN}`;

test('P6: handOff succeeds whatever is written meanwhile, and the peer gets none of that', async (t) => {
  const daemon = await startTestDaemon(t);
  const ca = await createCa({ name: 'Test root' });
  const { chain, key } = await ca.issue({ names: ['localhost'] });
  const port = await unusedPort();
  const options = {
    env: { TLSHUB_DIR: daemon.directory },
    arguments: [`${port}`, JSON.stringify({ cert: chain, key })],
  };
  const giver = spawnNode(GIVER, options);
  t.after(() => void giver.child.kill('SIGKILL'));
  await giver.printed('up');
  const taker = spawnNode(TAKER, options);
  t.after(() => void taker.child.kill('SIGKILL'));
  await taker.printed('up');
  const seen = new Map<string, number>();
  while ((seen.get('adopted') ?? 0) < ATTEMPTS) {
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: ca.cert });
    const closed = once(socket, 'close');
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    await closed;
    seen.set(text, (seen.get(text) ?? 0) + 1);
    // An empty text is a new session that the taker got itself.
    assert.ok(text === 'adopted' || text === '', text);
  }
  assert.deepEqual(new Set(giver.stdout.trim().split('\n')), new Set(['up', 'handed off']));
});
