// The application of bench:accept and bench:serve: a server that does as little as possible, behind a proxy (net), with
// TLS of its own (tls), or with the daemon's (tlshub). Run by servers.ts, which tells it by a message what to be; it
// answers its port and ends with its parent.
import { createServer as createHttpServer, type RequestListener, type ServerOptions } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createNetServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

/** What a worker is to be. */
export interface WorkerOrder {
  /** `echo` sends every byte back, `http` answers every request with a text. */
  readonly serves: 'echo' | 'http';
  readonly over: 'net' | 'tls' | 'tlshub';
  readonly cert: string;
  readonly key: string;
  /** Length of an HTTP response's body. */
  readonly bytes: number;
  /** With `tlshub`: whether sessions outlive this process (framed lanes). */
  readonly survive: boolean;
}

const HTTP_OPTIONS: ServerOptions = { keepAliveTimeout: 0 };

function socketOnOpen(socket: Socket): void {
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => void socket.write(chunk));
}

function answerWith(body: Buffer): RequestListener {
  return (request, response) => {
    request.resume();
    response.setHeader('content-type', 'text/plain');
    response.setHeader('content-length', body.length);
    response.end(body);
  };
}

async function makeServer({ serves, over, cert, key, bytes, survive }: WorkerOrder): Promise<Server> {
  const answer = answerWith(Buffer.alloc(bytes, 'x'));
  if (over === 'net') {
    return serves === 'echo'
      ? createNetServer({ noDelay: true }, socketOnOpen)
      : createHttpServer(HTTP_OPTIONS, answer);
  }
  if (over === 'tls') {
    return serves === 'echo'
      ? createTlsServer({ cert, key }, socketOnOpen)
      : createHttpsServer({ ...HTTP_OPTIONS, cert, key }, answer);
  }
  const shared = { survive };
  // Loaded only where it is used, so that the other kinds are Node's own and nothing else.
  if (serves === 'echo') {
    const { createServer } = await import('#src/index.js');
    return createServer({ cert, key, shared }, socketOnOpen);
  }
  const { createServer } = await import('#src/https.js');
  return createServer({ ...HTTP_OPTIONS, cert, key, shared }, answer);
}

process.once('message', async (order: WorkerOrder) => {
  const server = await makeServer(order);
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 }, () => {
    process.send?.((server.address() as AddressInfo).port);
  });
});
process.on('disconnect', () => process.exit());
