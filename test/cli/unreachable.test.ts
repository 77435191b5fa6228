// Without a daemon: the verbs that ask one say so with exit code 3, and start none.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCli, spawnNode } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';

const ASKING_VERBS = ['status', 'sessions', 'inspect s1', 'close s1', 'drain', 'stop', 'stop --now'];

for (const verb of ASKING_VERBS) {
  test(`${verb} without a daemon: exit code 3, with advice, and none is started`, async (t) => {
    const directory = tempDir(t);
    const env = { TLSHUB_DIR: directory };
    const text = await runCli(verb.split(' '), { env });
    assert.deepEqual([text.code, text.stdout], [3, '']);
    assert.match(
      text.stderr,
      /^tlshub: no daemon answers in .*\n {2}code: ERR_TLSHUB_DAEMON_UNREACHABLE\n {2}help: .*tlshub start/,
    );
    const json = await runCli([...verb.split(' '), '--json'], { env });
    assert.deepEqual([json.code, json.stdout], [3, '']);
    assert.equal(JSON.parse(json.stderr).error.code, 'ERR_TLSHUB_DAEMON_UNREACHABLE');
    assert.deepEqual(readdirSync(directory), []);
  });
}

test('--directory means the same as TLSHUB_DIR and comes first', async (t) => {
  const directory = tempDir(t);
  const { code, stderr } = await runCli(['status', '--directory', join(directory, 'x')], {
    env: { TLSHUB_DIR: directory },
  });
  assert.equal(code, 3);
  assert.ok(stderr.includes(join(directory, 'x')), stderr);
});

test('a socket that a dead daemon left counts as no daemon', async (t) => {
  const directory = tempDir(t);
  const dead = spawnNode(
    `
    import { createServer } from 'node:net';
    createServer().listen(process.argv[1], () => console.log('listening'));
    `,
    { arguments: [join(directory, 'tlshub.sock')] },
  );
  await dead.printed('listening');
  dead.child.kill('SIGKILL');
  await dead.result;
  assert.equal((await runCli(['status', '-d', directory])).code, 3);
});

test('a path that is too long is told, and is no matter of reaching', async (t) => {
  const { code, stderr } = await runCli(['status', '-d', join(tempDir(t), 'x'.repeat(120))]);
  assert.equal(code, 1);
  assert.match(stderr, /code: ERR_TLSHUB_SOCKET_PATH/);
});
