// A connection that has shaken hands, as a session of the daemon that belongs to nobody yet. Called by group.ts.
import type { TLSSocket } from 'node:tls';
import { Session } from '../session.ts';
import { describeServed } from '../tls-info.ts';

/**
 * The session of a connection; `undefined` when OpenSSL cannot describe it, which ends it.
 * @param id of the session, and `uid` whose it is
 * @param onClosed called once when the connection is gone
 */
export function sessionOf(
  tls: TLSSocket,
  { id, uid }: { id: string; uid: number },
  onClosed: (session: Session) => void,
): Session | undefined {
  try {
    const info = describeServed(tls);
    const peer = info.remoteAddress === null ? 'unix' : `${info.remoteAddress}:${info.remotePort}`;
    const session = new Session(
      { id, uid, side: 'server', peer, key: null, owner: '', tls, info, openEvents: [] },
      onClosed,
    );
    session.state = 'accepted';
    return session;
  } catch {
    dropConnection(tls);
    return undefined;
  }
}

/** Ends a connection that nobody gets. */
export function dropConnection(tls: TLSSocket): void {
  tls.on('error', () => {});
  tls.destroy();
}
