// HAProxy terminating TLS in front of a worker: what bench:accept and bench:serve compare with. One thread, and
// otherwise its defaults.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { unusedPort } from '#helpers/listen.js';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor } from '#helpers/wait-for.js';
import type { ServerProcess } from './stage.ts';

/** How HAProxy is set up. */
export interface HaproxyOptions {
  /** `tcp`: bytes, one connection to the worker for each client's; `http`: requests, over connections that it keeps. */
  readonly mode: 'tcp' | 'http';
  /** PEM, leaf first. */
  readonly cert: string;
  readonly key: string;
  /** Where the worker listens. */
  readonly targetPort: number;
}

/** Starts HAProxy, which ends with the scope; throws with the way to install it when it is not there. */
export async function startHaproxy(scope: Scope, options: HaproxyOptions): Promise<ServerProcess> {
  const program = findHaproxy();
  if (program === undefined) {
    throw new Error('haproxy is not in PATH: apt-get install haproxy, or leave it out by --kinds');
  }
  const directory = tempDir(scope);
  const port = await unusedPort();
  const pemPath = join(directory, 'cert.pem');
  const configurationPath = join(directory, 'haproxy.cfg');
  writeFileSync(pemPath, options.cert + options.key, { mode: 0o600 });
  writeFileSync(configurationPath, configuration(options, port, pemPath));
  const child = spawn(program, ['-db', '-f', configurationPath], { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  const exited = once(child, 'exit');
  scope.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  await waitFor(
    () => {
      if (child.exitCode !== null) throw new Error(`haproxy ended: ${complaints}`);
      return accepts(port);
    },
    { what: 'haproxy to accept' },
  );
  return { port, pid: child.pid ?? -1 };
}

function findHaproxy(): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  return directories.map((directory) => join(directory, 'haproxy')).find((path) => existsSync(path));
}

function configuration({ mode, targetPort }: HaproxyOptions, port: number, pemPath: string): string {
  return `
global
  nbthread 1
  maxconn 4096
defaults
  mode ${mode}
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  ${mode === 'http' ? 'http-reuse always' : ''}
listen bench
  bind 127.0.0.1:${port} ssl crt ${pemPath} curves X25519:P-256
  server worker 127.0.0.1:${targetPort}
`;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
