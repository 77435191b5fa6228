// stunnel as a TLS client: a thread for each connection, and otherwise its defaults.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unusedPort } from '#helpers/listen.js';
import { findProgram, startProgram } from '#helpers/program.js';
import { tempDir } from '#helpers/temp-dir.js';
import type { MiddleKind, OriginTarget } from './middle.ts';

/** stunnel; it carries bytes only. */
export function stunnelMiddle(): MiddleKind {
  return {
    name: 'stunnel',
    isPeer: true,
    carries: 'raw',
    start: async (scope, target) => {
      const path = findProgram('stunnel') ?? findProgram('stunnel4');
      if (path === undefined) throw new Error('stunnel is not in PATH: apt-get install stunnel4');
      const port = await unusedPort();
      const configurationPath = join(tempDir(scope), 'stunnel.conf');
      writeFileSync(configurationPath, configuration(port, target));
      const pid = await startProgram(scope, { path, arguments: [configurationPath], port });
      // The CPU time of a thread that has ended is only in the sum of the process.
      return { port, processes: [{ pid, threadsEnd: true }] };
    },
  };
}

function configuration(port: number, { port: originPort, servername, caPath }: OriginTarget): string {
  return `
foreground = yes
pid =
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[bench]
client = yes
accept = 127.0.0.1:${port}
connect = 127.0.0.1:${originPort}
sni = ${servername}
checkHost = ${servername}
CAfile = ${caPath}
verifyChain = yes
TIMEOUTidle = 3600
`;
}
