// What the daemon tells about itself and its sessions: the shapes behind `tlshub status`, `sessions` and `inspect`
// and `tls.sessions()`. Nothing secret passes here: no key, passphrase, ticket or handle.
import { SECRET_KEY_FIELDS } from '../protocol/session-key.ts';
import type { Session } from './session.ts';

/** One session, as `sessions` lists it. Times are milliseconds. */
export interface SessionReport {
  id: string;
  state: string;
  side: 'client';
  /** `host:port` or the path of a Unix socket. */
  peer: string;
  servername: string | null;
  alpn: string | null;
  protocol: string | null;
  cipher: string | null;
  authorized: boolean;
  resumed: boolean;
  leases: number;
  holders: { pid: number | null; uid: number }[];
  ageMs: number;
  /** Time in the present state. */
  stateMs: number;
  bytesFromPeer: number;
  bytesToPeer: number;
  bufferedBytes: number;
  /** Why the session will not be pooled again, if so. */
  reason: string | null;
  /** With `inspect` only: the session key, secrets left out. */
  key?: Record<string, unknown>;
}

/** The daemon, as `status` shows it. */
export interface StatusReport {
  version: string;
  protocol: number;
  pid: number;
  node: string;
  directory: string;
  generation: string;
  uptimeMs: number;
  draining: boolean;
  links: number;
  lanes: number;
  sessions: Record<string, number>;
  counters: Record<string, number>;
  memory: Record<string, number>;
}

/**
 * Describes a session.
 * @param detail `in full` adds the session key without its secrets
 */
export function describeSession(session: Session, detail?: 'in full'): SessionReport {
  const { info, key } = session;
  const nowMs = Date.now();
  return {
    id: session.id,
    state: session.state,
    side: 'client',
    peer: key.path ?? `${key.host}:${key.port}`,
    servername: info.servername === false ? null : info.servername,
    alpn: info.alpnProtocol === false ? null : info.alpnProtocol,
    protocol: info.protocol,
    cipher: info.cipher?.name ?? null,
    authorized: info.authorized,
    resumed: info.resumed,
    leases: session.leases,
    holders: session.state === 'leased' && session.holder !== undefined ? [session.holder] : [],
    ageMs: nowMs - session.createdAtMs,
    stateMs: nowMs - session.stateSinceMs,
    bytesFromPeer: session.bytesFromPeer,
    bytesToPeer: session.bytesToPeer,
    bufferedBytes: session.bufferedBytes,
    reason: session.tainted ?? null,
    ...(detail && { key: withoutSecrets(key) }),
  };
}

function withoutSecrets(key: Session['key']): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(key)) {
    if (value === null) continue;
    shown[field] = (SECRET_KEY_FIELDS as readonly string[]).includes(field) ? '(secret)' : value;
  }
  return shown;
}
