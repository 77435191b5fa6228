// A real nginx as an origin, from Debian's package: it counts TLS handshakes in its own log, so the sharing tests do
// not rest on node:tls alone.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { unusedPort } from './listen.ts';
import { startProgram } from './program.ts';
import { requireProgram } from './require-program.ts';
import { tempDir } from './temp-dir.ts';

/** How nginx is set up. */
export interface NginxOptions {
  /** PEM, leaf first. */
  cert: string;
  key: string;
  /** Lines for its `server` block. */
  serverLines?: string;
}

/** A running nginx that answers every request with `ok\n`. */
export interface Nginx {
  readonly port: number;
  /** Every request that it has answered, in order. */
  requests(): NginxRequest[];
  /** Full handshakes of the connections that have made a request. */
  handshakes(): number;
}

/** One line of its log. */
export interface NginxRequest {
  /** Number of the connection. */
  connection: number;
  /** Which request of the connection it was, from 1. */
  requestOfConnection: number;
  /** Whether the connection's handshake resumed a session. */
  resumed: boolean;
}

/** Starts nginx, which ends after the test; `undefined` where there is none (see {@link requireProgram}). */
export async function startNginx(t: TestContext, options: NginxOptions): Promise<Nginx | undefined> {
  const path = requireProgram(t, 'nginx', 'nginx-light');
  if (path === undefined) return undefined;
  const directory = tempDir(t);
  const port = await unusedPort();
  writeFileSync(join(directory, 'cert.pem'), options.cert);
  writeFileSync(join(directory, 'key.pem'), options.key);
  writeFileSync(join(directory, 'nginx.conf'), configuration(directory, port, options.serverLines ?? ''));
  const log = join(directory, 'requests.log');
  await startProgram(t, {
    path,
    arguments: ['-p', directory, '-c', join(directory, 'nginx.conf')],
    port,
  });
  const requests = (): NginxRequest[] =>
    readFileSync(log, 'utf8').split('\n').filter(Boolean).map(parseLogLine);
  return {
    port,
    requests,
    handshakes: () => {
      const full = requests().filter((request) => request.requestOfConnection === 1 && !request.resumed);
      return full.length;
    },
  };
}

function parseLogLine(line: string): NginxRequest {
  const [connection, requestOfConnection, reused] = line.split(' ');
  return {
    connection: Number(connection),
    requestOfConnection: Number(requestOfConnection),
    resumed: reused === 'r',
  };
}

/** One process in the foreground: as root, workers of their own would be another user's and could not write here. */
function configuration(directory: string, port: number, serverLines: string): string {
  return `
daemon off;
master_process off;
pid ${directory}/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  log_format counts '$connection $connection_requests $ssl_session_reused';
  access_log ${directory}/requests.log counts;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  keepalive_requests 1000000;
  keepalive_timeout 1h;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${directory}/cert.pem;
    ssl_certificate_key ${directory}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ${serverLines}
    location / {
      default_type text/plain;
      return 200 'ok\\n';
    }
  }
}
`;
}
