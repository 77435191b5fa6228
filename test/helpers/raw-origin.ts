// Peers that misbehave below TLS: they close, reset, speak plain text, never answer, or cannot even be connected to.
import { connect, createServer, type Socket } from 'node:net';
import { listen } from './listen.ts';
import { spawnNode } from './run-node.ts';
import type { Scope } from './scope.ts';
import { waitFor } from './wait-for.ts';

/** What a raw origin does with each connection. */
export interface RawOriginOptions {
  /** When it acts: on the TCP connection or on the first bytes (the ClientHello). */
  on: 'connect' | 'data';
  /** Bytes it sends then. */
  send?: Buffer | string;
  /** What it does after that: nothing, FIN, or RST; default nothing. */
  finally?: 'hold' | 'end' | 'reset';
}

/** A raw origin. */
export interface RawOrigin {
  readonly port: number;
  /** TCP connections so far. */
  readonly connections: number;
}

/** Starts a raw origin that is closed after the test. */
export async function rawOrigin(scope: Scope, options: RawOriginOptions): Promise<RawOrigin> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const act = (socket: Socket): void => {
    if (options.send !== undefined) socket.write(options.send);
    if (options.finally === 'end') socket.end();
    if (options.finally === 'reset') socket.resetAndDestroy();
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    // Unread bytes would turn a FIN into an RST.
    socket.resume();
    if (options.on === 'connect') act(socket);
    else socket.once('data', () => act(socket));
  });
  const port = await listen(server);
  scope.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    port,
    get connections() {
      return connections;
    },
  };
}

const STOPPED_LISTENER = `
  import { createServer } from 'node:net';
  const server = createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    console.log('port ' + server.address().port + '.');
    process.kill(process.pid, 'SIGSTOP');
  });
`;

/**
 * A port of 127.0.0.1 that neither accepts nor refuses: its listener is stopped and its backlog full, so a connection
 * to it hangs as one to a host that drops packets does. Linux only.
 */
export async function hangingPort(scope: Scope): Promise<number> {
  const listener = spawnNode(STOPPED_LISTENER, { deadlineMs: 120_000 });
  const fillers: Socket[] = [];
  scope.after(async () => {
    listener.child.kill('SIGKILL');
    for (const filler of fillers) filler.destroy();
    await listener.result.catch(() => undefined);
  });
  await listener.printed('.');
  const port = Number(/port (\d+)/.exec(listener.stdout)?.[1]);
  // More connections than the backlog has room for; those that do not fit keep trying, and so keep it full.
  for (let count = 0; count < 6; count += 1) {
    const filler = connect({ port, host: '127.0.0.1' });
    filler.on('error', () => undefined);
    fillers.push(filler);
  }
  await waitFor(() => fillers.filter((filler) => !filler.connecting).length >= 2, { what: 'a full backlog' });
  return port;
}
