// `tlshub connect --name`, and what `sessions`, `inspect` and `status` show of a named session.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { countingOrigin } from '#helpers/counting-origin.js';
import { runCli } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { type Certificate, createCa } from '#src/cli/demo/pki.js';
import { runConnect, startConnect } from './run-connect.ts';

const file = fileScope();
let leaf: Certificate;
let daemon: TestDaemon;
let caFile: string;
before(async () => {
  const ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost'] });
  daemon = await startTestDaemon(file);
  caFile = join(tempDir(file), 'ca.pem');
  writeFileSync(caFile, ca.cert);
});

test('processes come and go on one named session; --end ends it for all', async (t) => {
  const { port, counts } = await countingOrigin(t, { ...leaf, behaviour: { kind: 'echo' } });
  const env = { TLSHUB_DIR: daemon.directory };
  const target = [`localhost:${port}`, '--ca', caFile, '--name', 'counter'];
  const first = await runConnect(t, [...target, '--release'], env, 'one');
  assert.deepEqual([first.code, String(first.stdout), first.stderr], [0, 'one', '']);

  const listed = (await daemon.sessions()).find(({ name }) => name === 'counter');
  assert.deepEqual(
    [
      listed?.state,
      listed?.mode,
      listed?.holders,
      listed?.receivedOffset,
      listed?.committedOffset,
      listed?.unreadBytes,
    ],
    ['lingering', 'exclusive', [], 3, 3, 0],
  );
  const table = await runCli(['sessions', '--directory', daemon.directory]);
  assert.match(table.stdout, /counter/);

  const second = await runConnect(t, [...target, '--release'], env, 'two');
  assert.deepEqual([second.code, String(second.stdout)], [0, 'two']);
  const holder = startConnect(t, ['--attach', 'counter'], env);
  holder.child.stdin?.write('three');
  assert.equal(String(await holder.received(5)), 'three');
  const busy = await runConnect(t, [...target, '--wait', '0'], env, '');
  assert.deepEqual([busy.code, /ERR_TLSHUB_SESSION_BUSY/.test(busy.stderr)], [1, true]);
  holder.child.kill('SIGKILL');
  await holder.result;

  const last = await runConnect(t, [...target, '--end'], env, 'four');
  assert.deepEqual([last.code, String(last.stdout)], [0, 'four']);
  assert.equal(
    (await daemon.sessions()).some(({ name }) => name === 'counter'),
    false,
  );
  assert.deepEqual([counts.connections, counts.handshakes], [1, 1]);
});
