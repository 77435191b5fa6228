// What the daemon tells about one endpoint, in `status`. Made by daemon/endpoint, shown by the command line.
import type { EndpointKind } from './endpoint-place.ts';

/** One endpoint. */
export interface EndpointReport {
  /** Of its section in the configuration; `null` of one that a process opened. */
  name: string | null;
  /** `host:port`, or the path of a Unix socket. */
  address: string;
  kind: EndpointKind;
  /** The target: `host:port`. */
  to: string;
  /** The process that opened it; the daemon itself for the configuration. */
  pid: number | null;
  /** Clients now. */
  connections: number;
  /** Clients since it was opened, and requests that they made (`http`). */
  total: number;
  requests: number;
  /** Clients that were not let in: of other users, or over a limit. */
  refused: number;
  /** Sessions that a client wanted and did not get. */
  failures: number;
  bytesFromClients: number;
  bytesToClients: number;
  /** Why it is not open, or else why a client got no session last; `null` when nothing has failed. */
  reason: string | null;
}
