// A real Redis that speaks TLS only, from Debian's package: a line protocol of its own, with its own client.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { unusedPort } from './listen.ts';
import { startProgram } from './program.ts';
import { requireProgram } from './require-program.ts';
import { tempDir } from './temp-dir.ts';

/**
 * Starts Redis, which ends after the test, and answers its TLS port; `undefined` where there is none (see
 * {@link requireProgram}).
 * @param identity certificate and key, PEM
 */
export async function startRedis(
  t: TestContext,
  identity: { cert: string; key: string },
): Promise<number | undefined> {
  const path = requireProgram(t, 'redis-server', 'redis-server');
  if (path === undefined) return undefined;
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
  await startProgram(t, { path, arguments: args, port });
  return port;
}
