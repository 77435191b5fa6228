// A program that runs a TLS server, played with node:tls in the process, in the daemon with raw lanes, and in the
// daemon with framed ones; what it saw must be the same each time.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { before, test } from 'node:test';
import nodeTls, { type ConnectionOptions, type TLSSocket, type TlsOptions } from 'node:tls';
import { fileScope, type Scope } from '#helpers/scope.js';
import { opened } from '#helpers/streams.js';
import type { TestDaemon } from '#helpers/test-daemon.js';
import { within } from '#helpers/wait-for.js';
import tls, { type ServerSharedOptions, type TlshubServer } from '#src/index.js';
import { useTestDaemon } from '../sharing/both-ways.ts';
import { makeTestPki, type TestPki } from '../sharing/test-pki.ts';
import { makeRecorder, type Recorder, type Trace } from '../sharing/trace.ts';

/** How a server is run; `framed` is one whose sessions survive its process. */
export type Way = 'direct' | 'raw' | 'framed';

/** All of them; the first is what the others are compared with. */
export const WAYS: readonly Way[] = ['direct', 'raw', 'framed'];

/** What a program is given. */
export interface Stage {
  way: Way;
  pki: TestPki;
  recorder: Recorder;
  scope: Scope;
  /** Makes a server with the good certificate; its events are recorded. */
  serve(
    options?: TlsOptions,
    listener?: (socket: TLSSocket) => void,
    shared?: ServerSharedOptions,
  ): TlshubServer;
  /** Listens, on 127.0.0.1 and any port without arguments; answers when it does. */
  listen(server: TlshubServer, ...args: unknown[]): Promise<void>;
  /** Connects to the server with node:tls and waits until that is done. */
  dial(server: TlshubServer, options?: ConnectionOptions): Promise<TLSSocket>;
  /** Where the server is, for `connect`. */
  target(server: TlshubServer): ConnectionOptions;
  /** Records what becomes of the server's next connection; its `close` is awaited at the end. */
  watchNext(server: TlshubServer, options?: { read?: boolean }): Promise<TLSSocket>;
  /** A port that is to be left out of the comparison. */
  hide(port: number | undefined): void;
}

/** The program. */
export interface Play {
  run(stage: Stage): void | Promise<void>;
  /** What must be true besides: the comparison alone would pass equal failures. */
  check?(trace: Trace, stage: Stage): void;
}

let pki: TestPki | undefined;
let daemon: TestDaemon | undefined;

/** To be called once in a file: makes the certificates and the daemon. */
export function setUpServing(daemonArguments: readonly string[] = []): void {
  const scope = fileScope();
  before(async () => {
    pki = await makeTestPki();
    daemon = await useTestDaemon(scope, { arguments: daemonArguments });
  });
}

/** The file's certificates. */
export function servingPki(): TestPki {
  assert.ok(pki !== undefined, 'setUpServing was not called');
  return pki;
}

/** The file's daemon. */
export function servingDaemon(): TestDaemon {
  assert.ok(daemon !== undefined, 'setUpServing was not called');
  return daemon;
}

/** The `shared` parameter of a way. */
export function sharedAs(way: Way, shared: ServerSharedOptions = {}): false | ServerSharedOptions {
  return way === 'direct' ? false : { fallback: false, survive: way === 'framed', ...shared };
}

/** Declares the test. */
export function sameEachWay(title: string, play: Play): void {
  test(title, async (t) => {
    const traces = new Map<Way, Trace>();
    for (const way of WAYS) traces.set(way, await runPlay(t, way, play));
    for (const way of WAYS.slice(1)) {
      assert.deepEqual({ way, ...traces.get(way) }, { way, ...traces.get('direct') });
    }
  });
}

async function runPlay(scope: Scope, way: Way, play: Play): Promise<Trace> {
  const made = servingPki();
  const recorder = makeRecorder();
  const ports = new Set<number>();
  const watched: TLSSocket[] = [];
  const stage: Stage = {
    way,
    pki: made,
    recorder,
    scope,
    serve: (options = {}, listener = undefined, shared = {}) => {
      const { cert, key } = made.good;
      const server = tls.createServer({ cert, key, ...options, shared: sharedAs(way, shared) }, listener);
      scope.after(() => void server.close());
      watchServer(server, recorder, ports);
      return server;
    },
    listen: async (server, ...args) => {
      const listening = once(server, 'listening');
      const given = args.length === 0 ? [0, '127.0.0.1'] : args;
      (server.listen as (...all: unknown[]) => unknown)(...given);
      await within(listening, { what: 'listening' });
    },
    dial: async (server, options = {}) => {
      const socket = nodeTls.connect({ ...stage.target(server), ...options });
      scope.after(() => void socket.destroy());
      return opened(socket);
    },
    target: (server) => {
      const address = server.address();
      const where =
        typeof address === 'string'
          ? { path: address }
          : { port: address?.port ?? 0, host: address?.address === '::' ? '127.0.0.1' : address?.address };
      return { ...where, ca: made.ca.cert, servername: 'localhost' };
    },
    watchNext: async (server, options = {}) => {
      const [socket] = (await within(once(server, 'secureConnection'), { what: 'secureConnection' })) as [
        TLSSocket,
      ];
      recorder.watch(socket, options);
      scope.after(() => void socket.destroy());
      watched.push(socket);
      return socket;
    },
    hide: (port) => void (port !== undefined && ports.add(port)),
  };
  try {
    await play.run(stage);
  } catch (error) {
    throw new Error(`it failed with a ${way} server`, { cause: error });
  }
  for (const socket of watched) await recorder.finished(socket);
  const trace = withoutPorts(recorder.trace, ports);
  orderLastEvents(trace);
  play.check?.(trace, stage);
  return trace;
}

function watchServer(server: TlshubServer, recorder: Recorder, ports: Set<number>): void {
  server.on('listening', () => {
    const address = server.address();
    if (typeof address === 'object' && address !== null) ports.add(address.port);
    recorder.note('listening', address, server.listening);
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    if (socket.remotePort !== undefined) ports.add(socket.remotePort);
    recorder.note('secureConnection', describeConnection(socket));
  });
  server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
    recorder.note('tlsClientError', error, socket.remoteAddress);
  });
  server.on('drop', (data: { remotePort?: number } | undefined) => {
    if (data?.remotePort !== undefined) ports.add(data.remotePort);
    recorder.note('drop', data);
  });
  server.on('error', (error: Error & { port?: number }) => recorder.note('server error', error));
  server.on('close', () => recorder.note('server close', server.address(), server.listening));
}

function describeConnection(socket: TLSSocket): Record<string, unknown> {
  const { authorized, alpnProtocol, servername, encrypted } = socket;
  // Node asks the kernel when it is asked for the first time.
  const { remoteAddress, remoteFamily } = socket.destroyed ? {} : socket;
  const { localAddress, localPort, localFamily, allowHalfOpen } = socket as TLSSocket & {
    allowHalfOpen: boolean;
    localFamily?: string;
  };
  return {
    ...{ authorized, alpnProtocol, servername, encrypted, remoteAddress, remoteFamily },
    ...{ localAddress, localPort, localFamily, allowHalfOpen },
    protocol: socket.destroyed ? 'gone' : socket.getProtocol(),
    cipher: socket.destroyed ? 'gone' : socket.getCipher().name,
    paused: socket.isPaused(),
    connecting: socket.connecting,
  };
}

/** A server that closes while its last socket does: which of them says so first is chance. */
function orderLastEvents({ events }: Trace): void {
  const [before, last] = events.slice(-2);
  if (before?.[0] === 'server close' && last?.[0] === 'close') events.splice(-2, 2, last, before);
}

const TEMP_PATH = new RegExp(`${tmpdir()}/th-\\w+`, 'g');

function withoutPorts(trace: Trace, ports: ReadonlySet<number>): Trace {
  const replaced = (value: unknown): unknown => {
    if (typeof value === 'number') return ports.has(value) ? 'PORT' : value;
    if (typeof value === 'string') {
      let text = value.replaceAll(TEMP_PATH, 'TEMP');
      for (const port of ports) if (port > 1_000) text = text.replaceAll(String(port), 'PORT');
      return text;
    }
    if (Array.isArray(value)) return value.map(replaced);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, replaced(inner)]));
  };
  return replaced(trace) as Trace;
}

/** Names of the trace's events, in order. */
export function namesOf(trace: Trace): string[] {
  return trace.events.map(([name]) => name);
}
