// What the examples of servers are put through: clients stay connected and say numbered messages while the server's
// process is replaced by a new one three times and killed twice, or dies at chosen points.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unusedPort } from '#helpers/listen.js';
import { NODE, type RunningNode, spawnProcess } from '#helpers/run-node.js';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import { KILL_POINT, type KillPoint } from './kill-point.ts';
import { Swarm, type SwarmArguments, type SwarmReport } from './swarm.ts';

/** Clients that see three deploys and two kills. */
export const CLIENTS = 200;
/** Generous: two hundred clients on a busy machine take their time, and nothing here is about time. */
const DEADLINE_MS = 60_000;
const EVENTS = ['replace', 'kill', 'roll', 'kill', 'replace'] as const;

/** What is run. */
interface Subject {
  kind: SwarmArguments['kind'];
  /** Its path in examples/. */
  program: string;
  /** Where the processes keep what has happened, when they do. */
  logFile?: string;
  /** Messages that each client says at a time. */
  atOnce: number;
  /** How many messages a client receives for one that each of them says; default one for each client. */
  receivedForOne?: number;
}

/** What has come of it. */
export interface Survival {
  report: SwarmReport;
  /** Messages that each client has said in all. */
  said: number;
  /** Processes that served. */
  processes: number;
}

/** Runs a server through three deploys and two `kill -9`, at moments that are different each time. */
export async function survive(scope: Scope, subject: Subject): Promise<Survival> {
  const { atOnce, receivedForOne = CLIENTS } = subject;
  const stage = await setStage(scope, subject);
  const swarm = stage.swarm(CLIENTS);
  let server = await stage.start();
  await swarm.open();
  let received = 0;
  for (const event of EVENTS) {
    await swarm.say(atOnce, 0);
    await swarm.untilSome(received + Math.ceil((atOnce * receivedForOne * Math.random() * 0.9) / 2));
    if (event === 'kill') await stage.kill(server);
    if (event === 'replace') await stage.stop(server);
    // While nobody serves, or the old process does.
    await swarm.say(atOnce, 1);
    const next = await stage.start();
    if (event === 'roll') await stage.stop(server);
    server = next;
    received += atOnce * receivedForOne;
    await swarm.until(received);
  }
  const report = await swarm.report();
  await stage.stop(server);
  return { report, said: EVENTS.length * atOnce, processes: stage.processes() };
}

/**
 * Runs a server that dies at each of the points, the next process being there at once.
 * @param opening points at which it dies while the clients are opening their connections
 * @param talking points at which it dies while they talk
 */
export async function dieAt(
  scope: Scope,
  subject: Subject,
  { clients, opening, talking }: { clients: number; opening: KillPoint[]; talking: KillPoint[] },
): Promise<Survival> {
  const { atOnce, receivedForOne = clients } = subject;
  const stage = await setStage(scope, subject);
  const swarm = stage.swarm(clients);
  let server = await stage.start(opening[0] ?? talking[0]);
  const opened = swarm.open();
  // Awaited below; a failure before that is not unhandled.
  opened.catch(() => undefined);
  for (const [index] of opening.entries()) {
    await stage.death(server);
    server = await stage.start(opening[index + 1] ?? talking[0]);
  }
  await opened;
  for (const [index] of talking.entries()) {
    await swarm.say(atOnce);
    await stage.death(server);
    server = await stage.start(talking[index + 1]);
  }
  const said = talking.length * atOnce;
  await swarm.until(said * receivedForOne);
  const report = await swarm.report();
  await stage.stop(server);
  return { report, said, processes: stage.processes() };
}

async function setStage(scope: Scope, { kind, program, logFile }: Subject) {
  const directory = tempDir(scope);
  const ca = await createCa({ name: 'Test root' });
  const { chain, key } = await ca.issue({ names: ['localhost'] });
  const path = (name: string) => join(directory, name);
  writeFileSync(path('ca.pem'), ca.cert);
  writeFileSync(path('cert.pem'), chain);
  writeFileSync(path('key.pem'), key);
  const daemon = await startTestDaemon(scope);
  const port = await unusedPort();
  const args = [join('examples', program), `${port}`, path('key.pem'), path('cert.pem')];
  if (logFile !== undefined) args.push(logFile);
  const preload = ['--import', new URL('./kill-point.js', import.meta.url).href];
  let processes = 0;
  const end = async (server: RunningNode, expected: { code: number } | { signal: string }) => {
    const { code, signal, stderr } = await server.result;
    assert.deepEqual({ code: null, signal: null, ...expected, stderr: '' }, { code, signal, stderr });
  };
  return {
    swarm: (count: number) => new Swarm(scope, { kind, port, caFile: path('ca.pem'), count }),
    processes: () => processes,
    async start(point?: KillPoint): Promise<RunningNode> {
      const env = {
        TLSHUB_DIR: daemon.directory,
        [KILL_POINT]: point === undefined ? undefined : JSON.stringify(point),
      };
      const nodeArguments = point === undefined ? [] : preload;
      const server = spawnProcess(NODE, [...nodeArguments, ...args], { env, deadlineMs: 4 * DEADLINE_MS });
      scope.after(() => void server.child.kill('SIGKILL'));
      const result = server.result.then(({ stderr }) => stderr);
      const up = waitFor(() => server.stdout.includes(`port ${port}`), {
        what: `the start of ${program}`,
        deadlineMs: DEADLINE_MS,
      });
      assert.equal(await Promise.race([up, result]), true);
      processes += 1;
      return server;
    },
    kill(server: RunningNode): Promise<void> {
      server.child.kill('SIGKILL');
      return end(server, { signal: 'SIGKILL' });
    },
    /** Waits until it dies by itself. */
    death: (server: RunningNode) =>
      within(end(server, { signal: 'SIGKILL' }), {
        what: 'the death of the process',
        deadlineMs: DEADLINE_MS,
      }),
    stop(server: RunningNode): Promise<void> {
      server.child.kill('SIGTERM');
      return end(server, { code: 0 });
    },
  };
}

/** Asserts that all clients have received the same, and in it every message of each, in order; answers what it was. */
export function assertOneConversation({ report, said }: Survival, clients: number): string[] {
  assert.deepEqual(report.failures, []);
  const [{ received, indexes } = { received: [], indexes: [] }, ...others] = report.lists;
  assert.equal(others.length, 0, 'all clients have seen the same, in the same order');
  assert.equal(indexes.length, clients);
  assert.equal(received.length, clients * said);
  for (let index = 0; index < clients; index += 1) {
    const own = received.filter((line) => line.startsWith(`${index}: `));
    assert.deepEqual(
      own,
      Array.from({ length: said }, (_, number) => `${index}: message ${number + 1}`),
    );
  }
  return received;
}
