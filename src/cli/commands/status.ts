// `tlshub status`: what the daemon tells about itself.
import type { Command } from 'commander';
import type { EndpointReport } from '../../protocol/endpoint-report.ts';
import { askShards, openSessions, type ShardLine, sumStatus } from '../ask-shards.ts';
import { type ClientFlags, clientCommand, examples } from '../client.ts';
import { bytesText, printResult, record, table, valueText } from '../output.ts';

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
  const status = sumStatus(await askShards(flags, 'status'));
  const {
    servers = [],
    endpoints = [],
    shards,
    ...rest
  } = status as typeof status & { servers?: ServerLine[]; endpoints?: EndpointReport[] };
  const text = [
    record(rest),
    ...(shards.length === 1 ? [] : [shardsText(shards)]),
    ...(servers.length === 0 ? [] : [serversText(servers)]),
    ...(endpoints.length === 0 ? [] : [endpointsText(endpoints)]),
  ].join('\n');
  printResult(status, text, flags);
}

function shardsText(shards: readonly ShardLine[]): string {
  const rows = shards.map(({ shard, pid, sessions, memory, error, ...rest }) => {
    if (sessions === undefined) return [`${shard}`, '-', '-', '-', '-', '-', '-', error ?? ''];
    const { uptimeMs, links = 0, lanes = 0 } = rest;
    const counts = [links, lanes, openSessions(sessions), sessions.idle ?? 0].map(String);
    return [`${shard}`, `${pid}`, ...counts, valueText('rss', memory?.rss), valueText('uptimeMs', uptimeMs)];
  });
  const heading = ['SHARD', 'PROCESS', 'LINKS', 'LANES', 'SESSIONS', 'IDLE', 'MEMORY', 'UPTIME'];
  return `\n${table(heading, rows)}`;
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
