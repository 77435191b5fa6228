// `tlshub status`: what the daemon tells about itself.
import type { Command } from 'commander';
import type { EndpointReport } from '../../protocol/endpoint-report.ts';
import { type ClientFlags, clientCommand, examples, openLink } from '../client.ts';
import { bytesText, printResult, record, table } from '../output.ts';

/** The verb `status`. */
export function statusCommand(): Command {
  return clientCommand('status', 'show what the daemon does: links, lanes, sessions, counters, memory')
    .addHelpText(
      'after',
      examples({
        'tlshub status': 'for people; exit code 3 when no daemon runs',
        'tlshub status --json': 'for programs: one JSON object',
      }),
    )
    .action(statusAction);
}

async function statusAction(flags: ClientFlags): Promise<void> {
  const link = await openLink(flags);
  const { status } = await link.call('status', {});
  const {
    servers = [],
    endpoints = [],
    ...rest
  } = status as Record<string, unknown> & { servers?: ServerLine[]; endpoints?: EndpointReport[] };
  const tables = [
    ...(servers.length === 0 ? [] : [serversText(servers)]),
    ...(endpoints.length === 0 ? [] : [endpointsText(endpoints)]),
  ];
  const text = [record(rest), ...tables].join('\n');
  printResult(status, text, flags);
}

/** What is shown of a server; the daemon's `status` tells more. */
interface ServerLine {
  address: string | null;
  workers: { pid: number | null; stalled: boolean; sessions: number }[];
  held: number;
  waiting: number;
  refused: number;
  failures: number;
}

function serversText(servers: readonly ServerLine[]): string {
  const rows = servers.map(({ address, workers, held, waiting, refused, failures }) => [
    address ?? '-',
    workers.map(({ pid, stalled }) => `${pid ?? '?'}${stalled ? ' (stalled)' : ''}`).join(', ') || '-',
    ...[held, waiting, refused, failures].map(String),
  ]);
  const heading = ['SERVER', 'WORKERS', 'HELD', 'WAITING', 'REFUSED', 'FAILED HANDSHAKES'];
  return `\n${table(heading, rows)}`;
}

function endpointsText(endpoints: readonly EndpointReport[]): string {
  const rows = endpoints.map((endpoint) => [
    endpoint.address,
    endpoint.kind,
    endpoint.to,
    endpoint.name ?? `process ${endpoint.pid ?? '?'}`,
    ...[endpoint.connections, endpoint.total, endpoint.requests].map(String),
    ...[endpoint.bytesFromClients, endpoint.bytesToClients].map(bytesText),
    ...[endpoint.failures, endpoint.refused].map(String),
    endpoint.reason ?? '',
  ]);
  const counts = ['CLIENTS', 'SO FAR', 'REQUESTS', 'FROM CLIENTS', 'TO CLIENTS', 'FAILED', 'REFUSED', 'NOTE'];
  return `\n${table(['ENDPOINT', 'KIND', 'TO', 'OF', ...counts], rows)}`;
}
