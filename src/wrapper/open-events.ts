// Emits on a shared socket what node:tls emitted in the daemon while the session was opened, in the same order.
import type { Socket } from 'node:net';
import type { OpenEvent, WireError } from '../protocol/messages.ts';
import { decodeError } from '../protocol/wire-error.ts';

/**
 * Replays the events of an open; `ready` follows `connect`, as with net.Socket.
 * @param socket emits them
 * @param events from the reply
 * @param opened true for a session that is open: `connect` is emitted even when the reply does not list it (attach)
 */
export function emitOpenEvents(socket: Socket, events: readonly OpenEvent[], opened: boolean): void {
  const names = events.map(([name]) => name);
  if (opened && !names.includes('connect')) emitConnect(socket);
  for (const [name, args] of events) {
    if (socket.destroyed) return;
    if (name === 'connect') emitConnect(socket);
    else socket.emit(name as 'data', ...(decodeArguments(name, args) as [Buffer]));
  }
}

function emitConnect(socket: Socket): void {
  socket.emit('connect');
  if (!socket.destroyed) socket.emit('ready');
}

function decodeArguments(name: OpenEvent[0], args: unknown[]): unknown[] {
  if (name === 'OCSPResponse')
    return args.map((value) => (typeof value === 'string' ? Buffer.from(value, 'base64') : null));
  // JSON has no `undefined`, which is what node:tls gives for everything but the missing error of a look-up.
  return args.map((value, index) => {
    if (isWireError(value)) return decodeError(value);
    return value === null && !(name === 'lookup' && index === 0) ? undefined : value;
  });
}

function isWireError(value: unknown): value is WireError {
  return typeof value === 'object' && value !== null && typeof (value as WireError).message === 'string';
}
