// Awaiting things of a stream in tests: opened, closed, so many bytes, a line.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { within } from './wait-for.ts';

/** The socket once it has emitted `secureConnect`; rejects with its error. */
export async function opened<S extends TLSSocket>(socket: S): Promise<S> {
  await within(once(socket, 'secureConnect'), { what: 'secureConnect' });
  return socket;
}

/** Waits for `close`; an error before it is no failure. */
export async function closed(socket: Socket): Promise<void> {
  if (socket.closed) return;
  await within(
    new Promise<void>((resolve) => {
      socket.on('error', () => undefined);
      socket.once('close', () => resolve());
    }),
    { what: 'close' },
  );
}

/**
 * Reads exactly so many bytes with `read()`; rejects when the stream ends or fails first.
 * @param socket is left in paused mode
 */
export async function readBytes(socket: Socket, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let missing = bytes;
  for (;;) {
    const part: Buffer | null = socket.read(Math.min(missing, Math.max(1, socket.readableLength)));
    if (part !== null) {
      parts.push(part);
      missing -= part.length;
    }
    if (missing === 0) return Buffer.concat(parts);
    if (part === null) await readable(socket, `${missing} more bytes`);
  }
}

/** Reads up to a newline, which is left out. */
export async function readLine(socket: Socket): Promise<string> {
  const parts: Buffer[] = [];
  for (;;) {
    const byte = await readBytes(socket, 1);
    if (byte[0] === 0x0a) return Buffer.concat(parts).toString('utf8');
    parts.push(byte);
  }
}

/** Writes a line and reads the answer's line. */
export async function exchange(socket: Socket, line: string): Promise<string> {
  socket.write(`${line}\n`);
  return readLine(socket);
}

async function readable(socket: Socket, what: string): Promise<void> {
  await within(
    new Promise<void>((resolve, reject) => {
      const tidy = (): void => {
        socket.off('readable', socketOnReadable);
        socket.off('end', socketOnEnd);
        socket.off('error', socketOnError);
        socket.off('close', socketOnEnd);
      };
      const socketOnReadable = (): void => {
        tidy();
        resolve();
      };
      const socketOnEnd = (): void => {
        tidy();
        reject(new Error(`the stream ended before ${what}`));
      };
      const socketOnError = (error: Error): void => {
        tidy();
        reject(error);
      };
      socket.on('readable', socketOnReadable);
      socket.on('end', socketOnEnd);
      socket.on('error', socketOnError);
      socket.on('close', socketOnEnd);
    }),
    { what },
  );
}
