// Opening a session in three ways: a full and a resumed handshake of node:tls in this process, and a warm lease from
// the daemon. Used by bench:lease and the suite.
import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { connect, type ShareableConnectionOptions, type TlshubSocket } from '#src/wrapper/connect.js';
import { WILDCARD } from './stage.ts';

/** A way to open. */
export type OpenKind = 'full' | 'resumed' | 'lease';

/** All ways to open. */
export const OPEN_KINDS: readonly OpenKind[] = ['full', 'resumed', 'lease'];

/** Sessions that are opened at the same time while thousands are made to be held. */
const OPENING_AT_ONCE = 16;

/** Opens in one of the three ways, over one way to the origin. */
export class Opener {
  readonly #options: ShareableConnectionOptions;
  #ticket: Buffer | undefined;

  constructor(ca: string, port: number) {
    this.#options = { host: 'localhost', port, servername: 'localhost', ca };
  }

  /** Makes the ticket for `resumed` and the session for `lease`. */
  async prepare(): Promise<void> {
    await this.prepareTicket();
    await this.once('lease', 'open');
  }

  /** Makes the ticket for `resumed`. */
  async prepareTicket(): Promise<void> {
    const socket = connect(this.#options);
    const [ticket] = await once(socket, 'session');
    this.#ticket = ticket;
    socket.destroy();
  }

  /** Opens once; answers the milliseconds until the session is open, or until an answer has begun. */
  async once(kind: OpenKind, until: 'open' | 'firstByte'): Promise<number> {
    const start = performance.now();
    const socket = connect({
      ...this.#options,
      ...(kind === 'lease' && { shared: { fallback: false } }),
      ...(kind === 'resumed' && { session: this.#ticket }),
    });
    if (until === 'firstByte') socket.write('x');
    await once(socket, 'secureConnect');
    const openMs = performance.now() - start;
    if (socket.isSessionReused() !== (kind === 'resumed') && kind !== 'lease') throw new Error(`not ${kind}`);
    if (until === 'open') {
      await giveUp(socket, kind);
      return openMs;
    }
    await once(socket, 'data');
    const firstByteMs = performance.now() - start;
    await giveUp(socket, kind);
    return firstByteMs;
  }
}

async function giveUp(socket: TlshubSocket, kind: OpenKind): Promise<void> {
  if (kind === 'lease') {
    await socket.release();
    if (socket.sharing.reason !== null) throw new Error(`the session was not kept: ${socket.sharing.reason}`);
  } else {
    (socket as TLSSocket).destroy();
    await once(socket, 'close');
  }
}

/** So many samples, one after the other. */
export async function repeat(count: number, sample: () => Promise<number>): Promise<number[]> {
  const results: number[] = [];
  for (let index = 0; index < count; index += 1) results.push(await sample());
  return results;
}

/**
 * Sessions with a key of their own each, made and left in the pool.
 * @param hosts addresses of the origin, which take turns
 */
export async function holdSessions(
  ca: string,
  port: number,
  count: number,
  hosts: readonly string[] = ['localhost'],
): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < count; index = next++) {
      const host = hosts[index % hosts.length];
      const servername = `s${index}.${WILDCARD}`;
      const socket = connect({ host, port, servername, ca, shared: { fallback: false } });
      await once(socket, 'secureConnect');
      await giveUp(socket, 'lease');
    }
  };
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, worker));
}
