// One of the many short-lived processes of `tlshub demo`: opens one session, does one exchange over it, checks every
// byte, gives the session up, and prints one line of JSON. Run by run-client.ts.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { isIP } from 'node:net';
import tls from 'node:tls';
import { codeOf, messageOf } from '../../errors.ts';
import type { Connect, TlshubSocket } from '../../wrapper/connect.ts';

/** What the process is to do; its first argument, as JSON. */
export interface ClientOrder {
  readonly host: string;
  readonly port: number;
  /** File with CA certificates to trust; absent: the default ones. */
  readonly caFile?: string;
  readonly shared: boolean;
  /** So many random bytes are sent and must come back, or a path is asked for by GET. */
  readonly exchange: { readonly echoBytes: number } | { readonly get: string };
}

/** What the process did; printed as JSON. */
export interface ClientReport {
  /** Milliseconds from the call of `tls.connect` to `secureConnect`. */
  readonly connectMs: number;
  /** Bytes that came and were checked: equal to those sent, or all that the HTTP response announced. */
  readonly bytes: number;
  /** Whether the session was open before. */
  readonly reused: boolean;
  /** Whether the session was left usable for another process. */
  readonly kept: boolean;
  /** Status of the HTTP response. */
  readonly status?: number;
}

/** What the process prints when it failed. */
export interface ClientError {
  readonly error: { readonly code: string | undefined; readonly message: string };
}

async function run(order: ClientOrder): Promise<ClientReport> {
  const { host, port, caFile, shared, exchange } = order;
  const ca = caFile === undefined ? undefined : readFileSync(caFile);
  const servername = isIP(host) === 0 ? host : '';
  // A process that does not share does not load the wrapper either, as it would be without tlshub.
  const connect = shared ? (await import('../../wrapper/connect.ts')).connect : (tls.connect as Connect);
  const startMs = performance.now();
  const socket = connect({ host, port, servername, ca, shared: shared && { fallback: false } });
  await once(socket, 'secureConnect');
  const connectMs = performance.now() - startMs;
  const reused = shared && socket.sharing.reused;
  const done =
    'get' in exchange ? await get(socket, order, exchange.get) : await echo(socket, exchange.echoBytes);
  if (!shared) socket.end();
  else if (done.kept) await socket.release();
  return { connectMs, reused, ...done, kept: done.kept && (!shared || socket.sharing.reason === null) };
}

type Done = Pick<ClientReport, 'bytes' | 'kept' | 'status'>;

async function echo(socket: TlshubSocket, bytes: number): Promise<Done> {
  const sent = randomBytes(bytes);
  const hash = createHash('sha256');
  let received = 0;
  const complete = new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`the session ended after ${received} of ${bytes} bytes`)));
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      hash.update(chunk);
      if (received >= bytes) resolve();
    });
  });
  socket.write(sent);
  await complete;
  if (hash.digest('hex') !== createHash('sha256').update(sent).digest('hex')) {
    throw new Error('the bytes that came back are not those that were sent');
  }
  return { bytes, kept: true };
}

/** A GET by Node's own HTTP client, which also fails when less comes than the response announced. */
async function get(socket: TlshubSocket, { host, port }: ClientOrder, path: string): Promise<Done> {
  const kept = Promise.race([once(socket, 'free').then(() => true), once(socket, 'close').then(() => false)]);
  const headers = { connection: 'keep-alive' };
  const sent = request({ host, port, path, headers, createConnection: () => socket }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let bytes = 0;
  for await (const chunk of response) bytes += (chunk as Buffer).length;
  return { bytes, kept: await kept, status: response.statusCode };
}

try {
  const report = await run(JSON.parse(process.argv[2] ?? '') as ClientOrder);
  process.stdout.write(`${JSON.stringify(report)}\n`);
} catch (error) {
  const failure: ClientError = { error: { code: codeOf(error), message: messageOf(error) } };
  process.stdout.write(`${JSON.stringify(failure)}\n`);
  process.exitCode = 1;
}
