// A session that waits without a process: when the peer says something, a shell script is started. See README.md.
//
//   node examples/inbox/run.mjs
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeScene } from '../scene.mjs';

const scene = await makeScene();
const connected = new Promise((resolve) => {
  scene.serve((socket) => {
    socket.on('end', () => socket.end());
    resolve(socket);
  });
});
const { port, caFile } = await scene.listening;

try {
  // After the scene: it chooses the directory of the daemon, which the import reads.
  const { default: tls } = await import('tlshub');
  const shared = { name: 'inbox', fallback: false };
  const session = tls.connect({ host: 'localhost', port, ca: readFileSync(caFile), shared });
  await once(session, 'secureConnect');
  await session.park({
    run: ['sh', fileURLToPath(new URL('on-mail.sh', import.meta.url))],
    cwd: scene.directory,
    stdio: true,
  });
  const [parked] = await tls.sessions();
  console.log(`parked: ${parked.name}, held by ${parked.holders.length} processes`);

  const server = await connected;
  server.write('a letter for you\n');
  const [answer] = await once(server, 'data');
  console.log(`the script answered: ${String(answer).trim()}`);
  const mailbox = join(scene.directory, 'mailbox');
  console.log(`in the mailbox: ${existsSync(mailbox) ? readFileSync(mailbox, 'utf8').trim() : 'nothing'}`);
} finally {
  await scene.close();
}
