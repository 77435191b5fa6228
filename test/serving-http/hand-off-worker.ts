// A worker of an HTTPS service in a process of its own, told by lines what to do. Each request is written to standard
// output; one for /slow waits for `answer`.
import { type RunningNode, spawnNode } from '#helpers/run-node.js';
import type { Scope } from '#helpers/scope.js';
import type { Serving } from './serving.ts';

const SCRIPT = `
  import https from 'tlshub/https';
  import { createInterface } from 'node:readline';
  const { CERT: cert, KEY: key, PORT, WORKER, OPTIONS } = process.env;
  const waiting = [];
  const server = https.createServer({ cert, key, shared: { survive: true }, ...JSON.parse(OPTIONS) }, (request, response) => {
    console.log('request', request.url);
    // Later than the daemon is told that the connection is idle.
    response.on('close', () => setImmediate(() => setImmediate(() => console.log('idle', request.url))));
    const die = () => process.kill(process.pid, 'SIGKILL');
    if (request.url === '/die' || request.url === '/die/' + WORKER) die();
    if (request.url === '/begun/die') return response.write('begun\\n', die);
    if (request.url === '/ended/die') response.on('finish', die);
    if (request.url === '/keep') {
      const { socket } = request;
      void socket.setState(Buffer.from('one'));
      return socket.setState(Buffer.from('two')).then(() => console.log('kept'));
    }
    const answer = () => response.end(WORKER + ' answers ' + request.url + '\\n');
    if (request.url.startsWith('/slow')) waiting.push(answer);
    else if (request.url.startsWith('/early')) answer();
    else request.on('end', answer).resume();
  });
  const echo = (socket, from) => socket.on('data', (chunk) => {
    for (const line of String(chunk).trim().split('\\n')) socket.write(WORKER + ' echoes ' + line + ' ' + from + '\\n');
  });
  server.on('upgrade', async (request, socket) => {
    console.log('upgrade', request.url);
    socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n');
    if (request.url === '/kept') await socket.setState(Buffer.from('kept'));
    echo(socket, 'upgraded');
  });
  server.on('adopt', (socket, state) => {
    console.log('adopt', String(state));
    echo(socket, state);
  });
  server.listen(Number(PORT), '127.0.0.1', () => console.log('listening', server.sharing.shared, server.sharing.reason));
  createInterface({ input: process.stdin }).on('line', async (line) => {
    if (line === 'answer') for (const answer of waiting.splice(0)) answer();
    if (line !== 'hand off') return;
    console.log('handing off');
    await server.handOff();
    console.log('handed off');
    process.exit();
  });
`;

/** A running worker. */
export interface Worker extends RunningNode {
  tell(line: 'answer' | 'hand off'): void;
  /** The requests that its handler has seen. */
  requests(): string[];
}

/** Starts a worker and waits until it listens. */
export async function startWorker(
  scope: Scope,
  { leaf, daemon }: Serving,
  port: number,
  name: string,
  options: object = {},
): Promise<Worker> {
  const env = { TLSHUB_DIR: daemon.directory, CERT: leaf.cert, KEY: leaf.key };
  const running = spawnNode(SCRIPT, {
    env: { ...env, PORT: String(port), WORKER: name, OPTIONS: JSON.stringify(options) },
    deadlineMs: 60_000,
  });
  scope.after(() => void running.child.kill('SIGKILL'));
  await running.printed('listening');
  if (!running.stdout.includes('listening true null')) throw new Error(`not shared: ${running.stdout}`);
  return Object.assign(Object.create(running) as RunningNode, {
    tell: (line: string) => void running.child.stdin?.write(`${line}\n`),
    requests: () => [...running.stdout.matchAll(/^request (.*)$/gm)].map(([, url]) => String(url)),
  });
}
