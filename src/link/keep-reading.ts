// Reading to the end of what a process has sent, though it takes nothing any more. Used for links and framed lanes.
import type { Socket } from 'node:net';

type WriteCallback = (error?: Error | null) => void;

/**
 * Lets a failed write not end a connection. A process gives its sessions back, or acknowledges bytes, with its last
 * words; a stream destroys itself when a write fails, and would lose them. The end comes by reading anyway.
 * @param unheard called when a write has failed
 */
export function keepReading(socket: Socket, unheard: () => void): void {
  const swallowing = (callback: WriteCallback): WriteCallback => {
    return (error) => {
      if (error) unheard();
      callback();
    };
  };
  const { _write: write, _writev: writev } = socket;
  socket._write = (chunk, encoding, callback) => write.call(socket, chunk, encoding, swallowing(callback));
  socket._writev = (chunks, callback) => writev?.call(socket, chunks, swallowing(callback));
}
