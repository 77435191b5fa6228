// P3, P5: a server that is not shared, or cannot be, listens in its process, and says why; and how long a shared one
// keeps its process.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { runNode, runNodeForJson } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { makeTestPki, type TestPki } from '../sharing/test-pki.ts';

const scope = fileScope();
let pki: TestPki;
let daemon: TestDaemon;

before(async () => {
  pki = await makeTestPki();
  daemon = await startTestDaemon(scope);
});

/** Serves one connection of its own and tells where it listened. */
const SCRIPT = `
  import nodeTls from 'node:tls';
  import { once } from 'node:events';
  import tls from 'tlshub';
  const { cert, key, ca, shared, extra } = JSON.parse(process.env.GIVEN);
  const server = tls.createServer({ cert, key, ...extra, shared }, (socket) => socket.end('served'));
  let failure;
  server.listen(0, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    console.log(JSON.stringify({ failure: error.code }));
    process.exit();
  }
  const client = nodeTls.connect({ port: server.address().port, ca, servername: 'localhost', host: '127.0.0.1' });
  const [bytes] = await once(client, 'data');
  client.end();
  const { sharing } = server;
  server.close();
  await once(server, 'close');
  console.log(JSON.stringify({ sharing, text: String(bytes) }));
`;

async function serve(
  given: { shared: unknown; extra?: object },
  env: Record<string, string | undefined>,
): Promise<{ sharing?: { shared: boolean; reason: string | null }; text?: string; failure?: string }> {
  const { cert, key } = pki.good;
  const all = { cert, key, ca: pki.ca.cert, ...given };
  return (await runNodeForJson(SCRIPT, { env: { GIVEN: JSON.stringify(all), ...env } })) as never;
}

/** A directory in which no daemon can be started: its socket's path is too long. */
function hopeless(): string {
  return `${tempDir(scope)}/${'x'.repeat(120)}`;
}

describe('P3, P5: in the process', () => {
  test('shared: false is node:tls, which knows no `sharing`', async () => {
    const { sharing, text } = await serve({ shared: false }, { TLSHUB_DIR: hopeless() });
    assert.deepEqual([sharing, text], [undefined, 'served']);
  });

  test('TLSHUB=off, whatever the fallback', async () => {
    for (const shared of [true, { fallback: false }]) {
      const { sharing, text } = await serve({ shared }, { TLSHUB: 'off', TLSHUB_DIR: daemon.directory });
      assert.deepEqual([sharing, text], [{ shared: false, reason: 'TLSHUB=off' }, 'served']);
    }
  });

  test('no daemon can be started: the reason is said', async () => {
    const { sharing, text } = await serve({ shared: true }, { TLSHUB_DIR: hopeless() });
    assert.deepEqual([sharing?.shared, text], [false, 'served']);
    assert.ok((sharing?.reason ?? '').length > 0);
  });

  test('no daemon can be started, and fallback is forbidden: an error of the server', async () => {
    const { failure } = await serve({ shared: { fallback: false } }, { TLSHUB_DIR: hopeless() });
    assert.match(failure ?? '', /^ERR_TLSHUB_/);
  });

  test('an option that cannot cross: the reason names it', async () => {
    const { sharing, text } = await serve(
      { shared: true, extra: { nobodyKnows: 1 } },
      { TLSHUB_DIR: daemon.directory },
    );
    assert.deepEqual([sharing?.shared, text], [false, 'served']);
    assert.match(sharing?.reason ?? '', /nobodyKnows/);
  });

  test('with a daemon it is shared', async () => {
    const { sharing, text } = await serve({ shared: true }, { TLSHUB_DIR: daemon.directory });
    assert.deepEqual([sharing, text], [{ shared: true, reason: null }, 'served']);
  });
});

describe('P4: ref and unref', () => {
  const script = (body: string) => `
    import { readFileSync } from 'node:fs';
    import tls from 'tlshub';
    const { cert, key } = JSON.parse(readFileSync(process.argv[1], 'utf8'));
    const server = tls.createServer({ cert, key, shared: process.argv[2] === 'shared' && { fallback: false } });
    ${body}
  `;
  const bodies: [title: string, body: string, printed: string][] = [
    [
      'an unref’d server lets its process exit',
      `server.listen(0, '127.0.0.1', () => { console.log('listening'); server.unref(); });`,
      'listening\n',
    ],
    [
      'a server keeps its process',
      `server.listen(0, '127.0.0.1', () => { setTimeout(() => { console.log('alive'); server.close(); }, 300).unref(); });`,
      'alive\n',
    ],
    [
      'ref takes unref back',
      `server.listen(0, '127.0.0.1', () => { server.unref(); server.ref(); setTimeout(() => { console.log('alive'); server.close(); }, 300).unref(); });`,
      'alive\n',
    ],
    [
      'a closed server lets its process exit',
      `server.listen(0, '127.0.0.1', () => server.close(() => console.log('closed')));`,
      'closed\n',
    ],
  ];
  for (const [title, body, printed] of bodies) {
    test(title, async () => {
      const file = join(tempDir(scope), 'pki.json');
      writeFileSync(file, JSON.stringify(pki.good));
      for (const way of ['direct', 'shared']) {
        const { code, stdout, stderr } = await runNode(script(body), {
          arguments: [file, way],
          env: { TLSHUB_DIR: daemon.directory },
        });
        assert.deepEqual([way, code, stdout], [way, 0, printed], stderr);
      }
    });
  }
});
