// Sessions for the daemon's unit tests: real TLS connections to a real origin, without a daemon around them.
import { countingOrigin, type OriginOptions } from '#helpers/counting-origin.js';
import type { Scope } from '#helpers/scope.js';
import { waitFor } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import { BlobStore } from '#src/daemon/blob-store.js';
import { type DaemonConfig, DEFAULT_CONFIG } from '#src/daemon/config.js';
import { Pool } from '#src/daemon/pool.js';
import type { Session } from '#src/daemon/session.js';
import { SessionTable } from '#src/daemon/session-table.js';
import { TicketCache } from '#src/daemon/ticket-cache.js';
import { Upstream } from '#src/daemon/upstream.js';
import type { SessionKey } from '#src/protocol/session-key.js';
import { sessionKey, sha256 } from '../fuzz/wire-client.ts';

/** A user id that is nobody's here; the daemon only compares it. */
export const UID = 4711;

/** A pool with everything that it works on, and an origin to connect to. */
export async function makePool(
  scope: Scope,
  limits: Partial<DaemonConfig> = {},
  origin: Partial<OriginOptions> = {},
) {
  const ca = await createCa({ name: 'Test root' });
  const { cert, key: privateKey } = await ca.issue({ names: ['localhost', '127.0.0.1'] });
  const server = await countingOrigin(scope, { cert, key: privateKey, ...origin });
  const blobs = new BlobStore();
  const data = Buffer.from(ca.cert).toString('base64');
  blobs.put({}, { sha256: sha256(ca.cert), offset: 0, data, last: true });
  const tickets = new TicketCache(100);
  const table = new SessionTable();
  const upstream = new Upstream({ blobs, tickets, connectTimeoutMs: 5_000 });
  const closed: Session[] = [];
  const config: DaemonConfig = { ...DEFAULT_CONFIG, directory: '/nowhere', ...limits };
  const pool = new Pool({
    config,
    table,
    upstream,
    tickets,
    sessionOnClosed: (session) => closed.push(session),
  });
  scope.after(async () => {
    for (const session of [...table.all()]) session.close('the test is over', 'abrupt');
    await waitFor(() => table.size === 0, { what: 'the end of all sessions' });
  });
  const key = sessionKey(server.port, ca.cert);
  const never = new AbortController().signal;
  return {
    pool,
    table,
    tickets,
    upstream,
    closed,
    key,
    origin: server,
    /** Leases for {@link UID}, without waiting unless told to. */
    lease: (changes: Partial<SessionKey> = {}, waitMs = 0, abandoned: AbortSignal = never, uid = UID) =>
      pool.lease({ uid, key: { ...key, ...changes }, waitMs, abandoned, onOpenEvent: () => {} }),
  };
}
