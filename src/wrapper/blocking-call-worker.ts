// The worker thread of blocking-call.ts: says hello, makes one call, passes the reply on and wakes the caller.
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { type MessagePort, workerData } from 'node:worker_threads';
import { messageOf } from '../errors.ts';
import { MessageConnection } from '../link/message-connection.ts';
import { PROTOCOL_VERSION } from '../protocol/limits.ts';
import { VERSION } from '../version.ts';
import type { BlockingCallOrder } from './blocking-call.ts';

const { order, port } = workerData as { order: BlockingCallOrder; port: MessagePort };

const finish = (message: object) => {
  port.postMessage(message);
  const flag = new Int32Array(order.done);
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
};

const connection = new MessageConnection(connect(order.path), {
  connectionOnMessage(message) {
    if (message.reply === 2 || message.rc !== 1) finish(message);
  },
  connectionOnClose(reason) {
    const message = reason === undefined ? 'the daemon closed the link' : messageOf(reason);
    finish({ reply: 2, rc: -1, error: { code: 'ERR_TLSHUB_DAEMON_LOST', message } });
  },
});
const hello = {
  protocol: PROTOCOL_VERSION,
  process: randomBytes(16).toString('hex'),
  pid: process.pid,
  version: VERSION,
};
connection.send({ call: 'hello', id: 1, ...hello });
connection.send({ ...order.call, id: 2 });
