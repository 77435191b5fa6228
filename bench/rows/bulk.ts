// Rows of many bytes one way: CPU of the middle. A lease that the wrapper holds takes part as well; there the daemon is
// the middle.
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectShared } from '#src/wrapper/connect.js';
import { bulkDown, bulkUp } from '../clients/bulk.ts';
import { cpuUsOfAll, type MeasuredProcess } from '../cpu.ts';
import type { Lab } from '../lab.ts';
import type { Plan } from '../plan.ts';
import { type Contender, type Row, warmUpBy } from '../row.ts';

const GB = 1e9;

interface Way {
  readonly name: string;
  readonly isPeer: boolean;
  readonly processes: readonly MeasuredProcess[];
  open(): Promise<Duplex>;
}

/** The rows `bulk-down` and `bulk-up`. */
export async function bulkRows(lab: Lab): Promise<Row[]> {
  const ways = await waysOf(lab);
  const work = { down: bulkDown, up: bulkUp } as const;
  return (['down', 'up'] as const).map((direction) => ({
    key: `bulk-${direction}`,
    metrics: [
      { key: 'cpu', title: `bulk ${direction}, CPU of 1 GB`, unit: 'ms', better: 'less', digits: 0 },
      { key: 'rate', title: `bulk ${direction}`, unit: 'MB/s', better: 'more', digits: 0 },
    ],
    contenders: ways.map((way) => contender(way, lab.plan, work[direction])),
  }));
}

async function waysOf(lab: Lab): Promise<Way[]> {
  const { tlsPort } = await lab.origin();
  const ways: Way[] = (await lab.middles('raw', tlsPort)).map((middle) => ({
    ...middle,
    open: async () => {
      const socket = connect({ port: middle.port, host: '127.0.0.1', noDelay: true });
      await once(socket, 'connect');
      return socket;
    },
  }));
  for (const node of lab.nodes) {
    const daemon = await lab.daemonOf(node);
    ways.push({
      name: `tlshub lease${node.label}`,
      isPeer: false,
      processes: [daemon],
      open: async () => {
        process.env.TLSHUB_DIR = daemon.directory;
        const { ca } = lab.stage;
        const socket = connectShared({ host: 'localhost', port: tlsPort, ca, shared: { fallback: false } });
        await once(socket, 'secureConnect');
        return socket;
      },
    });
  }
  return ways;
}

type Send = (stream: Duplex, bytes: number) => Promise<void>;

function contender(way: Way, { bulkBytes: bytes, warmUps }: Plan, send: Send): Contender {
  const { name, isPeer, processes } = way;
  const measured = {
    name,
    isPeer,
    measure: async () => {
      const stream = await way.open();
      // What goes wrong is told by the transfer.
      stream.on('error', () => undefined);
      try {
        const before = cpuUsOfAll(processes);
        const start = performance.now();
        await send(stream, bytes);
        const seconds = (performance.now() - start) / 1000;
        const cpuMs = (cpuUsOfAll(processes) - before) / 1000;
        return { cpu: (cpuMs * GB) / bytes, rate: bytes / 1e6 / seconds };
      } finally {
        stream.destroy();
      }
    },
  };
  return { ...measured, warmUp: () => warmUpBy(measured, warmUps) };
}
