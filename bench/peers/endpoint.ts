// An endpoint of tlshub: plain connections at the door, TLS sessions of a daemon behind it. The daemon does the work on
// the bytes and is what is measured; the command line that holds the door open idles.
import { unusedPort } from '#helpers/listen.js';
import { startProgram } from '#helpers/program.js';
import { PACKAGE_ROOT } from '#helpers/run-node.js';
import type { BenchNode } from '../nodes.ts';
import { startBenchDaemon } from '../stage.ts';
import type { Carries, MiddleKind, OriginTarget } from './middle.ts';

/**
 * An endpoint.
 * @param node runs the daemon
 */
export function endpointMiddle(carries: Carries, node: BenchNode): MiddleKind {
  return {
    name: `tlshub ${carries}${node.label}`,
    isPeer: false,
    carries,
    start: async (scope, target) => {
      const daemon = await startBenchDaemon(scope, { node: node.path });
      const port = await unusedPort();
      await startProgram(scope, {
        path: node.path,
        arguments: [`${PACKAGE_ROOT}/dist/cli/main.js`, 'endpoint', ...flags(carries, port, target)],
        env: { TLSHUB_DIR: daemon.directory },
        port,
      });
      return { port, processes: [{ pid: daemon.pid }] };
    },
  };
}

function flags(carries: Carries, port: number, target: OriginTarget): string[] {
  return [
    ...['--listen', `127.0.0.1:${port}`, '--to', `127.0.0.1:${target.port}`, '--kind', carries],
    ...['--ca', target.caPath, '--servername', target.servername],
  ];
}
