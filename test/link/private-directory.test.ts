// What counts as a private directory: everything that another user could have prepared is refused, and each refusal
// says what to do.
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CAN_BECOME_OTHERS, OTHER_UID, runAsOther } from '#helpers/other-user.js';
import { tempDir } from '#helpers/temp-dir.js';
import { codeOf } from '#src/errors.js';
import {
  checkPrivateDirectory,
  directoryError,
  ensurePrivateDirectory,
  recheckPrivateDirectory,
} from '#src/link/private-directory.js';

function refusal(message: RegExp) {
  return { name: 'TlshubError', code: 'ERR_TLSHUB_DIRECTORY', message };
}

/** All ways to ask about a directory that is there must refuse it. */
function assertRefused(directory: string, message: RegExp): void {
  assert.throws(() => recheckPrivateDirectory(directory), refusal(message));
  assert.throws(() => checkPrivateDirectory(directory), refusal(message));
  assert.throws(() => ensurePrivateDirectory(directory), refusal(message));
}

test('P11: the directory is made with mode 0700, whatever the umask, and found again', (t) => {
  const directory = join(tempDir(t), 'd');
  assert.equal(checkPrivateDirectory(directory), false);
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  ensurePrivateDirectory(directory);
  assert.equal(lstatSync(directory).mode & 0o7777, 0o700);
  assert.equal(checkPrivateDirectory(directory), true);
  ensurePrivateDirectory(directory);
});

test('P11: a directory that was found private is not trusted after it has changed', (t) => {
  const parent = tempDir(t);
  const directory = join(parent, 'd');
  assert.equal(recheckPrivateDirectory(directory), false);
  ensurePrivateDirectory(directory);
  assert.equal(recheckPrivateDirectory(directory), true);
  assert.equal(recheckPrivateDirectory(directory), true);
  chmodSync(directory, 0o755);
  assertRefused(directory, /its mode is 0755/);
  chmodSync(directory, 0o700);
  assert.equal(recheckPrivateDirectory(directory), true);
  rmSync(directory, { recursive: true });
  assert.equal(recheckPrivateDirectory(directory), false);
  ensurePrivateDirectory(join(parent, 'e'));
  symlinkSync(join(parent, 'e'), directory);
  assertRefused(directory, /it is a symbolic link/);
});

test('P11: a loose mode is refused with the command that mends it', (t) => {
  const directory = join(tempDir(t), "it's loose");
  mkdirSync(directory);
  for (const mode of [0o755, 0o710, 0o701, 0o777, 0o1777]) {
    chmodSync(directory, mode);
    assertRefused(directory, /its mode is 0\d{3}, not 0700; run: chmod 700 '.*it'\\''s loose'/);
  }
  chmodSync(directory, 0o500);
  assertRefused(directory, /its mode is 0500/);
  chmodSync(directory, 0o700);
  assert.equal(checkPrivateDirectory(directory), true);
});

test('P11: a symbolic link in its place is refused, also one to a private directory of ours', (t) => {
  const parent = tempDir(t);
  mkdirSync(join(parent, 'real'), { mode: 0o700 });
  symlinkSync(join(parent, 'real'), join(parent, 'link'));
  assertRefused(join(parent, 'link'), /it is a symbolic link/);
  symlinkSync(join(parent, 'nowhere'), join(parent, 'dangling'));
  assertRefused(join(parent, 'dangling'), /it is a symbolic link/);
});

test('P11: a file in its place is refused', (t) => {
  const path = join(tempDir(t), 'file');
  writeFileSync(path, '');
  assertRefused(path, /it is not a directory; remove it/);
});

test("P11: another user's directory is refused (without root: this user cannot give one away)", (t) => {
  const directory = join(tempDir(t), 'd');
  mkdirSync(directory, { mode: 0o700 });
  if (!CAN_BECOME_OTHERS) {
    assert.throws(() => chownSync(directory, OTHER_UID, OTHER_UID), { code: 'EPERM' });
    return;
  }
  chownSync(directory, OTHER_UID, OTHER_UID);
  assertRefused(directory, new RegExp(`it belongs to uid ${OTHER_UID}, not to 0`));
});

test('P11: a parent that others may write to is refused, unless it is sticky', (t) => {
  const parent = join(tempDir(t), 'parent');
  const directory = join(parent, 'd');
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o700);
  chmodSync(parent, 0o777);
  assertRefused(directory, /other users may write to .*parent and could replace it/);
  chmodSync(parent, 0o1777);
  assert.equal(checkPrivateDirectory(directory), true);
});

test('P11: the directories above the parent count as well', (t) => {
  const top = join(tempDir(t), 'top');
  const directory = join(top, 'middle', 'd');
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o700);
  chmodSync(top, 0o757);
  assertRefused(directory, /other users may write to .*top and could replace it/);
});

test('P11: a way through a link counts as it is written and as it is resolved', (t) => {
  const top = tempDir(t);
  mkdirSync(join(top, 'open', 'real', 'd'), { recursive: true });
  chmodSync(join(top, 'open', 'real', 'd'), 0o700);
  symlinkSync(join(top, 'open', 'real'), join(top, 'way'));
  assert.equal(checkPrivateDirectory(join(top, 'way', 'd')), true);
  chmodSync(join(top, 'open'), 0o777);
  assertRefused(join(top, 'way', 'd'), /other users may write to .*open/);
});

test("P11: another user's ancestor is refused (without root: this user cannot give one away)", (t) => {
  const parent = join(tempDir(t), 'parent');
  const directory = join(parent, 'd');
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o700);
  if (!CAN_BECOME_OTHERS) {
    assert.throws(() => chownSync(parent, OTHER_UID, OTHER_UID), { code: 'EPERM' });
    return;
  }
  chownSync(parent, OTHER_UID, OTHER_UID);
  assertRefused(directory, new RegExp(`parent belongs to uid ${OTHER_UID}, who could replace it`));
});

test('a parent that does not exist, and one that is a file, say what to do', (t) => {
  const top = tempDir(t);
  assert.throws(
    () => ensurePrivateDirectory(join(top, 'none', 'd')),
    refusal(/make that first \(mkdir -p\)/),
  );
  assert.equal(checkPrivateDirectory(join(top, 'none', 'd')), false);
  writeFileSync(join(top, 'file'), '');
  assertRefused(join(top, 'file', 'd'), /a part of the path is no directory/);
});

test('an unwritable parent says what to do (tried as an ordinary user)', async (t) => {
  const top = tempDir(t);
  const script = `
    import { ensurePrivateDirectory } from '#src/link/private-directory.js';
    ${CAN_BECOME_OTHERS ? 'becomeOther();' : ''}
    try { ensurePrivateDirectory(process.argv[1]); console.log('null'); }
    catch (error) { console.log(JSON.stringify({ code: error.code, message: error.message })); }
  `;
  chmodSync(top, 0o555);
  const error = (await runAsOther(script, [join(top, 'd')])) as { code: string; message: string };
  assert.equal(error.code, 'ERR_TLSHUB_DIRECTORY');
  assert.match(error.message, /it is not writable for uid \d+: change its permissions, or set TLSHUB_DIR/);
});

test('a full disk says what to do', () => {
  const fd = openSync('/dev/full', 'w');
  let full: unknown;
  try {
    writeSync(fd, 'x');
  } catch (error) {
    full = error;
  } finally {
    closeSync(fd);
  }
  assert.equal(codeOf(full), 'ENOSPC');
  const error = directoryError(full, '/some/where');
  assert.equal(error.code, 'ERR_TLSHUB_DIRECTORY');
  assert.match(error.message, /cannot use \/some\/where: its file system is full: make room there/);
  assert.equal(error.cause, full);
});

test('the usual places are accepted: the directory for temporary files is sticky', (t) => {
  const directory = join(realpathSync(tmpdir()), `tlshub-test-${process.pid}`);
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  ensurePrivateDirectory(directory);
  assert.equal(checkPrivateDirectory(directory), true);
});
