// Rows of requests: plain HTTP to a middle, which carries it over TLS to the origin, as raw bytes and as requests, with
// small answers and with 16 KiB.
import { setTimeout as delay } from 'node:timers/promises';
import { makeRequests } from '../clients/requests.ts';
import { cpuUsOfAll } from '../cpu.ts';
import type { Lab } from '../lab.ts';
import type { Carries, Middle } from '../peers/middle.ts';
import { PATHS } from '../peers/origin.ts';
import { type Contender, type Row, warmUpBy } from '../row.ts';

const CONNECTIONS = 16;
/** Milliseconds after the last answer that belong to a round: what is tidied up when the client has gone. */
const SETTLE_MS = 20;
const SIZES = { small: 'small', '16k': '16 KiB' } as const;

/** The rows `requests-raw-small`, `requests-raw-16k`, `requests-http-small` and `requests-http-16k`. */
export async function requestRows(lab: Lab): Promise<Row[]> {
  const { tlsPort } = await lab.origin();
  const rows: Row[] = [];
  for (const carries of ['raw', 'http'] as const satisfies readonly Carries[]) {
    const middles = await lab.middles(carries, tlsPort);
    for (const size of ['small', '16k'] as const) {
      const what = `${carries} requests, ${SIZES[size]}`;
      rows.push({
        key: `requests-${carries}-${size}`,
        metrics: [
          { key: 'cpu', title: `${what}, CPU of one`, unit: 'µs', better: 'less', digits: 1 },
          { key: 'rate', title: what, unit: '1/s', better: 'more', digits: 0 },
        ],
        contenders: middles.map((middle) => contender(lab, middle, PATHS[size])),
      });
    }
  }
  return rows;
}

function contender(lab: Lab, { name, isPeer, port, processes }: Middle, path: string): Contender {
  const load = { port, path, connections: CONNECTIONS, seconds: lab.plan.requestSeconds };
  const measured = {
    name,
    isPeer,
    measure: async () => {
      const before = cpuUsOfAll(processes);
      const { requests, seconds } = await makeRequests(lab.scope, load);
      await delay(SETTLE_MS);
      return { cpu: (cpuUsOfAll(processes) - before) / requests, rate: requests / seconds };
    },
  };
  return { ...measured, warmUp: () => warmUpBy(measured, lab.plan.warmUps) };
}
