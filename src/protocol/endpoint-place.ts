// Where an endpoint listens: a TCP address or the path of a Unix socket, as it travels and as people write it on the
// command line and in the configuration. Pure; names are never looked up, so what is written is what is bound.
import * as v from 'valibot';
import { fitsUnixSocket } from './unix-path.ts';

/** How an endpoint uses sessions: one for each connection, or requests (HTTP/1.1) over those of the pool. */
export const ENDPOINT_KINDS = ['raw', 'http'] as const;

/** One of {@link ENDPOINT_KINDS}. */
export type EndpointKind = (typeof ENDPOINT_KINDS)[number];

/** Where an endpoint listens: `host` and `port`, or `path`; the others are `null`. */
export const endpointPlaceSchema = v.strictObject({
  /** IP address. */
  host: v.nullable(v.pipe(v.string(), v.maxLength(45))),
  /** 0: the system chooses one. */
  port: v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535))),
  /** Absolute path of a Unix socket. */
  path: v.nullable(v.string()),
});

/** Where an endpoint listens. */
export type EndpointPlace = v.InferOutput<typeof endpointPlaceSchema>;

const MAX_PORT = 65_535;
const LOCALHOST = '127.0.0.1';

/**
 * The place of a text: `127.0.0.1:9000`, `[::1]:9000`, `localhost:9000` (the IPv4 one), a path with a slash in it, or
 * `unix:PATH`. Paths are as written. Answers the flaw as a sentence instead when it is none.
 */
export function parseEndpointPlace(text: string): EndpointPlace | string {
  const path = text.startsWith('unix:') ? text.slice('unix:'.length) : text.includes('/') ? text : undefined;
  if (path !== undefined) {
    if (path === '' || path.includes('\0')) return 'the path of a Unix socket is missing';
    return { host: null, port: null, path };
  }
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:\][]+)):(\d{1,5})$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > MAX_PORT)
    return 'it is HOST:PORT, such as 127.0.0.1:9000 or [::1]:9000, or the path of a Unix socket';
  if (host !== 'localhost' && match?.[1] === undefined && !/^\d+(\.\d+){3}$/.test(host))
    return 'the host is an IP address (IPv6 in brackets), or localhost';
  return { host: host === 'localhost' ? LOCALHOST : host, port, path: null };
}

/** The place as text again, as {@link parseEndpointPlace} reads it. */
export function endpointPlaceText({ host, port, path }: EndpointPlace): string {
  if (path !== null) return path;
  return host?.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** True for an address that only this host can reach (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3). */
export function isLoopbackAddress(address: string): boolean {
  return /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(address) || address === '::1';
}

/**
 * Why nothing may listen there, or `undefined`.
 * @param unsafe whoever reaches the address may use it
 */
export function flawOfPlace({ host, port, path }: EndpointPlace, unsafe: boolean): string | undefined {
  if (path !== null) {
    if (host !== null || port !== null) return 'an endpoint listens on an address or on a path, not on both';
    if (!path.startsWith('/') || !fitsUnixSocket(path)) return 'the path does not fit a Unix socket';
    return unsafe
      ? 'only a TCP address can be unsafe: a Unix socket is the one of its user alone'
      : undefined;
  }
  if (host === null || port === null) return 'an endpoint needs an address and a port, or a path';
  if (unsafe || isLoopbackAddress(host)) return undefined;
  return (
    `${host} can be reached from other hosts, and everyone who reaches the endpoint speaks with the certificates of its ` +
    'owner: listen on 127.0.0.1, [::1] or a Unix socket, or say that it is meant'
  );
}
