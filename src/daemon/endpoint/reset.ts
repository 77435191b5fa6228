// Ends a client's connection so that its other end sees a failure and not an end in order. Used by both kinds of
// endpoints.
import type { Socket } from 'node:net';

/**
 * Resets a TCP connection (RST); a Unix socket can only be closed.
 * @param client what waits to be written to it is dropped
 */
export function resetClient(client: Socket): void {
  if (client.destroyed) return;
  // libuv refuses to reset a handle in the middle of its shutdown (uv_tcp_close_reset), and Node 20 then never exits.
  // It begins when nothing waits to be written any more.
  const isShuttingDown = client.writableEnded && !client.writableFinished && client.writableLength === 0;
  if (client.remoteAddress === undefined || isShuttingDown) client.destroy();
  else client.resetAndDestroy();
}
