// The TLS origin of the suite's middles: nginx with TLS 1.3, one cipher and one group, so that all of them do the same
// work. It answers a short text and 16 KiB, sends and swallows any number of bytes, and speaks plain HTTP as well.
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unusedPort } from '#helpers/listen.js';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { HTTP_PATHS, startNginxWith } from './nginx.ts';

/** Addresses on which it listens: one has too few ports for 50,000 connections of one host. */
export const ORIGIN_ADDRESSES = ['127.0.0.1', '127.0.0.2', '127.0.0.3'] as const;

/** What it answers. */
export const PATHS = { small: '/small', '16k': '/16k', down: '/down', up: '/up' } as const;

/** A running origin. */
export interface Origin {
  readonly pid: number;
  /** HTTP without TLS, on 127.0.0.1. */
  readonly plainPort: number;
  /** HTTPS, on all of {@link ORIGIN_ADDRESSES}. */
  readonly tlsPort: number;
  /** HTTPS on 127.0.0.1 without tickets or a session cache: every connection is a full handshake. */
  readonly fullHandshakePort: number;
}

/** What the origin is made of. */
export interface OriginOptions {
  /** PEM, leaf first. */
  readonly cert: string;
  readonly key: string;
  /** Length of the answer to {@link PATHS}`.down`. */
  readonly downBytes: number;
  /** Most connections at a time. */
  readonly connections: number;
}

const SIXTEEN_KIB = 16_384;

/** Starts the origin, which ends with the scope; throws with the way to install nginx when it is not there. */
export async function startOrigin(scope: Scope, options: OriginOptions): Promise<Origin> {
  const files = tempDir(scope);
  writeFileSync(join(files, 'cert.pem'), options.cert);
  writeFileSync(join(files, 'key.pem'), options.key, { mode: 0o600 });
  writeFileSync(join(files, '16k'), Buffer.alloc(SIXTEEN_KIB, 'x'));
  // A file with a hole: the bytes are zeros, and no disk takes part.
  writeFileSync(join(files, 'down'), '');
  truncateSync(join(files, 'down'), options.downBytes);
  const [plainPort, fullHandshakePort] = [await unusedPort(), await unusedPort()];
  const { port: tlsPort, pid } = await startNginxWith(
    scope,
    (port) => `
http {
  ${HTTP_PATHS}
  root ${files};
  default_type text/plain;
  keepalive_requests 100000000;
  keepalive_timeout 1h;
  client_header_timeout 1h;
  client_max_body_size 0;
  open_file_cache max=10;
  tcp_nodelay on;
  ssl_certificate ${files}/cert.pem;
  ssl_certificate_key ${files}/key.pem;
  ssl_protocols TLSv1.3;
  ssl_ecdh_curve X25519;
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  server {
    listen 127.0.0.1:${plainPort} backlog=4096;
    ${ORIGIN_ADDRESSES.map((address) => `listen ${address}:${port} ssl backlog=4096;`).join('\n    ')}
    location = ${PATHS.small} { return 200 'ok\\n'; }
    location = ${PATHS.up} { return 200 'ok\\n'; }
  }
  server {
    listen 127.0.0.1:${fullHandshakePort} ssl backlog=4096;
    ssl_session_tickets off;
    ssl_session_cache off;
    location = ${PATHS.small} { return 200 'ok\\n'; }
  }
}
`,
    options.connections,
  );
  return { pid, plainPort, tlsPort, fullHandshakePort };
}
