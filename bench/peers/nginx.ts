// nginx between plain clients and a TLS origin: `stream` for bytes, `proxy_pass` with keepalive for requests. One
// process, and otherwise its defaults.
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unusedPort } from '#helpers/listen.js';
import { findProgram, startProgram } from '#helpers/program.js';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import type { ServerProcess } from '../stage.ts';
import { type MiddleKind, middleConnections, type OriginTarget } from './middle.ts';

/** Connections to the origin that nginx keeps for requests. */
const KEPT_CONNECTIONS = 512;

/** nginx as a TLS client. */
export function nginxMiddle(mode: 'stream' | 'http'): MiddleKind {
  return {
    name: `nginx ${mode}`,
    isPeer: true,
    carries: mode === 'stream' ? 'raw' : 'http',
    start: async (scope, target) => {
      const { port, pid } = await startNginxWith(scope, (listenPort) =>
        mode === 'stream' ? streamBlock(listenPort, target) : httpBlock(listenPort, target),
      );
      return { port, processes: [{ pid }] };
    },
  };
}

/** Starts nginx with a block of configuration; throws with the way to install it when it is not there. */
export async function startNginxWith(
  scope: Scope,
  blockFor: (port: number) => string,
  connections = 2 * middleConnections(),
): Promise<ServerProcess> {
  const path = findProgram('nginx');
  if (path === undefined) throw new Error('nginx is not in PATH: apt-get install nginx');
  const directory = tempDir(scope);
  const port = await unusedPort();
  const block = blockFor(port);
  const module = block.includes('\nstream {') ? streamModule(path) : undefined;
  const configurationPath = join(directory, 'nginx.conf');
  writeFileSync(
    configurationPath,
    `
${module === undefined ? '' : `load_module ${module};`}
daemon off;
master_process off;
pid ${directory}/nginx.pid;
error_log stderr crit;
events { worker_connections ${connections}; }
${block}`,
  );
  const pid = await startProgram(scope, {
    path,
    // Without -e it would first try the log of the system's own nginx.
    arguments: ['-e', 'stderr', '-p', directory, '-c', configurationPath],
    port,
  });
  return { port, pid };
}

/** Lines that every `http` block needs so that nginx writes nowhere but in its directory. */
export const HTTP_PATHS = `access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;`;

/** Path of the module for `stream`; `undefined` when nginx has it built in; throws when there is none. */
function streamModule(path: string): string | undefined {
  // It prints its build options to standard error.
  const options = execFileSync('sh', ['-c', '"$0" -V 2>&1', path], { encoding: 'utf8' });
  if (/--with-stream(?!=|_)/.test(options)) return undefined;
  const directory = /--modules-path=(\S+)/.exec(options)?.[1] ?? '/usr/lib/nginx/modules';
  const module = join(directory, 'ngx_stream_module.so');
  if (!existsSync(module)) throw new Error('nginx has no stream module: apt-get install libnginx-mod-stream');
  return module;
}

function streamBlock(port: number, { port: originPort, servername, caPath }: OriginTarget): string {
  return `
stream {
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_pass 127.0.0.1:${originPort};
    proxy_timeout 1h;
    proxy_ssl on;
    proxy_ssl_server_name on;
    proxy_ssl_name ${servername};
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate ${caPath};
    proxy_ssl_protocols TLSv1.3;
  }
}
`;
}

function httpBlock(port: number, { port: originPort, servername, caPath }: OriginTarget): string {
  return `
http {
  ${HTTP_PATHS}
  keepalive_requests 100000000;
  keepalive_timeout 1h;
  upstream origin {
    server 127.0.0.1:${originPort};
    keepalive ${KEPT_CONNECTIONS};
    keepalive_requests 100000000;
    keepalive_timeout 1h;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass https://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host ${servername};
      proxy_ssl_server_name on;
      proxy_ssl_name ${servername};
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate ${caPath};
      proxy_ssl_protocols TLSv1.3;
    }
  }
}
`;
}
