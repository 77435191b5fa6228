// Reception: what happens to an accepted connection until it is a link or a lane. It waits a bounded time for the
// first line, and hands the connection on by what that line asks for. A line that asks for nothing known is answered
// with an error and the connection closed.
import type { Socket } from 'node:net';
import { messageOf, TlshubError } from '../errors.ts';
import { decodeLine, encodeLine, LineDecoder } from '../protocol/line-codec.ts';
import { laneCalls } from '../protocol/messages.ts';
import { plainLeaseIn } from '../protocol/plain-messages.ts';
import { encodeError } from '../protocol/wire-error.ts';
import type { PeerIdentity } from './link-peer.ts';
import type { Logger } from './log.ts';

interface ReceptionOptions {
  helloTimeoutMs: number;
  log: Logger;
  /** The first line is a link's; `bytes` are the line itself and what followed. */
  onLink(socket: Socket, identity: PeerIdentity, bytes: Buffer): void;
  /** The first line is a lane's; the socket is paused, and what followed the line was put back. */
  onLane(socket: Socket, identity: PeerIdentity, message: Record<string, unknown>): void;
}

/**
 * Tells a connection that a limit of the daemon keeps it out, and drops it at once: it must not take room any longer.
 * @param socket just accepted, not read yet
 */
export function turnAway(socket: Socket, error: TlshubError): void {
  socket.on('error', () => {});
  socket.write(encodeLine({ rc: -1, error: encodeError(error) }));
  socket.destroySoon();
}

/**
 * Receives one connection.
 * @param socket just accepted, of a peer that was identified
 */
export function receive(socket: Socket, identity: PeerIdentity, options: ReceptionOptions): void {
  const decoder = new LineDecoder();
  const refuse = (error: TlshubError) => {
    leave();
    options.log.once(
      `reception ${error.code}`,
      'warn',
      { ...identity, reason: error.message },
      'a connection was refused',
    );
    socket.resume();
    socket.end(encodeLine({ rc: -1, error: encodeError(error) }));
    // A peer that does not close its side is not waited for.
    setTimeout(() => socket.destroy(), options.helloTimeoutMs).unref();
  };
  let started = false;
  const socketOnData = (chunk: Buffer) => {
    started = true;
    try {
      decoder.push(chunk);
      const line = decoder.next();
      if (line === undefined) return;
      leave();
      const message = plainLeaseIn(line) ?? decodeLine(line);
      const rest = decoder.takeRest();
      if (typeof message.call === 'string' && Object.hasOwn(laneCalls, message.call)) {
        socket.pause();
        if (rest.length > 0) socket.unshift(rest);
        options.onLane(socket, identity, message);
      } else {
        options.onLink(socket, identity, Buffer.concat([line, Buffer.from('\n'), rest]));
      }
    } catch (error) {
      refuse(error instanceof TlshubError ? error : new TlshubError('ERR_TLSHUB_PROTOCOL', messageOf(error)));
    }
  };
  const socketOnEnd = () => {
    // A connection that ends without a byte only asked whether somebody listens.
    if (!started) socket.end();
    else refuse(new TlshubError('ERR_TLSHUB_PROTOCOL', 'the connection ended within its first line'));
  };
  const socketOnError = () => leave();
  const timer = setTimeout(() => refuse(new TlshubError('ERR_TLSHUB_HELLO_TIMEOUT')), options.helloTimeoutMs);
  const leave = () => {
    clearTimeout(timer);
    socket.off('data', socketOnData);
    socket.off('end', socketOnEnd);
  };
  socket.on('data', socketOnData);
  socket.on('end', socketOnEnd);
  // Stays: a connection that breaks at any later time must not end the daemon.
  socket.on('error', socketOnError);
  socket.on('close', leave);
}
