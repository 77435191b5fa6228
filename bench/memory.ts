// Memory: what one idle session adds to the resident memory of the daemon, by who has it, against what a connection adds
// to HAProxy's that carries TLS to the server and none to the client. README.md says how to read the figures.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect as netConnect, type Socket } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { unusedPort } from '#helpers/listen.js';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { connect, type TlshubSocket } from '#src/wrapper/connect.js';
import { makeStage, type Stage, WILDCARD, withScope } from './stage.ts';
import { tableText } from './statistics.ts';

const { values: flags } = parseArgs({
  options: {
    counts: { type: 'string', default: '10,1000,10000' },
    kinds: { type: 'string', default: 'haproxy,leased,pooled,pooled-own-key,named' },
    json: { type: 'boolean', default: false },
  },
});
const counts = flags.counts.split(',').map(Number);

/** Connections that are there before the first that counts, so that what everyone shares is made. */
const WARM_UP = 50;
const OPENING_AT_ONCE = 8;
/** Milliseconds in which a process lets go of what the openings left behind. */
const SETTLE_MS = 1_500;

const DAEMON_FLAGS = [
  ...['--pool-idle', '1h', '--linger', '1h', '--idle-exit', '0', '--log-level', 'warn'],
  ...['--max-sessions', '100000', '--max-sessions-per-key', '100000', '--max-connections', '100000'],
];

/** Makes one more of a kind, and leaves it idle; answers what keeps it. */
type Opener = (index: number) => Promise<unknown>;

interface Subject {
  readonly pid: number;
  readonly open: Opener;
  /** Leaves what was opened idle, when all of it is. */
  settle?(): Promise<void>;
}

const KINDS: Readonly<Record<string, (scope: Scope, stage: Stage, port: number) => Promise<Subject>>> = {
  haproxy: startHaproxy,
  leased: (scope, stage, port) => startDaemon(scope, () => open(stage, port, 'localhost')),
  pooled: async (scope, stage, port) => {
    // Each would get the one that the one before gave back, so they are given back when all are open.
    const leased: TlshubSocket[] = [];
    const daemon = await startDaemon(
      scope,
      async () => void leased.push(await open(stage, port, 'localhost')),
    );
    return {
      ...daemon,
      settle: async () => {
        for (const socket of leased) await socket.release();
        leased.length = 0;
      },
    };
  },
  'pooled-own-key': (scope, stage, port) =>
    startDaemon(scope, async (index) => (await open(stage, port, `s${index}.${WILDCARD}`)).release()),
  named: (scope, stage, port) =>
    startDaemon(scope, async (index) => (await open(stage, port, 'localhost', `n${index}`)).release()),
};

async function open(stage: Stage, port: number, servername: string, name?: string): Promise<TlshubSocket> {
  const shared = { fallback: false, ...(name !== undefined && { name }) };
  const socket = connect({ host: 'localhost', port, servername, ca: stage.ca, shared });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

async function startDaemon(scope: Scope, opener: Opener): Promise<Subject> {
  const daemon = await startTestDaemon(scope, { arguments: DAEMON_FLAGS });
  return {
    pid: daemon.pid,
    open: (index) => {
      process.env.TLSHUB_DIR = daemon.directory;
      return opener(index);
    },
  };
}

/** HAProxy in the place of the daemon: the client speaks plain, the server TLS. */
async function startHaproxy(scope: Scope, stage: Stage, originPort: number): Promise<Subject> {
  const directory = tempDir(scope);
  const port = await unusedPort();
  writeFileSync(join(directory, 'ca.pem'), stage.ca);
  writeFileSync(
    join(directory, 'haproxy.cfg'),
    `
global
  nbthread 1
  maxconn ${Math.floor(descriptors() / 3)}
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen bench
  bind 127.0.0.1:${port}
  server origin 127.0.0.1:${originPort} ssl verify required ca-file ${directory}/ca.pem sni str(localhost)
`,
  );
  const child = spawn('haproxy', ['-db', '-f', join(directory, 'haproxy.cfg')], { stdio: 'ignore' });
  const [error] = await Promise.race([once(child, 'error'), once(child, 'spawn')]);
  if (error !== undefined) throw new Error('haproxy is not in PATH: apt-get install haproxy, or --kinds');
  scope.after(() => void child.kill('SIGKILL'));
  const sockets: Socket[] = [];
  scope.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  const connectOnce = async () => {
    const socket = netConnect({ port, host: '127.0.0.1' });
    // The handshake with the server is done when it has answered.
    socket.write('x');
    await once(socket, 'data');
    socket.on('error', () => {});
    sockets.push(socket);
  };
  return { pid: child.pid ?? -1, open: () => retried(connectOnce) };
}

/** It takes a moment until it listens. */
async function retried(attempt: () => Promise<void>): Promise<void> {
  for (let left = 100; ; left -= 1) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (left === 0) throw error;
      await pause(50);
    }
  }
}

function descriptors(): number {
  const [, limit] = /^Max open files +\d+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  return Number(limit);
}

function residentKiB(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib);
}

function pause(timeoutMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, timeoutMs));
}

/** KiB of resident memory that each of so many sessions adds. */
async function measure(kind: string, count: number): Promise<number> {
  let result = Number.NaN;
  await withScope(async (scope) => {
    const stage = await makeStage(scope);
    const origin = await stage.origin('echo');
    const start = KINDS[kind];
    if (start === undefined) throw new Error(`--kinds: ${kind} is none of ${Object.keys(KINDS).join(', ')}`);
    const { pid, open: openOne, settle } = await start(scope, stage, origin.port);
    let next = 0;
    const openUntil = async (total: number) => {
      const worker = async () => {
        while (next < total) await openOne(next++);
      };
      await Promise.all(Array.from({ length: OPENING_AT_ONCE }, worker));
    };
    await openUntil(WARM_UP);
    await pause(SETTLE_MS);
    const before = residentKiB(pid);
    await openUntil(WARM_UP + count);
    await settle?.();
    await pause(SETTLE_MS);
    result = (residentKiB(pid) - before) / count;
  });
  return result;
}

const needed = Math.max(...counts) + WARM_UP;
if (needed * 2 + 200 > descriptors()) {
  throw new Error(`${needed} sessions need a hard limit of ${needed * 2 + 200} descriptors (ulimit -n)`);
}
const results: Record<string, number[]> = {};
for (const kind of flags.kinds.split(',')) {
  results[kind] = [];
  for (const count of counts) results[kind].push(await measure(kind, count));
}
if (flags.json) {
  console.log(JSON.stringify({ counts, kibPerSession: results }));
} else {
  const heading = ['KiB of resident memory for each session', ...counts.map((count) => `${count} sessions`)];
  const rows = Object.entries(results).map(([kind, kib]) => [kind, ...kib.map((value) => value.toFixed(1))]);
  console.log(tableText([heading, ...rows]));
}
process.exit();
