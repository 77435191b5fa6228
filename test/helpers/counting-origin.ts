// The oracle of the sharing tests: a node:tls server that counts what clients cost it, and behaves as it is told.
// It runs in the test's own process; forked-origin.ts runs the same in another one.
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import {
  createServer as createTlsServer,
  type TLSSocket,
  type TlsOptions,
  type Server as TlsServer,
} from 'node:tls';
import { listen } from './listen.ts';
import { patternPieces } from './pattern.ts';
import { startProxy } from './proxy.ts';
import type { ConnectionWatch } from './record-watch.ts';
import type { Scope } from './scope.ts';
import { readBytes, readLine } from './streams.ts';

/** One thing that a scripted origin does; steps run in order, once for each connection. */
export type Step =
  /** Reads that many bytes. */
  | { receive: number }
  /** Reads a line. */
  | { receiveLine: true }
  /** Writes that many bytes of the pattern. */
  | { send: number }
  | { text: string }
  | { waitMs: number }
  /** Ends: with close_notify, with a bare FIN, or with RST. */
  | { close: 'close_notify' | 'fin' | 'reset' };

/** What an origin does with a connection after the handshake; plain data, so that it can cross to another process. */
export type Behaviour =
  /** Every byte comes back; the end is answered with the end. */
  | { kind: 'echo' }
  /** `TEXT\n` is answered with `ok TEXT\n`; `send N` with N pattern bytes; `take N` with `sha256 HEX\n` of the next N bytes. */
  | { kind: 'lines' }
  /** HTTP/1.1: JSON about the request; `/bytes/N` N pattern bytes; `/close` closes the connection after the response. */
  | { kind: 'http' }
  /** HTTP/2 (ALPN h2), with the answers of `http`. */
  | { kind: 'http2' }
  /** Does the steps, then reads and drops whatever comes. */
  | { kind: 'script'; steps: readonly Step[] }
  /** Reads nothing, sends nothing. */
  | { kind: 'silent' };

/** How an origin is made. */
export interface OriginOptions {
  cert: string;
  key: string;
  /** Further options of `tls.createServer`; plain data, when the origin is forked. */
  tls?: TlsOptions;
  /** Default `lines`. */
  behaviour?: Behaviour;
  /** Default 127.0.0.1. */
  host?: string;
  /** Default a free one. */
  port?: number;
  /** Milliseconds between the TCP connection and the TLS handshake; default 0. */
  handshakeDelayMs?: number;
  /** Sees how clients end (`outcomes`), at the cost of a proxy in between; default false. */
  watchEnds?: boolean;
}

/** What clients have cost the origin so far. */
export interface OriginCounts {
  /** TCP connections. */
  connections: number;
  /** Full TLS handshakes that succeeded. */
  handshakes: number;
  /** Resumed TLS handshakes that succeeded. */
  resumptions: number;
  /** Handshakes that failed. */
  failures: number;
  /** Lines or HTTP requests answered. */
  requests: number;
  /** TLS connections open now. */
  open: number;
}

/** A running origin. */
export interface CountingOrigin {
  readonly port: number;
  readonly counts: OriginCounts;
  /** The TLS connections that are open, oldest first. */
  readonly sockets: ReadonlySet<TLSSocket>;
  /** What scripted connections have received after their last step, as text. */
  tail(): string;
  /** How the clients' sides ended, in order of connection; only with `watchEnds`. */
  outcomes(): ConnectionWatch['outcome'][];
  /** Closes all connections and stops. */
  close(): Promise<void>;
}

/** Starts an origin; the caller closes it (see {@link countingOrigin}). */
export async function startCountingOrigin(options: OriginOptions): Promise<CountingOrigin> {
  const counts: OriginCounts = {
    connections: 0,
    handshakes: 0,
    resumptions: 0,
    failures: 0,
    requests: 0,
    open: 0,
  };
  const raws = new Set<Socket>();
  const sockets = new Set<TLSSocket>();
  const byRemotePort = new Map<number, Socket>();
  const behaviour = options.behaviour ?? { kind: 'lines' };
  let tail = '';

  const tlsServer = makeTlsServer(options, behaviour, counts);
  tlsServer.on('secureConnection', (socket: TLSSocket) => {
    const raw = byRemotePort.get(socket.remotePort ?? 0);
    if (socket.isSessionReused()) counts.resumptions += 1;
    else counts.handshakes += 1;
    counts.open += 1;
    sockets.add(socket);
    // node:tls leaves a connection open after an error of the record layer; no server would.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      counts.open -= 1;
      sockets.delete(socket);
    });
    const takeTail = (chunk: Buffer): void => {
      tail += chunk.toString('latin1');
    };
    behave({ socket, raw, behaviour, counts, takeTail }).catch(() => socket.destroy());
  });
  tlsServer.on('tlsClientError', () => {
    counts.failures += 1;
  });

  const tcpServer = createServer({ allowHalfOpen: true, noDelay: true }, (raw) => {
    counts.connections += 1;
    const { remotePort = 0 } = raw;
    raws.add(raw);
    byRemotePort.set(remotePort, raw);
    raw.on('error', () => undefined);
    raw.on('close', () => {
      raws.delete(raw);
      if (byRemotePort.get(remotePort) === raw) byRemotePort.delete(remotePort);
    });
    if (options.handshakeDelayMs === undefined) tlsServer.emit('connection', raw);
    else setTimeout(() => tlsServer.emit('connection', raw), options.handshakeDelayMs);
  });
  const tcpPort = await listen(tcpServer, options.host, options.watchEnds === true ? 0 : options.port);

  const tidy: (() => void)[] = [];
  const proxy =
    options.watchEnds === true
      ? await startProxy({ after: (task) => tidy.push(task) }, { targetPort: tcpPort })
      : undefined;
  return {
    port: proxy?.port ?? tcpPort,
    counts,
    sockets,
    tail: () => tail,
    outcomes: () => proxy?.connections.map((connection) => connection.fromClient.outcome) ?? [],
    close: async () => {
      const closed = new Promise<void>((resolve) => tcpServer.close(() => resolve()));
      for (const task of tidy) task();
      for (const socket of [...sockets, ...raws]) socket.destroy();
      await closed;
    },
  };
}

/** Starts an origin that is closed after the test. */
export async function countingOrigin(scope: Scope, options: OriginOptions): Promise<CountingOrigin> {
  const origin = await startCountingOrigin(options);
  scope.after(() => origin.close());
  return origin;
}

function makeTlsServer(options: OriginOptions, behaviour: Behaviour, counts: OriginCounts): TlsServer {
  const tlsOptions: TlsOptions = { ...options.tls, cert: options.cert, key: options.key };
  if (behaviour.kind === 'http2') {
    return createSecureServer(tlsOptions, (request, response) => {
      answerHttp(request, response, counts);
    }) as unknown as TlsServer;
  }
  if (behaviour.kind === 'http') {
    // Idle connections stay: only the client decides when its connection is over.
    return createHttpsServer({ ...tlsOptions, keepAliveTimeout: 0 }, (request, response) => {
      answerHttp(request, response, counts);
    });
  }
  return createTlsServer(tlsOptions);
}

/** Answers one request when its body has been read; `connection` in the answer tells connections apart. */
function answerHttp(
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
  counts: OriginCounts,
): void {
  const { method = '', url = '' } = request;
  const connection = request.socket.remotePort;
  const hash = createHash('sha256');
  let bodyBytes = 0;
  request.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    bodyBytes += chunk.length;
  });
  request.on('end', () => {
    counts.requests += 1;
    const bytes = /^\/bytes\/(\d+)$/.exec(url)?.[1];
    if (url === '/close') response.setHeader('connection', 'close');
    if (bytes !== undefined) {
      response.setHeader('content-length', bytes);
      Readable.from(patternPieces(Number(bytes))).pipe(response);
      return;
    }
    response.setHeader('content-type', 'application/json');
    const bodySha256 = hash.digest('hex');
    response.end(
      JSON.stringify({ method, url, connection, request: counts.requests, bodyBytes, bodySha256 }),
    );
  });
}

interface Connection {
  socket: TLSSocket;
  /** The TCP connection below. */
  raw: Socket | undefined;
  behaviour: Behaviour;
  counts: OriginCounts;
  takeTail: (chunk: Buffer) => void;
}

async function behave(connection: Connection): Promise<void> {
  const { socket, behaviour, counts } = connection;
  if (behaviour.kind === 'echo') socket.pipe(socket);
  else if (behaviour.kind === 'lines') await answerLines(socket, counts);
  else if (behaviour.kind === 'script') await playScript(connection, behaviour.steps);
}

async function answerLines(socket: TLSSocket, counts: OriginCounts): Promise<void> {
  socket.on('end', () => socket.end());
  for (;;) {
    const line = await readLine(socket);
    counts.requests += 1;
    const [word = '', number = ''] = line.split(' ');
    if (word === 'send') await sendPattern(socket, Number(number));
    else if (word === 'take') socket.write(`sha256 ${await sha256OfNext(socket, Number(number))}\n`);
    else socket.write(`ok ${line}\n`);
  }
}

async function playScript({ socket, raw, takeTail }: Connection, steps: readonly Step[]): Promise<void> {
  for (const step of steps) {
    if ('receive' in step) await readBytes(socket, step.receive);
    else if ('receiveLine' in step) await readLine(socket);
    else if ('send' in step) await sendPattern(socket, step.send);
    else if ('text' in step) await written(socket, Buffer.from(step.text));
    else if ('waitMs' in step) await new Promise((resolve) => setTimeout(resolve, step.waitMs));
    else if (step.close === 'close_notify') socket.end();
    else if (step.close === 'fin') raw?.end();
    else raw?.resetAndDestroy();
  }
  if (socket.readableEnded) socket.end();
  socket.on('end', () => socket.end());
  socket.on('data', takeTail);
}

async function sendPattern(socket: TLSSocket, bytes: number): Promise<void> {
  for (const piece of patternPieces(bytes)) await written(socket, piece);
}

/** Resolves when the bytes have left the process, so that a close that follows does not overtake them. */
function written(socket: TLSSocket, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

async function sha256OfNext(socket: TLSSocket, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  for (let missing = bytes; missing > 0; ) {
    const part = await readBytes(socket, Math.min(missing, Math.max(1, socket.readableLength)));
    hash.update(part);
    missing -= part.length;
  }
  return hash.digest('hex');
}
