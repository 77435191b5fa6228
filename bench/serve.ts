// Keep-alive HTTPS requests to a server: what one costs with TLS in the application, behind HAProxy, and with sessions
// of the daemon. README.md says how to read the figures.
import { parseArgs } from 'node:util';
import { Load } from './load.ts';
import { type Contender, describeRounds, runRounds } from './rounds.ts';
import { parseKinds, SERVER_KINDS, startServer } from './servers.ts';
import { makeStage, withScope } from './stage.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    requests: { type: 'string', default: '2000' },
    connections: { type: 'string', default: '16' },
    'warm-up': { type: 'string', default: '5000' },
    /** Of the body of each response. */
    bytes: { type: 'string', default: '6' },
    kinds: { type: 'string' },
    profile: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(flags.rounds);
const requests = Number(flags.requests);
const connections = Number(flags.connections);
const warmUp = Number(flags['warm-up']);
const bytes = Number(flags.bytes);
const kinds = flags.kinds === undefined ? SERVER_KINDS : parseKinds(flags.kinds, SERVER_KINDS);

await withScope(async (scope) => {
  const stage = await makeStage(scope, { profileDirectory: flags.profile });
  const contenders: Contender[] = [];
  for (const kind of kinds) {
    const server = await startServer(stage, kind, { serves: 'http', bytes });
    const load = await Load.prepare({ port: server.port, ca: stage.ca, serves: 'http' }, false);
    const sockets = await Promise.all(Array.from({ length: connections }, () => load.open()));
    scope.after(() => {
      for (const socket of sockets) socket.destroy();
    });
    contenders.push({ server, work: (count) => load.requestMany(sockets, count) });
  }
  const report = await runRounds(contenders, { rounds, operations: requests, warmUp });
  if (flags.json) {
    console.log(JSON.stringify({ rounds, requests, connections, bytes, ...report }));
    return;
  }
  console.log(
    `${rounds} rounds of ${requests} requests (${bytes} bytes each) over ${connections} connections of each kind\n`,
  );
  console.log(describeRounds(report, 'requests'));
});
