// Where the socket is: the order of the variables, and the limit of a Unix socket's path against the kernel.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '#helpers/temp-dir.js';
import { SOCKET_NAME, socketDirectory, socketPath } from '#src/link/socket-path.js';

test('TLSHUB_DIR comes first, then XDG_RUNTIME_DIR, then the directory for temporary files', () => {
  const uid = process.geteuid?.();
  assert.equal(socketDirectory({ TLSHUB_DIR: '/a/b', XDG_RUNTIME_DIR: '/run/user/7' }), '/a/b');
  assert.equal(socketDirectory({ XDG_RUNTIME_DIR: '/run/user/7' }), '/run/user/7/tlshub');
  assert.equal(socketDirectory({}), join(tmpdir(), `tlshub-${uid}`));
});

test('an empty variable counts as none, a relative TLSHUB_DIR is made absolute, a relative XDG_RUNTIME_DIR ignored', () => {
  const fallback = socketDirectory({});
  assert.equal(socketDirectory({ TLSHUB_DIR: '', XDG_RUNTIME_DIR: '' }), fallback);
  assert.equal(socketDirectory({ TLSHUB_DIR: 'x/../y' }), join(process.cwd(), 'y'));
  assert.equal(socketDirectory({ XDG_RUNTIME_DIR: 'run' }), fallback);
});

/** A directory under `parent` whose socket has a path of that many bytes. */
function directoryWithPathOf(parent: string, bytes: number): string {
  const rest = bytes - Buffer.byteLength(join(parent, 'x', SOCKET_NAME)) + 1;
  return join(parent, 'd'.repeat(rest));
}

test('the longest path that is allowed can be listened on, one byte more is refused with advice', async (t) => {
  const parent = tempDir(t);
  const limit = process.platform === 'darwin' ? 103 : 107;
  const longest = directoryWithPathOf(parent, limit);
  mkdirSync(longest);
  const path = socketPath(longest);
  assert.equal(Buffer.byteLength(path), limit);
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  server.close();
  assert.throws(() => socketPath(directoryWithPathOf(parent, limit + 1)), {
    code: 'ERR_TLSHUB_SOCKET_PATH',
    message: new RegExp(
      `has ${limit + 1} bytes; a Unix socket allows ${limit}: set TLSHUB_DIR to a shorter path`,
    ),
  });
});

test('the limit counts bytes, not characters', () => {
  assert.throws(() => socketPath(`/${'ä'.repeat(50)}`), { code: 'ERR_TLSHUB_SOCKET_PATH' });
  assert.equal(socketPath(`/${'a'.repeat(50)}`), `/${'a'.repeat(50)}/${SOCKET_NAME}`);
});
