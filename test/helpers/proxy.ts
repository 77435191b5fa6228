// A TCP proxy between a client and an origin: adds a delay to each direction, counts, watches how each side ends, and
// can cut, reset, or inject bytes. It knows of TLS only where one record ends and the next begins.
import { connect, createServer, type Socket } from 'node:net';
import { listen } from './listen.ts';
import { ConnectionWatch } from './record-watch.ts';
import type { Scope } from './scope.ts';

/** What the proxy does. */
export interface ProxyOptions {
  targetPort: number;
  /** Default 127.0.0.1. */
  targetHost?: string;
  /** Milliseconds added to each direction, half of the added round-trip time; default 0. */
  delayMs?: number;
}

/** A connection through the proxy. */
export interface ProxiedConnection {
  /** What the client sent and how its side ended. */
  readonly fromClient: ConnectionWatch;
  /** What the origin sent and how its side ended. */
  readonly fromOrigin: ConnectionWatch;
  /** Sends bytes that the client did not send. */
  injectToOrigin(bytes: Buffer): void;
  /** Sends bytes that the origin did not send. */
  injectToClient(bytes: Buffer): void;
  /** Ends both sides with FIN, without any TLS alert. */
  cut(): void;
  /** Ends both sides with RST. */
  reset(): void;
  /** From now on no byte passes, in either direction. */
  stall(): void;
}

/** A proxy that listens on 127.0.0.1. */
export interface TcpProxy {
  readonly port: number;
  /** All connections so far, the open ones and the closed ones. */
  readonly connections: readonly ProxiedConnection[];
}

/** Starts a proxy that is closed after the test. */
export async function startProxy(scope: Scope, options: ProxyOptions): Promise<TcpProxy> {
  const connections: ProxiedConnection[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const origin = connect({
      port: options.targetPort,
      host: options.targetHost ?? '127.0.0.1',
      allowHalfOpen: true,
    });
    for (const socket of [client, origin]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    }
    const delayMs = options.delayMs ?? 0;
    // A real network also delays the TCP handshake by one round trip, which a proxy can only make up for here.
    const fromClient = forward(client, origin, delayMs, 2 * delayMs);
    const fromOrigin = forward(origin, client, delayMs, 0);
    connections.push({
      fromClient,
      fromOrigin,
      injectToOrigin: (bytes) => void origin.write(bytes),
      injectToClient: (bytes) => void client.write(bytes),
      cut: () => {
        client.end();
        origin.end();
      },
      reset: () => {
        client.resetAndDestroy();
        origin.resetAndDestroy();
      },
      stall: () => {
        client.pause();
        origin.pause();
        client.removeAllListeners('drain');
        origin.removeAllListeners('drain');
      },
    });
  });
  const port = await listen(server);
  scope.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port, connections };
}

/** Forwards one direction, its end included; answers what is known of it. */
function forward(source: Socket, sink: Socket, delayMs: number, firstExtraMs: number): ConnectionWatch {
  const watch = new ConnectionWatch();
  const later = makeDelay(delayMs, firstExtraMs);
  source.on('data', (chunk: Buffer) => {
    watch.push(chunk);
    later(() => {
      if (sink.writable && !sink.write(chunk)) source.pause();
    });
  });
  sink.on('drain', () => source.resume());
  source.on('end', () => {
    watch.end('fin');
    later(() => sink.end());
  });
  source.on('error', () => {
    watch.end('reset');
    later(() => sink.resetAndDestroy());
  });
  source.on('close', () => {
    // `resetAndDestroy` by the peer's error shows no event here; a plain destroy of ours must free the other side.
    later(() => {
      if (!sink.writableEnded) sink.destroy();
    });
  });
  return watch;
}

/** Runs tasks in order, each a fixed time after it was given. */
function makeDelay(delayMs: number, firstExtraMs: number): (task: () => void) => void {
  if (delayMs === 0) return (task) => task();
  let notBefore = 0;
  let first = true;
  return (task) => {
    const due = Math.max(notBefore, performance.now() + delayMs + (first ? firstExtraMs : 0));
    first = false;
    notBefore = due;
    setTimeout(task, due - performance.now());
  };
}
