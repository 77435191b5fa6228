// New TLS connections to a server: what one costs with TLS in the application, behind HAProxy, and with sessions of the
// daemon. Each connection carries one byte there and back. README.md says how to read the figures.
import { parseArgs } from 'node:util';
import { Load } from './load.ts';
import { describeRounds, runRounds } from './rounds.ts';
import { parseKinds, SERVER_KINDS, startServer } from './servers.ts';
import { makeStage, withScope } from './stage.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    connections: { type: 'string', default: '1000' },
    'in-flight': { type: 'string', default: '16' },
    'warm-up': { type: 'string', default: '6000' },
    key: { type: 'string', default: 'ec' },
    /** Later connections resume the session of the first. */
    resume: { type: 'boolean', default: false },
    /** A request and its response instead of one byte. */
    http: { type: 'boolean', default: false },
    kinds: { type: 'string' },
    profile: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(flags.rounds);
const connections = Number(flags.connections);
const inFlight = Number(flags['in-flight']);
const warmUp = Number(flags['warm-up']);
const keyType = flags.key === 'rsa' ? 'rsa' : 'ec';
const serves = flags.http ? 'http' : 'echo';
/** HAProxy's http mode knows requests only. */
const possible = SERVER_KINDS.filter((kind) => flags.http || kind !== 'haproxy-http');
const kinds = flags.kinds === undefined ? possible : parseKinds(flags.kinds, possible);
/** Of the body of a response. */
const RESPONSE_BYTES = 1;

await withScope(async (scope) => {
  const stage = await makeStage(scope, { keyType, profileDirectory: flags.profile });
  const contenders = [];
  for (const kind of kinds) {
    const server = await startServer(stage, kind, { serves, bytes: RESPONSE_BYTES });
    const load = await Load.prepare({ port: server.port, ca: stage.ca, serves }, flags.resume);
    contenders.push({ server, work: (count: number) => load.openMany(count, inFlight) });
  }
  const report = await runRounds(contenders, { rounds, operations: connections, warmUp });
  if (flags.json) {
    const settings = { rounds, connections, inFlight, key: keyType, resume: flags.resume, serves };
    console.log(JSON.stringify({ ...settings, ...report }));
    return;
  }
  const handshake = flags.resume ? 'resumed' : `full, ${keyType}`;
  console.log(
    `${rounds} rounds of ${connections} connections (${handshake}, ${serves}), ${inFlight} at a time, of each kind\n`,
  );
  console.log(describeRounds(report, 'connections'));
});
