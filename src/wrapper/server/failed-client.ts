// What `tlsClientError` is given of a client whose handshake failed in the daemon: its address, and nothing to talk to.
import { Socket } from 'node:net';
import type { ListenerEvent } from '../link-holders.ts';

/**
 * A socket that is closed and knows where it came from.
 * @param peer as the daemon told it
 */
export function failedClient(peer: Extract<ListenerEvent, { event: 'client-error' }>): Socket {
  const socket = new Socket();
  for (const name of ['remoteAddress', 'remotePort', 'remoteFamily'] as const) {
    Object.defineProperty(socket, name, { value: peer[name] ?? undefined, enumerable: true });
  }
  socket.destroy();
  return socket;
}
