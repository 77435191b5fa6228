// What an endpoint is made of, whoever asked for it: a call on a link, or a section of the configuration. Types only, but
// for the name of the target.
import type { EndpointKind, EndpointPlace } from '../../protocol/endpoint-place.ts';
import type { SessionKey } from '../../protocol/session-key.ts';

const HTTPS_PORT = 443;

/** Everything about an endpoint that a reload can change. */
export interface EndpointSettings {
  readonly place: EndpointPlace;
  readonly kind: EndpointKind;
  /** `http`: the client's Host header stays as it is. */
  readonly keepHost: boolean;
  /** Whoever reaches the address may use it. */
  readonly unsafeListen: boolean;
  /** What its sessions are opened with. */
  readonly key: SessionKey;
  /** The certificates named by `key.ca`, as BlobStore.get answers them: the endpoint keeps them for its whole life. */
  readonly ca: Buffer | 'bundled';
}

/** The target as the status tells it: `host:port`, or the path of a Unix socket. */
export function targetOf({ host, port, path }: SessionKey): string {
  return path ?? `${bracketed(host)}:${port}`;
}

/** The target as a Host header has it (RFC 9110 §4.2.2): the name that was asked for, without the port of HTTPS. */
export function authorityOf({ host, port, servername }: SessionKey): string {
  const name = servername ?? bracketed(host);
  return port === null || port === HTTPS_PORT ? name : `${name}:${port}`;
}

function bracketed(host: string | null): string {
  return host?.includes(':') ? `[${host}]` : (host ?? 'localhost');
}
