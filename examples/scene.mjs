// What the examples with several processes need around them: a TLS server with a certificate of its own, and a daemon in
// a temporary directory, so that they neither disturb the user's daemon nor leave anything behind.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
// The certificate authority of `tlshub demo`; an application has its own certificates.
import { createCa } from '../dist/cli/demo/pki.js';

/** The directory, a server to be told what to do with its connections, and the end of it all. */
export async function makeScene() {
  const directory = mkdtempSync(join(tmpdir(), 'tlshub-'));
  process.env.TLSHUB_DIR = directory;
  const authority = await createCa({ name: 'tlshub examples' });
  const { chain, key } = await authority.issue({ names: ['localhost'] });
  const caFile = join(directory, 'ca.pem');
  writeFileSync(caFile, authority.cert);
  const sockets = new Set();
  const server = createServer({ cert: chain, key }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, 'localhost');
  return {
    directory,
    listening: once(server, 'listening').then(() => ({ port: server.address().port, caFile })),
    serve: (onConnection) => server.on('secureConnection', onConnection),
    close: async () => {
      const cli = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
      execFileSync(process.execPath, [cli, 'stop', '--now']);
      for (const socket of sockets) socket.destroy();
      server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
