// Processes that serve for a test: forked, told what to do, stopped and killed; and clients of node:tls that talk to
// them.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { before } from 'node:test';
import nodeTls, { type ConnectionOptions, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { childEnvironment, NODE } from '#helpers/run-node.js';
import { fileScope, type Scope } from '#helpers/scope.js';
import { exchange, opened } from '#helpers/streams.js';
import { startTestDaemon, type TestDaemon, type TestDaemonOptions } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import type { ServerSharedOptions, ShareableServerOptions } from '#src/index.js';
import { makeTestPki, type TestPki } from '../sharing/test-pki.ts';

const PROGRAM = fileURLToPath(new URL('./server-process.js', import.meta.url));

/** What a server does on its connections: obey lines, give bytes back, nothing. */
export type PlayName = 'lines' | 'echo' | 'silent';

/** One thing that a server's process does; `as` names its server. */
export type ServerOrder =
  | {
      do: 'serve';
      as: string;
      options: ShareableServerOptions;
      /** Arguments of `listen`. */
      at: unknown[];
      play: PlayName;
      adopts: boolean;
    }
  | { do: 'attach'; handle: string }
  /** Does nothing else for a time. */
  | { do: 'block'; ms: number }
  | { do: 'exit' }
  | { do: 'setContext'; as: string; options: nodeTls.SecureContextOptions }
  /** Listens for `adopt` from now on. */
  | { do: 'adopt'; as: string }
  | { do: 'close' | 'beginClose' | 'handOff' | 'report'; as: string };

/** A reply of the process; 0 is its first word, -1 what it says by itself. */
export interface ServerReply {
  id: number;
  value?: unknown;
  failure?: { code: string; message: string };
}

/** Where a server listens. */
export interface Served {
  address: AddressInfo | string | null;
  shared: boolean;
  reason: string | null;
}

/** What has become of a server. */
export interface ServeReport {
  opened: number;
  /** States of the sessions that were taken over. */
  adopted: string[];
  closed: number;
  /** Codes of the errors of its sockets, of `tlsClientError`, and of the server. */
  errors: string[];
  clientErrors: string[];
  failures: string[];
}

/** An order that failed. */
export class OrderFailure extends Error {
  readonly code: string;

  constructor({ code, message }: { code: string; message: string }) {
    super(message);
    this.code = code;
  }
}

/** A process that serves. */
export class ServerProcess {
  readonly pid: number;
  /** What it said by itself: the handles of what it detached. */
  readonly said: string[] = [];
  alive = true;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: ServerReply) => void>();
  readonly #started: Promise<unknown>;
  #nextId = 1;

  /**
   * @param scope ends it
   * @param env added to the environment
   */
  constructor(scope: Scope, env: Record<string, string | undefined>) {
    this.#child = fork(PROGRAM, {
      execPath: NODE,
      execArgv: [],
      env: childEnvironment({ TLSHUB_LOG: undefined, ...env }),
    });
    this.pid = this.#child.pid ?? -1;
    this.#started = once(this.#child, 'message');
    this.#child.on('message', (reply: ServerReply) => {
      if (reply.id === -1) this.said.push(String(reply.value));
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
    this.#child.on('exit', () => {
      this.alive = false;
      for (const [id, settle] of this.#waiting)
        settle({ id, failure: { code: 'GONE', message: 'it is gone' } });
      this.#waiting.clear();
    });
    scope.after(() => this.kill());
  }

  /** Makes it do something; rejects with {@link OrderFailure}. */
  async tell<Result = void>(order: ServerOrder): Promise<Result> {
    await within(this.#started, { what: 'the start of a process' });
    const id = this.#nextId++;
    const reply = new Promise<ServerReply>((resolve) => this.#waiting.set(id, resolve));
    this.#child.send({ id, order }, () => undefined);
    const { failure, value } = await within(reply, { what: `"${order.do}"`, deadlineMs: 20_000 });
    if (failure !== undefined) throw new OrderFailure(failure);
    return value as Result;
  }

  /** What has become of a server. */
  report(as = 'main'): Promise<ServeReport> {
    return this.tell<ServeReport>({ do: 'report', as });
  }

  /** Sends a signal and does not wait. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits until it is gone. */
  async gone(): Promise<void> {
    if (this.alive) await within(once(this.#child, 'exit'), { what: 'the end of a process' });
  }

  /** `kill -9`, and waits until the process is gone. */
  async kill(): Promise<void> {
    if (!this.alive) return;
    this.#child.kill('SIGKILL');
    await this.gone();
  }
}

/** How a server of a {@link ServingPlace} is made. */
export interface ServeOptions {
  as?: string;
  /** Default 127.0.0.1. */
  host?: string;
  /** Default any. */
  port?: number;
  at?: unknown[];
  play?: PlayName;
  adopts?: boolean;
  shared?: ServerSharedOptions | false;
  tls?: nodeTls.TlsOptions;
}

/** A file's daemon and certificates; there when its tests begin. */
export interface ServingPlace {
  readonly daemon: TestDaemon;
  readonly pki: TestPki;
  readonly scope: Scope;
  /** A new process. */
  process(env?: Record<string, string | undefined>): ServerProcess;
  /** A server in a process; answers its port. */
  serve(server: ServerProcess, options?: ServeOptions): Promise<number>;
  /** As `serve`, and answers everything. */
  start(server: ServerProcess, options?: ServeOptions): Promise<Served>;
  /** A client; resolves when its handshake is done. */
  dial(port: number, options?: ConnectionOptions): Promise<Client>;
  /** What the daemon says of a client's session. */
  sessionOf(client: Client): Promise<Record<string, unknown> | undefined>;
  /** Waits until the daemon knows that every byte that came from the clients is consumed. */
  settled(...clients: Client[]): Promise<void>;
  /** Kills every process. */
  endProcesses(): Promise<void>;
  /** Starts the daemon of the file anew, after it was ended. */
  restartDaemon(): Promise<void>;
}

/** A client of node:tls. */
export interface Client {
  readonly socket: TLSSocket;
  /** The client's own address, as the daemon calls it. */
  readonly peer: string;
  /** Sends a line and answers the next one. */
  ask(line: string): Promise<string>;
  /** Sends a line. */
  tell(line: string): void;
  /** How it ended: `open`, `end` (FIN or close_notify), or the code of its error. */
  readonly outcome: () => string;
  /** Waits for its end, and answers how it ended. */
  ended(): Promise<string>;
}

/** To be called once at the top of a file. */
export function makeServingPlace(daemonOptions: TestDaemonOptions = {}): ServingPlace {
  const scope = fileScope();
  const processes = new Set<ServerProcess>();
  const made = {} as { daemon: TestDaemon; pki: TestPki };
  before(async () => {
    made.pki = await makeTestPki();
    made.daemon = await startTestDaemon(scope, daemonOptions);
  });
  const place: ServingPlace = {
    get daemon() {
      return made.daemon;
    },
    get pki() {
      return made.pki;
    },
    scope,
    process: (env = {}) => {
      const server = new ServerProcess(scope, { TLSHUB_DIR: made.daemon.directory, ...env });
      processes.add(server);
      return server;
    },
    sessionOf: async ({ peer }) => (await made.daemon.sessions()).find((session) => session.peer === peer),
    settled: async (...clients) => {
      for (const client of clients) {
        await waitFor(
          async () => {
            const session = await place.sessionOf(client);
            return session?.receivedOffset === session?.committedOffset;
          },
          { what: 'commits' },
        );
      }
    },
    endProcesses: async () => {
      await Promise.all([...processes].map((server) => server.kill()));
      processes.clear();
    },
    start: (server, options = {}) => {
      const { as = 'main', host = '127.0.0.1', port = 0, play = 'lines', adopts = false } = options;
      const { cert, key } = made.pki.good;
      const shared = options.shared ?? {};
      return server.tell<Served>({
        ...{ do: 'serve', as, play, adopts },
        at: options.at ?? [{ host, port }],
        options: {
          ...{ cert, key },
          ...options.tls,
          shared: shared === false ? false : { fallback: false, commit: 'manual', ...shared },
        },
      });
    },
    serve: async (server, options) => {
      const { address } = await place.start(server, options);
      return (address as AddressInfo).port;
    },
    dial: async (port, options = {}) => {
      const socket = nodeTls.connect({
        ...{ port, host: '127.0.0.1', servername: 'localhost', ca: made.pki.ca.cert },
        ...options,
      });
      scope.after(() => void socket.destroy());
      return clientOf(await opened(socket));
    },
    restartDaemon: async () => {
      made.daemon = await startTestDaemon(scope, { ...daemonOptions, directory: made.daemon.directory });
    },
  };
  return place;
}

function clientOf(socket: TLSSocket): Client {
  let outcome = 'open';
  socket.on('error', (error: NodeJS.ErrnoException) => {
    outcome = error.code ?? error.message;
  });
  socket.on('end', () => {
    outcome = 'end';
  });
  socket.on('close', () => {
    if (outcome === 'open') outcome = 'closed';
  });
  return {
    socket,
    peer: `127.0.0.1:${socket.localPort}`,
    ask: (line) => exchange(socket, line),
    tell: (line) => void socket.write(`${line}\n`),
    outcome: () => outcome,
    ended: async () => {
      socket.resume();
      return waitFor(() => outcome !== 'open' && outcome, {
        what: 'the end of a client',
        deadlineMs: 15_000,
      });
    },
  };
}

/** The pid of the process that serves a client. */
export async function servedBy(client: Client): Promise<number> {
  return Number(await client.ask('who'));
}
