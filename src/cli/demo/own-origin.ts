// The demo's own certificate authority and its origin in a process of its own. Made by run-demo.ts.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { OriginCount, OriginOrder, OriginReady } from './origin-process.ts';
import { createCa } from './pki.ts';

/** A running origin. */
export interface OwnOrigin {
  readonly port: number;
  /** File with the certificate of the authority that the origin's certificate is from. */
  readonly caFile: string;
  /** Handshakes that the origin has made so far. */
  handshakes(): Promise<number>;
  close(): Promise<void>;
}

/**
 * Makes an authority and a certificate for localhost, and starts the origin. Rejects when it cannot be started or the
 * signal is aborted.
 * @param directory for the authority's certificate
 * @param roundTripMs milliseconds of round-trip time to add
 */
export async function startOwnOrigin(
  directory: string,
  roundTripMs: number,
  signal: AbortSignal,
): Promise<OwnOrigin> {
  const authority = await createCa({ name: 'tlshub demo' });
  const { chain, key } = await authority.issue({ names: ['localhost', '127.0.0.1'] });
  const caFile = join(directory, 'ca.pem');
  writeFileSync(caFile, authority.cert, { mode: 0o600 });

  const child = fork(fileURLToPath(new URL('./origin-process.js', import.meta.url)), [], { execArgv: [] });
  const exited = once(child, 'exit');
  const ended = exited.then(([code, by]) => {
    throw new Error(`the origin ended with ${by ?? `exit code ${code}`}`);
  });
  ended.catch(() => {});
  const ask = async (message: OriginOrder | 'count'): Promise<unknown> => {
    const answer = once(child, 'message', { signal });
    child.send(message);
    return (await Promise.race([answer, ended]))[0];
  };
  const close = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  try {
    const { port } = (await ask({ cert: chain, key, roundTripMs })) as OriginReady;
    return { port, caFile, close, handshakes: async () => ((await ask('count')) as OriginCount).handshakes };
  } catch (error) {
    await close();
    throw error;
  }
}
