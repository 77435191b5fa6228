// Rows of opening: a warm lease against a full and a resumed handshake of node:tls, on loopback and at two distances.
import { cpuUsOfAll, type MeasuredProcess } from '../cpu.ts';
import type { Lab } from '../lab.ts';
import { Opener, type OpenKind, repeat } from '../opener.ts';
import type { Contender, Metric, Row } from '../row.ts';
import { p50 } from '../statistics.ts';

const ROUND_TRIPS_MS = [0, 20, 80] as const;
/** Far away, so many samples take long enough. */
const FAR_SAMPLES = 3;

const NAMES = { full: 'node:tls, full handshake', resumed: 'node:tls, resumed', lease: 'tlshub, warm lease' };

/** The rows `lease-rtt-0`, `lease-rtt-20` and `lease-rtt-80`. */
export async function leaseRows(lab: Lab): Promise<Row[]> {
  const origin = await lab.stage.origin('echo');
  const rows: Row[] = [];
  for (const roundTripMs of ROUND_TRIPS_MS) {
    const { port } = roundTripMs === 0 ? origin : await lab.stage.delay(origin.port, roundTripMs);
    const contenders: Contender[] = [];
    const prepare = async (kind: OpenKind, label: string, daemon?: { directory: string; pid: number }) => {
      const opener = await openerOn(lab, port, daemon?.directory);
      const processes = [{ pid: process.pid }, ...(daemon === undefined ? [] : [daemon])];
      contenders.push(contender(lab, { kind, label, roundTripMs, opener, processes, daemon }));
    };
    await prepare('full', '');
    await prepare('resumed', '');
    for (const node of lab.nodes) await prepare('lease', node.label, await lab.daemonOf(node));
    rows.push({ key: `lease-rtt-${roundTripMs}`, metrics: metrics(roundTripMs), contenders });
  }
  return rows;
}

function metrics(roundTripMs: number): Metric[] {
  const where = roundTripMs === 0 ? 'loopback' : `+${roundTripMs} ms`;
  const common = { unit: 'ms', better: 'less', digits: roundTripMs === 0 ? 3 : 1 } as const;
  const cpu = {
    key: 'cpu',
    title: 'open, CPU of client and daemon',
    unit: 'µs',
    better: 'less',
    digits: 0,
  } as const;
  return [
    { key: 'open', title: `open, ${where}`, ...common },
    { key: 'first-byte', title: `first byte, ${where}`, ...common },
    ...(roundTripMs === 0 ? [cpu] : []),
  ];
}

async function openerOn(lab: Lab, port: number, directory: string | undefined): Promise<Opener> {
  // The handshakes of node:tls are prepared without a daemon.
  const opener = new Opener(lab.stage.ca, port);
  if (directory === undefined) await opener.prepareTicket();
  else {
    process.env.TLSHUB_DIR = directory;
    await opener.prepare();
  }
  return opener;
}

interface Opening {
  readonly kind: OpenKind;
  readonly label: string;
  readonly roundTripMs: number;
  readonly opener: Opener;
  readonly processes: readonly MeasuredProcess[];
  readonly daemon: { readonly directory: string } | undefined;
}

function contender(
  { plan }: Lab,
  { kind, label, roundTripMs, opener, processes, daemon }: Opening,
): Contender {
  const samples = roundTripMs === 0 ? plan.leases : FAR_SAMPLES;
  const many = (count: number, until: 'open' | 'firstByte') => {
    if (daemon !== undefined) process.env.TLSHUB_DIR = daemon.directory;
    return repeat(count, () => opener.once(kind, until));
  };
  return {
    name: `${NAMES[kind]}${label}`,
    isPeer: kind !== 'lease',
    ...(roundTripMs > 0 ? {} : { warmUp: () => many(plan.warmUpLeases, 'open') }),
    measure: async () => {
      const before = cpuUsOfAll(processes);
      const open = p50(await many(samples, 'open'));
      const cpu = (cpuUsOfAll(processes) - before) / samples;
      return { open, cpu, 'first-byte': p50(await many(samples, 'firstByte')) };
    },
  };
}
