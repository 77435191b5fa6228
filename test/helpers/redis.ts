// A real Redis that speaks TLS only, from Debian's package: a line protocol of its own, with its own client.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { messageOf } from '#src/errors.js';
import { unusedPort } from './listen.ts';
import { tempDir } from './temp-dir.ts';
import { waitFor } from './wait-for.ts';

const INSTALL_DEADLINE_MS = 180_000;

/**
 * Starts Redis, which ends after the test, and answers its TLS port. Where it neither is nor may be installed, the test is
 * skipped with the reason and `undefined` is answered; under `CI=true` that is a failure.
 * @param identity certificate and key, PEM
 */
export async function startRedis(
  t: TestContext,
  identity: { cert: string; key: string },
): Promise<number | undefined> {
  try {
    install();
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    t.skip(`needs redis: ${messageOf(error)}`);
    return undefined;
  }
  const directory = tempDir(t);
  const port = await unusedPort();
  writeFileSync(join(directory, 'cert.pem'), identity.cert);
  writeFileSync(join(directory, 'key.pem'), identity.key);
  const settings = {
    port: '0',
    'tls-port': String(port),
    bind: '127.0.0.1',
    dir: directory,
    save: '',
    'tls-cert-file': join(directory, 'cert.pem'),
    'tls-key-file': join(directory, 'key.pem'),
    'tls-ca-cert-file': join(directory, 'cert.pem'),
    'tls-auth-clients': 'no',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text: Buffer) => {
      log += text.toString('utf8');
    });
  const exited = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  await waitFor(
    () => {
      if (child.exitCode !== null) throw new Error(`redis ended: ${log}`);
      return accepts(port);
    },
    { what: 'redis to accept' },
  );
  return port;
}

/** Installs under a lock: test files run side by side. */
function install(): void {
  const commands =
    'command -v redis-server || { apt-get update -q && apt-get install -qy --no-install-recommends redis-server; }';
  execFileSync('flock', ['/tmp/tlshub-test-apt.lock', 'sh', '-c', commands], {
    stdio: 'ignore',
    timeout: INSTALL_DEADLINE_MS,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
  });
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
