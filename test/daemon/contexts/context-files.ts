// Directories with a configuration and the files that it names, for the tests of contexts.
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';

/** Certificates for both sides, from one authority. */
export interface ContextPki {
  ca: Authority;
  server: Certificate;
  client: Certificate;
  /** Another client's. */
  renewed: Certificate;
}

/** Makes the certificates; keys are what takes time, so once a file. */
export async function makeContextPki(): Promise<ContextPki> {
  const ca = await createCa({ name: 'Test root' });
  return {
    ca,
    server: await ca.issue({ names: ['localhost', '127.0.0.1'] }),
    client: await ca.issue({ names: ['first client'], clientAuth: true }),
    renewed: await ca.issue({ names: ['second client'], clientAuth: true }),
  };
}

/** A directory in which files are made as they should be: ours, and private. */
export interface ContextDirectory {
  readonly path: string;
  /** `tlshub.toml` in it. */
  readonly file: string;
  /** Writes files by name, mode 0600. */
  write(files: Readonly<Record<string, string | Buffer>>): void;
  /** Writes the configuration file. */
  configure(...sections: string[]): void;
}

/** A directory with the files of a server, of a client and of their authority. */
export function contextDirectory(scope: Scope, { ca, server, client }: ContextPki): ContextDirectory {
  const path = tempDir(scope);
  const write: ContextDirectory['write'] = (files) => {
    for (const [name, contents] of Object.entries(files)) {
      writeFileSync(join(path, name), contents);
      chmodSync(join(path, name), 0o600);
    }
  };
  write({
    'ca.pem': ca.cert,
    'server.pem': server.chain,
    'server.key': server.key,
    'client.pem': client.chain,
    'client.key': client.key,
  });
  const file = join(path, 'tlshub.toml');
  return { path, file, write, configure: (...sections) => write({ 'tlshub.toml': sections.join('\n') }) };
}

/** A section for a client's context, with the files of {@link contextDirectory}. */
export function clientSection(name: string, ...lines: string[]): string {
  const files = ['certificate = "client.pem"', 'key = "client.key"', 'ca = ["ca.pem"]'];
  return [`[context.${name}]`, 'side = "client"', ...files, ...lines, ''].join('\n');
}

/** Likewise for a server's. */
export function serverSection(name: string, ...lines: string[]): string {
  const files = ['certificate = "server.pem"', 'key = "server.key"'];
  return [`[context.${name}]`, 'side = "server"', ...files, ...lines, ''].join('\n');
}
