// A call to the daemon that blocks until the reply is there, for the few members of node:tls that answer at once but
// need the session (exportKeyingMaterial). A worker thread makes the call on a link of its own.
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { TlshubError } from '../errors.ts';
import { type LinkReply, parseLinkReply } from '../protocol/messages.ts';
import { decodeError } from '../protocol/wire-error.ts';

/** Milliseconds that a blocking call may take. */
const BLOCKING_CALL_MS = 5_000;

/** What the worker is told (blocking-call-worker.ts). */
export interface BlockingCallOrder {
  path: string;
  call: object;
  done: SharedArrayBuffer;
}

/**
 * Makes one call and waits for its reply. Throws the daemon's error, or ERR_TLSHUB_DAEMON_LOST.
 * @param path of the daemon's socket
 * @param name of the call
 * @param fields of the call, without `call` and `id`
 */
export function callBlocking(path: string, name: 'export', fields: object): LinkReply {
  const done = new SharedArrayBuffer(4);
  const { port1, port2 } = new MessageChannel();
  const order: BlockingCallOrder = { path, call: { call: name, ...fields }, done };
  const worker = new Worker(new URL('./blocking-call-worker.js', import.meta.url), {
    workerData: { order, port: port2 },
    transferList: [port2],
    execArgv: [],
  });
  worker.unref();
  Atomics.wait(new Int32Array(done), 0, 0, BLOCKING_CALL_MS);
  const received = receiveMessageOnPort(port1) as { message: Record<string, unknown> } | undefined;
  port1.close();
  void worker.terminate();
  if (received === undefined) throw new TlshubError('ERR_TLSHUB_DAEMON_LOST', 'the daemon does not answer');
  const reply = parseLinkReply(received.message);
  if (reply.error !== undefined) throw decodeError(reply.error);
  return reply;
}
