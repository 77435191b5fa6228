// A shared session of the test's own process, held open, for the verbs to look at.
import { countingOrigin } from '#helpers/counting-origin.js';
import type { Scope } from '#helpers/scope.js';
import { opened } from '#helpers/streams.js';
import { createCa } from '#src/cli/demo/pki.js';
import { connect, type TlshubSocket } from '#src/wrapper/connect.js';

/** An open session and the origin's port. */
export interface HeldSession {
  readonly socket: TlshubSocket;
  readonly port: number;
  /** The private key that it was opened with, to look for where it must not be. */
  readonly clientKey: string;
}

/** Opens a session through the daemon of a directory. */
export async function holdSession(scope: Scope, directory: string): Promise<HeldSession> {
  const ca = await createCa({ name: 'Test root' });
  const leaf = await ca.issue({ names: ['localhost'] });
  const client = await ca.issue({ names: ['client'], clientAuth: true });
  const origin = await countingOrigin(scope, { cert: leaf.chain, key: leaf.key });
  process.env.TLSHUB_DIR = directory;
  const { port } = origin;
  const options = {
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    ca: ca.cert,
    cert: client.chain,
    key: client.key,
  };
  const socket = connect({ ...options, shared: { fallback: false } });
  socket.on('error', () => {});
  scope.after(() => {
    socket.destroy();
  });
  await opened(socket);
  return { socket, port, clientKey: client.key };
}
