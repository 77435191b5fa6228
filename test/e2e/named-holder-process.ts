// A process that holds named sessions as its parent tells it, order by order (named-holders.ts is the other end). Its
// sockets are paused: it takes from a stream only what it is told to take.
import { once } from 'node:events';
import { readBytes } from '#helpers/streams.js';
import { attach, connect, type TlshubSocket } from '#src/index.js';
import type { HolderOrder, HolderReply, JoinedSession, SocketReport } from './named-holders.ts';

interface Held {
  socket: TlshubSocket;
  chunks: string[];
  ended: boolean;
  closed: boolean;
  error: string | undefined;
}

/** An option of net.Socket that the types of tls.connect lack. */
const HALF_OPEN = { allowHalfOpen: true } as object;

const held = new Map<string, Held>();

function keep(name: string, socket: TlshubSocket): Held {
  const entry: Held = { socket, chunks: [], ended: false, closed: false, error: undefined };
  socket.on('end', () => {
    entry.ended = true;
  });
  socket.on('close', () => {
    entry.closed = true;
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    entry.error ??= error.code ?? error.message;
  });
  held.set(name, entry);
  return entry;
}

async function joined({ socket }: Held): Promise<JoinedSession> {
  await once(socket, 'secureConnect');
  const { reused, resumedAt, name, sessionId } = socket.sharing;
  return { reused, resumedAt, name, sessionId, state: socket.state?.toString('utf8') ?? null };
}

function report({ socket, chunks, ended, closed, error }: Held): SocketReport {
  return { chunks: chunks.splice(0), ended, closed, error, bytesRead: socket.bytesRead };
}

function heldAs(name: string): Held {
  const entry = held.get(name);
  if (entry === undefined) throw new Error(`there is no socket ${name}`);
  return entry;
}

async function obey(order: HolderOrder): Promise<unknown> {
  if (order.do === 'connect') return joined(keep(order.as, connect({ ...order.options, ...HALF_OPEN })));
  if (order.do === 'attach') {
    return joined(keep(order.as, attach(order.handle, { ...order.options, ...HALF_OPEN })));
  }
  const entry = heldAs(order.as);
  const { socket } = entry;
  switch (order.do) {
    case 'read': {
      const bytes = await readBytes(socket, order.bytes);
      // With `commit: 'auto'` the daemon is told in the same turn; this process may be killed once it has answered.
      await new Promise((resolve) => setImmediate(resolve));
      return bytes.toString('latin1');
    }
    case 'write':
      await new Promise<void>((resolve, reject) => {
        socket.write(order.text, 'latin1', (error) => (error ? reject(error) : resolve()));
      });
      return undefined;
    case 'startWriting':
      socket.write(order.text, 'latin1');
      return undefined;
    case 'flow':
      if (order.encoding !== undefined) socket.setEncoding(order.encoding as BufferEncoding);
      socket.on('data', (chunk: Buffer | string) => {
        entry.chunks.push(typeof chunk === 'string' ? chunk : chunk.toString('latin1'));
      });
      return undefined;
    case 'iterate':
      void (async () => {
        for await (const chunk of socket) {
          entry.chunks.push((chunk as Buffer).toString('latin1'));
          if (order.commits) await socket.commit();
        }
      })().catch(() => undefined);
      return undefined;
    case 'pause':
      socket.pause();
      return undefined;
    case 'commit':
      return socket.commit();
    case 'setState':
      return socket.setState(Buffer.from(order.text));
    case 'setName':
      return socket.setName(order.name, order.linger);
    case 'release':
      return socket.release();
    case 'detach':
      return socket.detach();
    case 'end':
      socket.end();
      return undefined;
    case 'destroy':
      socket.destroy();
      return undefined;
    default:
      return report(entry);
  }
}

process.on('message', ({ id, order }: { id: number; order: HolderOrder }) => {
  obey(order).then(
    (value) => process.send?.({ id, value } satisfies HolderReply),
    (error: NodeJS.ErrnoException) => {
      process.send?.({ id, failure: error.code ?? error.message } satisfies HolderReply);
    },
  );
});
process.on('disconnect', () => process.exit());
process.send?.({ id: 0 } satisfies HolderReply);
