// HAProxy, with one thread and otherwise its defaults: terminating TLS in front of a worker (bench:accept and
// bench:serve), or speaking TLS to an origin for plain clients (the suite).
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unusedPort } from '#helpers/listen.js';
import { findProgram, startProgram } from '#helpers/program.js';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import type { ServerProcess } from '../stage.ts';
import { type MiddleKind, middleConnections, type OriginTarget } from './middle.ts';

/** `tcp`: bytes, one connection onwards for each client's; `http`: requests, over connections that it keeps. */
export type HaproxyMode = 'tcp' | 'http';

/** How HAProxy is set up in front of a worker. */
export interface HaproxyOptions {
  readonly mode: HaproxyMode;
  /** PEM, leaf first. */
  readonly cert: string;
  readonly key: string;
  /** Where the worker listens. */
  readonly targetPort: number;
}

/** Starts HAProxy as a TLS server; throws with the way to install it when it is not there. */
export async function startHaproxy(scope: Scope, options: HaproxyOptions): Promise<ServerProcess> {
  const pemPath = join(tempDir(scope), 'cert.pem');
  writeFileSync(pemPath, options.cert + options.key, { mode: 0o600 });
  return start(scope, options.mode, (port) => [
    `bind 127.0.0.1:${port} ssl crt ${pemPath} curves X25519:P-256`,
    `server worker 127.0.0.1:${options.targetPort}`,
  ]);
}

/** HAProxy as a TLS client. */
export function haproxyMiddle(mode: HaproxyMode): MiddleKind {
  return {
    name: `HAProxy ${mode}`,
    isPeer: true,
    carries: mode === 'tcp' ? 'raw' : 'http',
    start: async (scope, target) => {
      const { port, pid } = await start(scope, mode, (listenPort) => [
        `bind 127.0.0.1:${listenPort}`,
        `server origin ${originLine(target)}`,
      ]);
      return { port, processes: [{ pid }] };
    },
  };
}

function originLine({ port, servername, caPath }: OriginTarget): string {
  return `127.0.0.1:${port} ssl verify required verifyhost ${servername} sni str(${servername}) ca-file ${caPath}`;
}

async function start(
  scope: Scope,
  mode: HaproxyMode,
  linesFor: (port: number) => readonly string[],
): Promise<ServerProcess> {
  const path = findProgram('haproxy');
  if (path === undefined) {
    throw new Error('haproxy is not in PATH: apt-get install haproxy, or leave it out by --kinds');
  }
  const port = await unusedPort();
  const configurationPath = join(tempDir(scope), 'haproxy.cfg');
  writeFileSync(configurationPath, configuration(mode, linesFor(port)));
  return {
    port,
    pid: await startProgram(scope, { path, arguments: ['-db', '-f', configurationPath], port }),
  };
}

function configuration(mode: HaproxyMode, lines: readonly string[]): string {
  return `
global
  nbthread 1
  maxconn ${middleConnections()}
  ssl-server-verify required
defaults
  mode ${mode}
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  ${mode === 'http' ? 'http-reuse always' : ''}
listen bench
  ${lines.join('\n  ')}
`;
}
