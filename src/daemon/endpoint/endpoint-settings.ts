// What an endpoint is made of, whoever asked for it: a call on a link, or a section of the configuration. Types, and
// what the target is called.
import { isIP } from 'node:net';
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

/**
 * True when a request for this host is served: one for an IP address, `localhost` or the target itself. Any other name may be
 * that of a web page whose DNS says that it is here (DNS rebinding), so that its browser lets it read what we answer.
 * @param host value of `Host`; empty ones do not come from browsers
 */
export function servesHost(host: string, { host: target, servername }: SessionKey): boolean {
  const name = host.replace(/:\d*$/, '').toLowerCase();
  if (name === '' || name === 'localhost' || name.endsWith('.localhost')) return true;
  if (name === target?.toLowerCase() || name === servername?.toLowerCase()) return true;
  return isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0;
}

function bracketed(host: string | null): string {
  return host?.includes(':') ? `[${host}]` : (host ?? 'localhost');
}
