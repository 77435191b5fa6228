// The byte path: what the daemon and HAProxy need to carry bytes between a plain socket and a TLS connection, in bulk
// both ways and as small requests. README.md says how to read figures; the origin is nginx, one cipher for all.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { parseArgs } from 'node:util';
import { startNginx } from '#helpers/nginx.js';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import { connect as connectShared } from '#src/index.js';
import { leaseCall, putCa, sessionKey, WireLink } from '../test/fuzz/wire-client.ts';
import { CpuMeter } from './cpu.ts';
import { withScope } from './stage.ts';
import { ratio, type Spread, spread, spreadText, tableText } from './statistics.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    /** Of each direction in each round. */
    megabytes: { type: 'string', default: '256' },
    requests: { type: 'string', default: '3000' },
    connections: { type: 'string', default: '16' },
    kinds: { type: 'string', default: 'haproxy,script,wrapper' },
    works: { type: 'string', default: 'down,up,requests' },
    profile: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(flags.rounds);
const requests = Number(flags.requests);
const connections = Number(flags.connections);

const FILE_BYTES = 32 * 1024 * 1024;
const files = Math.ceil((Number(flags.megabytes) * 1024 * 1024) / FILE_BYTES);
const gigabytes = (files * FILE_BYTES) / 1e9;
const PIECE = Buffer.alloc(64 * 1024, 'x');

/** What is measured: bytes to the client, bytes to the origin, and requests with short answers. */
type Work = 'down' | 'up' | 'requests';
const WORKS = flags.works.split(',') as Work[];

/** A way from a plain socket to the origin. */
interface Way {
  readonly pid: number;
  open(): Promise<Socket>;
}

/** One connection with HTTP on it, which reads answers of a known length and forgets them. */
class Client {
  readonly socket: Socket;
  #left = 0;
  #head: string | undefined = '';
  #done: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => {
      throw error;
    });
  }

  /** Sends one request and waits for the whole answer. */
  async request(path: string, bodyBytes = 0): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.#done = resolve;
    });
    const length = bodyBytes > 0 ? `Content-Length: ${bodyBytes}\r\n` : '';
    this.#head = '';
    this.socket.write(
      `${bodyBytes > 0 ? 'POST' : 'GET'} ${path} HTTP/1.1\r\nHost: localhost\r\n${length}\r\n`,
    );
    for (let sent = 0; sent < bodyBytes; sent += PIECE.length) {
      if (!this.socket.write(PIECE)) await once(this.socket, 'drain');
    }
    await done;
  }

  #take(chunk: Buffer): void {
    let bytes = chunk.length;
    if (this.#head !== undefined) {
      this.#head += chunk.toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end === -1) return;
      this.#left = Number(/content-length: (\d+)/i.exec(this.#head)?.[1]);
      bytes = this.#head.length - end - 4;
      this.#head = undefined;
    }
    this.#left -= bytes;
    if (this.#left === 0) this.#done();
  }
}

/** Does one round of one kind of work. */
async function perform(work: Work, clients: readonly Client[]): Promise<void> {
  const [first] = clients;
  if (work !== 'requests') {
    for (let file = 0; file < files; file += 1) {
      if (work === 'down') await first?.request('/files/big');
      else await first?.request('/sink', FILE_BYTES);
    }
    return;
  }
  let left = requests;
  await Promise.all(
    clients.map(async (client) => {
      while (left-- > 0) await client.request('/');
    }),
  );
}

async function startOrigin(scope: Scope) {
  const authority = await createCa({ name: 'tlshub bench' });
  const { chain: cert, key } = await authority.issue({ names: ['localhost', '127.0.0.1'] });
  const directory = tempDir(scope);
  mkdirSync(join(directory, 'files'));
  writeFileSync(join(directory, 'files', 'big'), Buffer.alloc(FILE_BYTES, 'y'));
  const nginx = await startNginx(
    {
      after: (task: () => void) => scope.after(task),
      skip: (reason: string) => {
        throw new Error(reason);
      },
    } as unknown as TestContext,
    {
      cert,
      key,
      serverLines: `
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        location /files/ { root ${directory}; }
        location /sink { client_max_body_size 0; return 200 'ok'; }`,
    },
  );
  if (nginx === undefined) throw new Error('nginx is needed');
  return { port: nginx.port, ca: authority.cert };
}

type Origin = Awaited<ReturnType<typeof startOrigin>>;

async function startHaproxy(scope: Scope, { port, ca }: Origin, overTcp: boolean): Promise<Way> {
  const directory = tempDir(scope);
  const path = join(directory, 'haproxy.sock');
  const tcp = { host: '127.0.0.1', port: 20_000 + (process.pid % 10_000) };
  writeFileSync(join(directory, 'ca.pem'), ca);
  writeFileSync(
    join(directory, 'haproxy.cfg'),
    `
global
  nbthread 1
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen bench
  bind ${overTcp ? `${tcp.host}:${tcp.port}` : `unix@${path}`}
  server origin 127.0.0.1:${port} ssl verify required ca-file ${directory}/ca.pem sni str(localhost)
`,
  );
  const child = spawn('haproxy', ['-db', '-f', join(directory, 'haproxy.cfg')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit');
  scope.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const open = async () => {
    const socket = overTcp ? connect(tcp) : connect(path);
    await once(socket, 'connect');
    return socket;
  };
  await waitFor(
    () =>
      open().then(
        (socket) => Boolean(socket.destroy()),
        () => false,
      ),
    { what: 'haproxy' },
  );
  return { pid: child.pid ?? -1, open };
}

/** A daemon with a raw lane for each connection, of a script that speaks the wire itself, or of the wrapper. */
async function startDaemon(scope: Scope, { port, ca }: Origin, kind: 'script' | 'wrapper'): Promise<Way> {
  const daemon = await startTestDaemon(scope, {
    arguments: ['--log-level', 'warn'],
    nodeArguments:
      flags.profile === undefined
        ? []
        : ['--cpu-prof', `--cpu-prof-dir=${flags.profile}`, `--cpu-prof-name=${kind}.cpuprofile`],
  });
  if (flags.profile !== undefined) scope.after(async () => void (await daemon.stop()));
  if (kind === 'wrapper') {
    return {
      pid: daemon.pid,
      open: async () => {
        process.env.TLSHUB_DIR = daemon.directory;
        const socket = connectShared({ host: 'localhost', port, ca, shared: { fallback: false } });
        await once(socket, 'secureConnect');
        return socket;
      },
    };
  }
  const link = await WireLink.open(scope, daemon.directory);
  await putCa(link, ca);
  return {
    pid: daemon.pid,
    open: async () => {
      const socket = connect(join(daemon.directory, 'tlshub.sock'));
      await once(socket, 'connect');
      socket.write(`${JSON.stringify(leaseCall(sessionKey(port, ca)))}\n`);
      let text = '';
      while (!text.includes('"rc":')) text += String((await once(socket, 'data'))[0]);
      if (!text.includes('"rc":1')) throw new Error(text);
      socket.removeAllListeners('data');
      return socket;
    },
  };
}

interface Contender {
  kind: string;
  clients: Client[];
  meters: Record<Work, CpuMeter>;
  seconds: Record<Work, number[]>;
}

await withScope(async (scope) => {
  const origin = await startOrigin(scope);
  const contenders: Contender[] = [];
  for (const kind of flags.kinds.split(',')) {
    const way = kind.startsWith('haproxy')
      ? await startHaproxy(scope, origin, kind === 'haproxy-tcp')
      : await startDaemon(scope, origin, kind === 'wrapper' ? kind : 'script');
    const sockets = await Promise.all(Array.from({ length: connections }, () => way.open()));
    scope.after(() => {
      for (const socket of sockets) socket.destroy();
    });
    const meter = () => new CpuMeter({ [kind]: way.pid });
    contenders.push({
      kind,
      clients: sockets.map((socket) => new Client(socket)),
      meters: { down: meter(), up: meter(), requests: meter() },
      seconds: { down: [], up: [], requests: [] },
    });
  }
  for (const { clients } of contenders) for (const work of WORKS) await perform(work, clients);
  for (let round = 0; round < rounds; round += 1) {
    for (const work of WORKS) {
      for (const { clients, meters, seconds } of contenders) {
        const start = performance.now();
        await meters[work].during(() => perform(work, clients));
        seconds[work].push((performance.now() - start) / 1000);
      }
    }
  }
  const usOf = ({ meters }: Contender, work: Work) =>
    meters[work].totalsUs().map((us) => (work === 'requests' ? us / requests : us / 1000 / gigabytes));
  const [peer] = contenders;
  const rows = contenders.map((contender) => ({
    kind: contender.kind,
    node: process.version,
    ...Object.fromEntries(
      WORKS.map((work) => [
        work,
        {
          cost: spread(usOf(contender, work)),
          ratio: peer && ratio(usOf(contender, work), usOf(peer, work)),
          seconds: spread(contender.seconds[work]),
        },
      ]),
    ),
  })) as unknown as (Record<'kind', string> &
    Record<Work, { cost: Spread; ratio: Spread; seconds: Spread }>)[];
  if (flags.json) {
    console.log(JSON.stringify(rows));
    return;
  }
  console.log(
    `node ${process.version}, ${rounds} rounds of ${files * 32} MiB each way and ${requests} requests\n`,
  );
  console.log(
    tableText([
      ['CPU, median (min–max)', 'ms / GB down', 'ms / GB up', 'µs / request'],
      ...rows.map((row) => [
        row.kind,
        ...WORKS.map((work) => spreadText(row[work].cost, work === 'requests' ? 1 : 0)),
      ]),
      [`ratio to ${peer?.kind}`],
      ...rows.map((row) => [row.kind, ...WORKS.map((work) => spreadText(row[work].ratio, 2))]),
    ]),
  );
});
