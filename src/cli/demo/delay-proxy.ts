// A TCP proxy that makes a network of a loopback: it forwards each byte a fixed time later. Used by `tlshub demo` and
// by the benchmarks, because not every kernel can delay packets itself. It knows nothing of TLS.
import { connect, createServer, type Server, type Socket } from 'node:net';

/** What is delayed, and how much. */
export interface DelayProxyOptions {
  /** Port of 127.0.0.1. */
  readonly targetPort: number;
  /** Milliseconds of round-trip time that are added. */
  readonly roundTripMs: number;
}

/**
 * Listens on a free port of 127.0.0.1. Each direction is delayed by half the round trip. The client's first bytes come
 * a whole round trip later still: a real network also delays the TCP handshake, which a proxy can only make up for.
 */
export async function startDelayProxy({ targetPort, roundTripMs }: DelayProxyOptions): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const origin = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    forward(client, origin, roundTripMs / 2, roundTripMs);
    forward(origin, client, roundTripMs / 2, 0);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return server;
}

function forward(source: Socket, sink: Socket, delayMs: number, firstExtraMs: number): void {
  const later = makeDelay(delayMs, firstExtraMs);
  source.on('data', (chunk: Buffer) => {
    later(() => {
      if (sink.writable && !sink.write(chunk)) source.pause();
    });
  });
  sink.on('drain', () => source.resume());
  source.on('end', () => later(() => sink.end()));
  source.on('error', () => later(() => sink.resetAndDestroy()));
  source.on('close', () => {
    later(() => {
      if (!sink.writableEnded) sink.destroy();
    });
  });
}

/** Runs tasks in order, each a fixed time after it was given. */
function makeDelay(delayMs: number, firstExtraMs: number): (task: () => void) => void {
  // Several timers would not keep the order: each rounds its time for itself.
  const waiting: { dueMs: number; task: () => void }[] = [];
  let extraMs = firstExtraMs;
  let latestMs = 0;
  const arm = () => {
    const [first] = waiting;
    if (first !== undefined) setTimeout(run, Math.max(0, Math.ceil(first.dueMs - performance.now())));
  };
  const run = () => {
    while (waiting[0] !== undefined && waiting[0].dueMs <= performance.now()) {
      waiting.shift()?.task();
    }
    arm();
  };
  return (task) => {
    latestMs = Math.max(latestMs, performance.now() + delayMs + extraMs);
    extraMs = 0;
    waiting.push({ dueMs: latestMs, task });
    if (waiting.length === 1) arm();
  };
}
