// Pairs of connected sockets for the tests of the byte path: plain ones over a Unix socket, and TLS over loopback.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { createCa } from '#src/cli/demo/pki.js';

/** Both ends of one connection. */
export interface SocketPair<Kind extends Socket> {
  readonly client: Kind;
  readonly server: Kind;
}

/** Makes pairs; everything ends with the scope. */
export interface PairMaker {
  plain(): Promise<SocketPair<Socket>>;
  tls(): Promise<SocketPair<TLSSocket>>;
}

/** Starts one server of each kind. */
export async function makePairs(scope: Scope): Promise<PairMaker> {
  const ca = await createCa({ name: 'Test root' });
  const { cert, key } = await ca.issue({ names: ['localhost'] });
  const path = join(tempDir(scope), 'pairs.sock');
  const plain = createServer({ allowHalfOpen: true });
  const secure = createTlsServer({ cert, key, allowHalfOpen: true });
  plain.listen(path);
  secure.listen(0, '127.0.0.1');
  await Promise.all([once(plain, 'listening'), once(secure, 'listening')]);
  const { port } = secure.address() as AddressInfo;
  scope.after(() => {
    plain.close();
    secure.close();
  });
  const pair = async <Kind extends Socket>(server: Server, event: string, client: Kind, ready: string) => {
    const accepted = once(server, event) as Promise<[Kind]>;
    await once(client, ready);
    const [other] = await accepted;
    for (const socket of [client, other]) {
      socket.on('error', () => {});
      scope.after(() => void socket.destroy());
    }
    return { client, server: other };
  };
  return {
    plain: () => pair(plain, 'connection', connect({ path, allowHalfOpen: true }), 'connect'),
    tls: () => {
      const options = { host: '127.0.0.1', port, servername: 'localhost', ca: ca.cert, allowHalfOpen: true };
      return pair(secure, 'secureConnection', connectTls(options as { port: number }), 'secureConnect');
    },
  };
}
