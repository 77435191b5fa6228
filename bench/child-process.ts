// The other processes of a benchmark: an origin that does as little as possible, or a delaying proxy. Run by stage.ts,
// which tells it by a message what to be; it answers its port and ends with its parent.
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { startDelayProxy } from '#src/cli/demo/delay-proxy.js';

/** What a process is to be. */
export type ChildOrder =
  /** Sends every byte back. */
  | { kind: 'echo'; cert: string; key: string }
  /** Answers every HTTP request with a short text. */
  | { kind: 'https'; cert: string; key: string }
  | { kind: 'delay'; targetPort: number; roundTripMs: number };

function serve(order: ChildOrder): Server | Promise<Server> {
  if (order.kind === 'delay') return startDelayProxy(order);
  if (order.kind === 'https') {
    const server = createHttpsServer({ ...order, keepAliveTimeout: 0 }, (request, response) => {
      request.resume();
      response.setHeader('content-type', 'text/plain');
      response.end('hello\n');
    });
    return server.listen(0, '127.0.0.1');
  }
  const server = createTlsServer(order, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => void socket.write(chunk));
  });
  return server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 });
}

process.once('message', async (order: ChildOrder) => {
  const server = await serve(order);
  if (!server.listening) await new Promise((resolve) => server.once('listening', resolve));
  process.send?.((server.address() as AddressInfo).port);
});
process.on('disconnect', () => process.exit());
