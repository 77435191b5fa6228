// Emits on a shared socket what node:tls emitted in the daemon while the session was opened, in the same order.
import type { Socket } from 'node:net';
import type { OpenEvent, WireError } from '../protocol/messages.ts';
import { decodeError } from '../protocol/wire-error.ts';

/**
 * Emits one event; `ready` follows `connect`, as with net.Socket.
 * @param socket emits it
 * @param event from a line of the lane, or from the reply
 */
export function emitOpenEvent(socket: Socket, [name, args]: OpenEvent): void {
  if (name !== 'connect') {
    socket.emit(name as 'data', ...(decodeArguments(name, args) as [Buffer]));
    return;
  }
  // net.Socket keeps it as a plain property.
  (socket as { connecting: boolean }).connecting = false;
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
