// What the tests of named sessions have in common: an origin, a daemon and processes that join by name.
import { before } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { type CountingOrigin, countingOrigin, type OriginOptions } from '#helpers/counting-origin.js';
import { fileScope } from '#helpers/scope.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { makeTestPki, type TestPki } from '../sharing/test-pki.ts';
import { Holder, type JoinedSession } from './named-holders.ts';

/** A file's daemon, origin and certificates; there when its tests begin. */
export interface Place {
  readonly daemon: TestDaemon;
  readonly origin: CountingOrigin;
  readonly pki: TestPki;
  /** A new process. */
  holder(): Holder;
  /** Makes a process join a name, or open it. */
  join(holder: Holder, name: string, shared?: object): Promise<JoinedSession>;
  /** Opens a name and answers its connection at the origin; everything that it receives is collected. */
  open(holder: Holder, name: string, shared?: object): Promise<Peer>;
}

/** The origin's end of a session. */
export interface Peer {
  socket: TLSSocket;
  /** What it has received, as Latin-1. */
  received(): string;
}

/** To be called once at the top of a file. */
export function makePlace(origin: Partial<OriginOptions>): Place {
  const scope = fileScope();
  const made = {} as { daemon: TestDaemon; origin: CountingOrigin; pki: TestPki };
  before(async () => {
    made.pki = await makeTestPki();
    made.daemon = await startTestDaemon(scope);
    made.origin = await countingOrigin(scope, { ...made.pki.good, ...origin });
  });
  const place: Place = {
    get daemon() {
      return made.daemon;
    },
    get origin() {
      return made.origin;
    },
    get pki() {
      return made.pki;
    },
    holder: () => new Holder(scope, made.daemon.directory),
    join: (holder, name, shared = {}) =>
      holder.tell<JoinedSession>({
        do: 'connect',
        as: name,
        options: {
          port: made.origin.port,
          host: '127.0.0.1',
          servername: 'localhost',
          ca: made.pki.ca.cert,
          shared: { name, fallback: false, ...shared },
        },
      }),
    open: async (holder, name, shared) => {
      const known = new Set(made.origin.sockets);
      await place.join(holder, name, shared);
      const socket = await waitFor(() => [...made.origin.sockets].find((one) => !known.has(one)), {
        what: 'the connection at the origin',
      });
      const parts: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => parts.push(chunk));
      return { socket, received: () => Buffer.concat(parts).toString('latin1') };
    },
  };
  return place;
}

/** What a holder's socket has brought by `data` or iteration, up to so many bytes. */
export async function collect(
  holder: Holder,
  as: string,
  bytes: number,
  chunks: string[] = [],
): Promise<string[]> {
  const count = () => chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  await waitFor(
    async () => {
      chunks.push(...(await holder.report(as)).chunks);
      return count() >= bytes;
    },
    { what: () => `${bytes} bytes (there are ${count()})` },
  );
  return chunks;
}
