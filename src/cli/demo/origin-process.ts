// The origin of `tlshub demo`, run in a process of its own by own-origin.ts: a node:tls server that sends every byte
// back and counts the handshakes that clients cost it. It ends with its parent.
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { startDelayProxy } from './delay-proxy.ts';

/** What the parent sends once. */
export interface OriginOrder {
  readonly cert: string;
  readonly key: string;
  /** Milliseconds of round-trip time to add; 0 adds none. */
  readonly roundTripMs: number;
}

/** What the parent gets once, before all else. */
export interface OriginReady {
  readonly port: number;
}

/** What the parent gets for each further message: handshakes so far, full and resumed ones. */
export interface OriginCount {
  readonly handshakes: number;
}

let handshakes = 0;

async function start({ cert, key, roundTripMs }: OriginOrder): Promise<void> {
  const server = createServer({ cert, key }, (socket) => {
    handshakes += 1;
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: targetPort } = server.address() as AddressInfo;
  const entrance = roundTripMs === 0 ? server : await startDelayProxy({ targetPort, roundTripMs });
  const ready: OriginReady = { port: (entrance.address() as AddressInfo).port };
  process.send?.(ready);
}

process.once('message', (order: OriginOrder) => {
  void start(order);
  process.on('message', () => {
    const count: OriginCount = { handshakes };
    process.send?.(count);
  });
});
process.on('disconnect', () => process.exit());
