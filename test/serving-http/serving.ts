// What the tests of served HTTP have in common: certificates, a daemon, the three ways to serve, and a client that
// writes plain text into TLS and keeps what comes back.
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { before } from 'node:test';
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls';
import { fileScope, type Scope } from '#helpers/scope.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';

/** The values of `shared` that are compared: in the process, a raw lane, a framed lane. */
export const WAYS = {
  'in the process': false,
  shared: true,
  'shared, surviving': { survive: true },
} as const;

/** A certificate and its key. */
export interface Pair {
  cert: string;
  key: string;
}

/** What a test file serves with; set before its first test. */
export interface Serving {
  readonly ca: string;
  readonly leaf: Pair;
  readonly client: Pair;
  readonly daemon: TestDaemon;
}

/** Prepares a test file: certificates, and a daemon that this process uses. */
export function serving(): Serving {
  const scope = fileScope();
  const prepared = {} as { -readonly [Name in keyof Serving]: Serving[Name] };
  before(async () => {
    const ca = await createCa({ name: 'Test root' });
    const pair = async (...args: Parameters<typeof ca.issue>): Promise<Pair> => {
      const { cert, key } = await ca.issue(...args);
      return { cert, key };
    };
    prepared.ca = ca.cert;
    prepared.leaf = await pair({ names: ['localhost', '127.0.0.1'] });
    prepared.client = await pair({ names: ['client'], clientAuth: true });
    prepared.daemon = await startTestDaemon(scope);
    process.env.TLSHUB_DIR = prepared.daemon.directory;
  });
  return prepared;
}

/** Listens on a free port of 127.0.0.1 until the test is over, and answers the port. */
export async function listening(
  scope: Scope,
  server: Server & { closeAllConnections?(): void },
): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    server.closeAllConnections?.();
    if (server.listening) server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A client that speaks text. */
export interface TextClient {
  readonly socket: TLSSocket;
  /** All that has come. */
  readonly text: string;
  /** How the connection ended, once it has: `end` (close_notify), `close` without it, or the error's code. */
  readonly ended: string | undefined;
  write(text: string): void;
  /** Waits until the pattern is in the text, the given number of times. */
  until(pattern: RegExp, times?: number): Promise<void>;
  /** Waits for the end, and answers `ended`. */
  over(): Promise<string>;
}

/** Connects, in this process and unshared. */
export async function textClient(scope: Scope, options: ConnectionOptions): Promise<TextClient> {
  const socket = tls.connect({ host: '127.0.0.1', servername: 'localhost', ...options });
  scope.after(() => void socket.destroy());
  let text = '';
  let ended: string | undefined;
  let closed = false;
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    text += chunk;
  });
  socket.on('end', () => {
    ended ??= 'end';
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    ended ??= error.code;
  });
  socket.on('close', () => {
    ended ??= 'close';
    closed = true;
  });
  await within(once(socket, 'secureConnect'), { what: 'secureConnect' });
  return {
    socket,
    get text() {
      return text;
    },
    get ended() {
      return ended;
    },
    write: (bytes) => void socket.write(bytes),
    until: async (pattern, times = 1) => {
      const every = new RegExp(pattern, `${pattern.flags.replace('g', '')}g`);
      await waitFor(() => (text.match(every)?.length ?? 0) >= times, {
        what: () => `${times} × ${pattern} (ended: ${ended}) in ${text}`,
      });
    },
    over: async () => {
      await waitFor(() => closed, { what: () => `the end after ${text}` });
      return ended ?? '';
    },
  };
}

/** Text of a response without what differs each time. */
export function settled(text: string): string {
  return text.replace(/Date: [^\r]*/g, 'Date: now');
}
