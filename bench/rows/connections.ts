// Rows of new connections: plain connections to a middle, each with a TLS connection of its own to the origin and a full
// handshake; and TLS connections to a server (as bench:accept has them).
import { setTimeout as delay } from 'node:timers/promises';
import { KeepAlive } from '../clients/keep-alive.ts';
import { cpuUsOfAll, type MeasuredProcess } from '../cpu.ts';
import type { Lab } from '../lab.ts';
import { Load, together } from '../load.ts';
import { PATHS } from '../peers/origin.ts';
import type { Contender, Metric, Row } from '../row.ts';
import { type MeasuredServer, type ServerKind, startServer } from '../servers.ts';

const IN_FLIGHT = 16;
/** Milliseconds after the last connection that belong to a round: what is tidied up when the client has gone. */
const SETTLE_MS = 20;

const metrics = (what: string): Metric[] => [
  { key: 'cpu', title: `${what}, CPU of one`, unit: 'µs', better: 'less', digits: 0 },
  { key: 'rate', title: what, unit: '1/s', better: 'more', digits: 0 },
];

/** The row `connections`. */
export async function connectionRows(lab: Lab): Promise<Row[]> {
  const { fullHandshakePort } = await lab.origin();
  const middles = await lab.middles('raw', fullHandshakePort);
  const contenders = middles.map(({ name, isPeer, port, processes }) => {
    const openOnce = async () => (await KeepAlive.open(port, PATHS.small)).close();
    const work = (connections: number) => together(connections, IN_FLIGHT, openOnce);
    return contender(lab, { name, isPeer, processes, work });
  });
  return [{ key: 'connections', metrics: metrics('new connections to an origin'), contenders }];
}

const ACCEPTING = {
  tls: 'node:tls in the application',
  'haproxy-tcp': 'HAProxy tcp + worker',
  'tlshub-raw': 'tlshub raw + worker',
  'tlshub-framed': 'tlshub framed + worker',
} as const satisfies Partial<Record<ServerKind, string>>;

/** The row `accept`. */
export async function acceptRows(lab: Lab): Promise<Row[]> {
  const contenders: Contender[] = [];
  const add = async (kind: keyof typeof ACCEPTING, label = '', node?: string) => {
    const name = `${ACCEPTING[kind]}${label}`;
    try {
      const server = await startServer(lab.stage, kind, { serves: 'echo', bytes: 1 }, node);
      contenders.push(await acceptContender(lab, name, kind, server));
    } catch (error) {
      lab.leaveOut(name, error);
    }
  };
  await add('tls');
  await add('haproxy-tcp');
  for (const node of lab.nodes) {
    await add('tlshub-raw', node.label, node.path);
    await add('tlshub-framed', node.label, node.path);
  }
  return [{ key: 'accept', metrics: metrics('new connections to a server'), contenders }];
}

async function acceptContender(
  lab: Lab,
  name: string,
  kind: string,
  server: MeasuredServer,
): Promise<Contender> {
  const load = await Load.prepare({ port: server.port, ca: lab.stage.ca, serves: 'echo' }, false);
  const processes = Object.values(server.pids).map((pid) => ({ pid }));
  // TLS in the application is what sharing adds to; only what does the same job is a peer.
  const isPeer = kind === 'haproxy-tcp';
  return contender(lab, { name, isPeer, processes, work: (count) => load.openMany(count, IN_FLIGHT) });
}

interface Connecting extends Pick<Contender, 'name' | 'isPeer'> {
  readonly processes: readonly MeasuredProcess[];
  work(connections: number): Promise<void>;
}

function contender({ plan }: Lab, { name, isPeer, processes, work }: Connecting): Contender {
  const { connections, warmUpConnections } = plan;
  return {
    name,
    isPeer,
    // What is compiled ahead has nothing to warm.
    warmUp: () => work(isPeer ? connections : warmUpConnections),
    measure: async () => {
      const before = cpuUsOfAll(processes);
      const start = performance.now();
      await work(connections);
      const seconds = (performance.now() - start) / 1000;
      await delay(SETTLE_MS);
      return { cpu: (cpuUsOfAll(processes) - before) / connections, rate: connections / seconds };
    },
  };
}
