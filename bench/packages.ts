// The programs of others that the suite compares with, from Debian: found, or installed where that is allowed.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { findProgram } from '#helpers/program.js';
import { messageOf } from '#src/errors.js';

/** A package, and how its presence shows. */
interface DebianPackage {
  readonly name: string;
  isThere(): boolean;
}

const PACKAGES: readonly DebianPackage[] = [
  { name: 'haproxy', isThere: () => findProgram('haproxy') !== undefined },
  { name: 'nginx', isThere: () => findProgram('nginx') !== undefined },
  { name: 'libnginx-mod-stream', isThere: () => existsSync('/usr/lib/nginx/modules/ngx_stream_module.so') },
  { name: 'stunnel4', isThere: () => (findProgram('stunnel') ?? findProgram('stunnel4')) !== undefined },
  { name: 'wrk', isThere: () => findProgram('wrk') !== undefined },
];

const INSTALL_DEADLINE_MS = 300_000;

/**
 * Installs what is missing, with apt-get as root or through `sudo -n`. Answers why what is still missing was not
 * installed; `undefined` when nothing is missing.
 * @param say is told what takes long
 */
export function installPackages(say: (text: string) => void): string | undefined {
  const missing = PACKAGES.filter((each) => !each.isThere()).map(({ name }) => name);
  if (missing.length === 0) return undefined;
  const names = missing.join(', ');
  if (findProgram('apt-get') === undefined) return `${names}: not installed, and there is no apt-get`;
  const prefix = privilege();
  if (prefix === undefined)
    return `${names}: not installed, and only root may install (apt-get install ${missing.join(' ')})`;
  say(`installing ${names}`);
  try {
    const env = ['env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1'];
    apt([...prefix, ...env, 'apt-get', 'update', '-q']);
    apt([...prefix, ...env, 'apt-get', 'install', '-qy', '--no-install-recommends', ...missing]);
  } catch (error) {
    return `${names}: could not be installed: ${messageOf(error)}`;
  }
  return undefined;
}

/** What goes before a command that needs root; `undefined` when it cannot be had without a password. */
function privilege(): string[] | undefined {
  if (process.getuid?.() === 0) return [];
  try {
    execFileSync('sudo', ['-n', 'true'], { stdio: 'ignore' });
    return ['sudo', '-n'];
  } catch {
    return undefined;
  }
}

function apt([command = '', ...args]: readonly string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: INSTALL_DEADLINE_MS });
}
