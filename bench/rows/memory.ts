// Rows of memory: what each middle takes for idle sessions. Every round starts all of them anew, because no process
// gives back all that it once had.
import { setTimeout as delay } from 'node:timers/promises';
import { KeepAlive } from '../clients/keep-alive.ts';
import type { Lab } from '../lab.ts';
import { residentBytes, SPARE_DESCRIPTORS } from '../limits.ts';
import { type MiddleKind, middleConnections } from '../peers/middle.ts';
import { middleKinds } from '../peers/middles.ts';
import { PATHS } from '../peers/origin.ts';
import type { Contender, Metric, Row } from '../row.ts';

/** Milliseconds without a request, in which buffers are given back. */
const SETTLE_MS = 1_000;
/** A round number of sessions, where the machine does not allow what was planned. */
const STEP = 1_000;

/** The row `memory`. */
export async function memoryRows(lab: Lab): Promise<Row[]> {
  const { tlsPort } = await lab.origin();
  // What cannot be had here has said so once.
  const available = await lab.middles('raw', tlsPort);
  const counts = countsFor(lab);
  const [base = 1, ...more] = counts;
  const metrics: Metric[] = [
    {
      key: keyOf(base),
      title: `resident memory with ${base} idle sessions`,
      unit: 'MiB',
      better: 'less',
      digits: 1,
    },
    ...more.map((count): Metric => {
      const title = `memory of one of ${count} idle sessions`;
      return { key: keyOf(count), title, unit: 'KiB', better: 'less', digits: 1 };
    }),
  ];
  const contenders = middleKinds('raw', lab.nodes)
    .filter((kind) => available.some(({ name }) => name === kind.name))
    .map((kind) => contender(lab, kind, tlsPort, counts));
  return [{ key: 'memory', metrics, contenders, rounds: lab.plan.memoryRounds }];
}

const keyOf = (sessions: number) => `idle-${sessions}`;

/** The planned counts, or as many sessions as the machine allows. */
function countsFor(lab: Lab): number[] {
  const most = Math.floor((middleConnections() - SPARE_DESCRIPTORS) / STEP) * STEP;
  const planned = lab.plan.idleSessions;
  for (const count of planned.filter((each) => each > most)) {
    lab.leaveOut(
      `memory of ${count} idle sessions`,
      `a middle needs ${2 * count} descriptors, which the hard limit does not allow; ${most} are measured`,
    );
  }
  return [...new Set(planned.map((count) => Math.min(count, most)))];
}

function contender(lab: Lab, kind: MiddleKind, originPort: number, counts: readonly number[]): Contender {
  const { name, isPeer } = kind;
  return {
    name,
    isPeer,
    // Each round is as cold as the first.
    warmUp: async () => undefined,
    measure: async () => {
      const scope = lab.scope.inner();
      const connections: KeepAlive[] = [];
      try {
        const { port, processes } = await kind.start(scope, lab.target(originPort));
        const values: Record<string, number> = {};
        let base: { bytes: number; sessions: number } | undefined;
        for (const sessions of counts) {
          connections.push(...(await KeepAlive.openMany(sessions - connections.length, port, PATHS.small)));
          await delay(SETTLE_MS);
          const lost = connections.filter((connection) => !connection.isOpen).length;
          if (lost > 0) throw new Error(`${lost} of ${sessions} idle sessions were closed`);
          const bytes = processes.reduce((sum, { pid }) => sum + residentBytes(pid), 0);
          values[keyOf(sessions)] =
            base === undefined
              ? bytes / 1024 / 1024
              : (bytes - base.bytes) / 1024 / (sessions - base.sessions);
          base ??= { bytes, sessions };
        }
        return values;
      } finally {
        for (const connection of connections) connection.close();
        await scope.close();
      }
    },
  };
}
