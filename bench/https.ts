// Requests: keep-alive HTTPS of one process over its own TLS connection, over a lease that it keeps, and by the agent
// of tlshub. Rounds of all three take turns. README.md says how to read the figures.
import https from 'node:https';
import { parseArgs } from 'node:util';
import { Agent } from '#src/wrapper/agent.js';
import { connect, type ShareableConnectionOptions } from '#src/wrapper/connect.js';
import { CpuMeter } from './cpu.ts';
import { makeStage, type Stage, withScope } from './stage.ts';
import { p50, ratio, type Spread, spread, spreadText, tableText } from './statistics.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    requests: { type: 'string', default: '500' },
    connections: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(flags.rounds);
const requests = Number(flags.requests);
const connections = Number(flags.connections);

type Kind = 'direct' | 'kept lease' | 'agent';
const KINDS: readonly Kind[] = ['direct', 'kept lease', 'agent'];

interface KindReport {
  requestsPerSecond: Spread;
  /** Milliseconds from the request to the end of its response, p50 of each round. */
  latencyMs: Spread;
  /** Microseconds of CPU for one request. */
  cpuUs: Record<string, number>;
}

interface Report {
  kinds: Record<string, KindReport>;
  ratios: Record<string, Spread>;
}

/** Node's own agent on a lease that is held for as long as the agent lives. */
class KeptLeaseAgent extends https.Agent {
  override createConnection(options: https.RequestOptions) {
    return connect({ ...options, shared: { fallback: false } } as ShareableConnectionOptions);
  }
}

function get(agent: https.Agent, port: number, ca: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    https
      .get({ host: 'localhost', port, ca, agent }, (response) => {
        response.resume();
        response.on('end', () => resolve(performance.now() - start));
        response.on('error', reject);
      })
      .on('error', reject);
  });
}

/** So many requests, as many at a time as there are connections; answers their times. */
async function getMany(agent: https.Agent, port: number, ca: string): Promise<number[]> {
  const times: number[] = [];
  let left = requests;
  const worker = async () => {
    while (left-- > 0) times.push(await get(agent, port, ca));
  };
  await Promise.all(Array.from({ length: connections }, worker));
  return times;
}

async function measure(stage: Stage): Promise<Report> {
  const origin = await stage.origin('https');
  const daemon = await stage.daemon();
  process.env.TLSHUB_DIR = daemon.directory;
  const options = { keepAlive: true, maxSockets: connections };
  const agents: Record<Kind, https.Agent> = {
    direct: new https.Agent(options),
    'kept lease': new KeptLeaseAgent(options),
    agent: new Agent({ ...options, shared: { fallback: false } }),
  };
  const pids = { client: process.pid, origin: origin.pid, daemon: daemon.pid };
  const results = KINDS.map((kind) => ({
    kind,
    meter: new CpuMeter(pids),
    latencyMs: [] as number[],
    perSecond: [] as number[],
  }));
  // The first round warms up the code of all processes and is not counted.
  for (const kind of KINDS) await getMany(agents[kind], origin.port, stage.ca);
  for (let round = 0; round < rounds; round += 1) {
    for (const { kind, meter, latencyMs, perSecond } of results) {
      const start = performance.now();
      const times = await meter.during(() => getMany(agents[kind], origin.port, stage.ca));
      perSecond.push((requests * 1000) / (performance.now() - start));
      latencyMs.push(p50(times));
    }
  }
  for (const agent of Object.values(agents)) agent.destroy();
  const [direct, kept, agent] = results.map(({ latencyMs }) => latencyMs) as [number[], number[], number[]];
  return {
    kinds: Object.fromEntries(
      results.map(({ kind, meter, latencyMs, perSecond }) => [
        kind,
        {
          requestsPerSecond: spread(perSecond),
          latencyMs: spread(latencyMs),
          cpuUs: meter.perOperation(rounds * requests),
        },
      ]),
    ),
    ratios: { 'kept lease / direct': ratio(kept, direct), 'agent / direct': ratio(agent, direct) },
  };
}

function describe({ kinds, ratios }: Report): string {
  const rows = Object.entries(kinds).map(([kind, { requestsPerSecond, latencyMs, cpuUs }]) => [
    kind,
    spreadText(requestsPerSecond, 0),
    spreadText(latencyMs),
    Object.entries(cpuUs)
      .map(([name, us]) => `${name} ${us}`)
      .join(', '),
  ]);
  return [
    tableText([['median (min–max)', 'requests / s', 'p50 latency, ms', 'CPU µs of one request'], ...rows]),
    '',
    tableText([
      ['ratio of latencies', 'median (min–max)'],
      ...Object.entries(ratios).map(([name, value]) => [name, spreadText(value, 2)]),
    ]),
  ].join('\n');
}

await withScope(async (scope) => {
  const report = await measure(await makeStage(scope));
  if (flags.json) {
    console.log(JSON.stringify({ rounds, requests, connections, ...report }));
    return;
  }
  console.log(`${rounds} rounds of ${requests} requests over ${connections} connection(s) of each kind\n`);
  console.log(describe(report));
});
