// Programs that tests and benchmarks run beside the project, such as nginx and HAProxy: found in PATH, started in the
// foreground, waited for until they accept, and gone with their scope.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Scope } from './scope.ts';
import { waitFor } from './wait-for.ts';

/** Path of a program that is in PATH or where Debian puts servers; `undefined` when it is not there. */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path));
}

/** A server that runs in the foreground. */
export interface ProgramOptions {
  readonly path: string;
  readonly arguments: readonly string[];
  /** The port of 127.0.0.1 on which it will listen. */
  readonly port: number;
  /** Added to this process's environment. */
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Starts a server, waits until it accepts, and kills it when the scope ends; throws with what it wrote to standard
 * error when it ends instead. Answers its process id.
 */
export async function startProgram(scope: Scope, options: ProgramOptions): Promise<number> {
  const { path, port } = options;
  const child = spawn(path, options.arguments, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...options.env },
  });
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
      if (child.exitCode !== null) throw new Error(`${path} ended: ${complaints}`);
      return accepts(port);
    },
    { what: `${path} to accept` },
  );
  return child.pid ?? -1;
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
