// Settings of a session's TCP connection that belong to a lease, not to the session key: each lease sets them anew.
import type { TLSSocket } from 'node:tls';

/** TCP settings as `net.Socket` names them. */
export interface SocketSettings {
  noDelay?: boolean | undefined;
  keepAlive?: boolean | undefined;
  /** Milliseconds. */
  keepAliveInitialDelay?: number | undefined;
}

/** Sessions whose settings are not Node's defaults. */
const changed = new WeakSet<TLSSocket>();

/** Applies those settings that are given. */
export function applySocketSettings(tls: TLSSocket, settings: SocketSettings): void {
  if (settings.noDelay === undefined && settings.keepAlive === undefined) return;
  changed.add(tls);
  if (settings.noDelay !== undefined) tls.setNoDelay(settings.noDelay);
  if (settings.keepAlive !== undefined)
    tls.setKeepAlive(settings.keepAlive, settings.keepAliveInitialDelay ?? 0);
}

/** Applies a lease's settings over Node's defaults, whatever the holder before had set. */
export function resetSocketSettings(tls: TLSSocket, settings: SocketSettings): void {
  if (changed.has(tls)) applySocketSettings(tls, { noDelay: false, keepAlive: false });
  changed.delete(tls);
  applySocketSettings(tls, settings);
}
