// The lock of the starters: one holder, and all who wait learn of its end, however it comes.
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type RunningNode, spawnNode } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { within } from '#helpers/wait-for.js';
import { StartLock } from '#src/wrapper/start-lock.js';

const NEVER = new AbortController().signal;

/** A process that takes the lock, says so, and gives it up when its standard input ends. */
const HOLDER = `
  import { StartLock } from '#src/wrapper/start-lock.js';
  const lock = await StartLock.takeOrWait(process.argv[1], new AbortController().signal);
  console.log(lock === undefined ? 'waited' : 'holds it');
  process.stdin.resume().on('end', () => { lock?.release(); });
`;

async function spawnHolder(t: TestContext, path: string): Promise<RunningNode> {
  const holder = spawnNode(HOLDER, { arguments: [path] });
  t.after(() => holder.child.kill('SIGKILL'));
  await holder.printed('holds it');
  return holder;
}

function descriptorsOn(path: string): number {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return links.filter((link) => link === path).length;
}

test('the lock is taken when it is free, again after its release, and leaves no descriptor', async (t) => {
  const path = join(tempDir(t), 'start.lock');
  for (let round = 0; round < 3; round += 1) {
    const lock = await StartLock.takeOrWait(path, NEVER);
    assert.ok(lock);
    assert.equal(descriptorsOn(path), 1);
    lock.release();
  }
  assert.equal(descriptorsOn(path), 0);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('who waits is woken by the release and can take it then', async (t) => {
  const path = join(tempDir(t), 'start.lock');
  const holder = await spawnHolder(t, path);
  const waits = [StartLock.takeOrWait(path, NEVER), StartLock.takeOrWait(path, NEVER)];
  holder.child.stdin?.end();
  assert.deepEqual(await within(Promise.all(waits), { what: 'both to be woken' }), [undefined, undefined]);
  const lock = await StartLock.takeOrWait(path, NEVER);
  assert.ok(lock);
  lock.release();
  assert.equal(descriptorsOn(path), 0);
});

test('P15: who waits is woken by the death of the holder', async (t) => {
  const path = join(tempDir(t), 'start.lock');
  const holder = await spawnHolder(t, path);
  const wait = StartLock.takeOrWait(path, NEVER);
  holder.child.kill('SIGKILL');
  assert.equal(await within(wait, { what: 'to be woken' }), undefined);
  const lock = await StartLock.takeOrWait(path, NEVER);
  assert.ok(lock);
  lock.release();
});

test('waiting can be given up, and leaves no descriptor', async (t) => {
  const path = join(tempDir(t), 'start.lock');
  await spawnHolder(t, path);
  const controller = new AbortController();
  const wait = StartLock.takeOrWait(path, controller.signal);
  const reason = new Error('enough');
  controller.abort(reason);
  await assert.rejects(within(wait, { what: 'the wait to end' }), reason);
  await assert.rejects(StartLock.takeOrWait(path, controller.signal), reason);
  assert.equal(descriptorsOn(path), 0);
});

test('a process that waits can exit at any time', async (t) => {
  const path = join(tempDir(t), 'start.lock');
  await spawnHolder(t, path);
  const waiter = spawnNode(
    `
    import { StartLock } from '#src/wrapper/start-lock.js';
    StartLock.takeOrWait(process.argv[1], new AbortController().signal).then(() => console.log('woken'));
    setImmediate(() => process.exit(7));
    `,
    { arguments: [path], deadlineMs: 5_000 },
  );
  assert.deepEqual(await waiter.result, { code: 7, signal: null, stdout: '', stderr: '' });
});

test('what is in the way is refused: a file, a symbolic link', async (t) => {
  const directory = tempDir(t);
  writeFileSync(join(directory, 'file'), '');
  symlinkSync(join(directory, 'nowhere'), join(directory, 'link'));
  await assert.rejects(StartLock.takeOrWait(join(directory, 'file'), NEVER), {
    code: 'ERR_TLSHUB_DIRECTORY',
    message: /file is in the way and is no named pipe: remove it/,
  });
  await assert.rejects(StartLock.takeOrWait(join(directory, 'link'), NEVER), {
    code: 'ERR_TLSHUB_DIRECTORY',
  });
  await assert.rejects(StartLock.takeOrWait(join(directory, 'none', 'lock'), NEVER), {
    code: 'ERR_TLSHUB_DIRECTORY',
  });
});
