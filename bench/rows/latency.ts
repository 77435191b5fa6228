// Rows of the latency that a middle adds: requests at a steady rate far below what any middle can take, once through it
// and once straight to the origin's plain port, right before. What is compared is the difference.
import { KeepAlive, requestAtPace } from '../clients/keep-alive.ts';
import type { Lab } from '../lab.ts';
import type { Carries, Middle } from '../peers/middle.ts';
import { PATHS } from '../peers/origin.ts';
import type { Contender, Row } from '../row.ts';
import { p50, p99 } from '../statistics.ts';

/** Requests of all connections together; with one connection fewer, where an answer takes longer than a millisecond. */
const PER_SECOND = 1_000;

/** The rows `latency-raw-1`, `latency-http-1`, and so on for each number of connections. */
export async function latencyRows(lab: Lab): Promise<Row[]> {
  const { tlsPort, plainPort } = await lab.origin();
  const rows: Row[] = [];
  for (const carries of ['raw', 'http'] as const satisfies readonly Carries[]) {
    const middles = await lab.middles(carries, tlsPort);
    for (const connections of lab.plan.latencyConnections) {
      const what = `${carries}, ${connections} connection${connections === 1 ? '' : 's'}, added latency`;
      const common = { unit: 'µs', better: 'less', digits: 0 } as const;
      rows.push({
        key: `latency-${carries}-${connections}`,
        metrics: [
          { key: 'p50', title: `${what}, p50`, ...common },
          { key: 'p99', title: `${what}, p99`, ...common },
        ],
        contenders: middles.map((middle) => contender(lab, middle, plainPort, connections)),
      });
    }
  }
  return rows;
}

function contender(lab: Lab, { name, isPeer, port }: Middle, plainPort: number, count: number): Contender {
  const pace = { durationMs: lab.plan.latencyMs / 2, perSecond: PER_SECOND };
  const timesTo = async (target: number) => {
    const connections = await KeepAlive.openMany(count, target, PATHS.small);
    try {
      // Once over each, for what is made at the first request.
      await Promise.all(connections.map((connection) => connection.request()));
      return await requestAtPace(connections, pace);
    } finally {
      for (const connection of connections) connection.close();
    }
  };
  return {
    name,
    isPeer,
    measure: async () => {
      const direct = await timesTo(plainPort);
      const through = await timesTo(port);
      const added = (of: (times: readonly number[]) => number) => (of(through) - of(direct)) * 1000;
      return { p50: added(p50), p99: added(p99) };
    },
  };
}
