// As many requests as a middle can take, for a while: by wrk where it is installed, else by a client in this process.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { findProgram } from '#helpers/program.js';
import type { Scope } from '#helpers/scope.js';
import { KeepAlive } from './keep-alive.ts';

/** What is asked for, and how. */
export interface RequestLoad {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  /** A whole number. */
  readonly seconds: number;
}

/** What was done. */
export interface RequestResult {
  readonly requests: number;
  readonly seconds: number;
}

/** Makes requests for a while; rejects when an answer was none or was an error. */
export function makeRequests(scope: Scope, load: RequestLoad): Promise<RequestResult> {
  const wrk = findProgram('wrk');
  return wrk === undefined ? requestsOfNode(load) : requestsOfWrk(scope, wrk, load);
}

async function requestsOfWrk(scope: Scope, path: string, load: RequestLoad): Promise<RequestResult> {
  const url = `http://127.0.0.1:${load.port}${load.path}`;
  const counts = ['-t1', '--timeout', '10s', `-c${load.connections}`, `-d${load.seconds}s`];
  const child = spawn(path, [...counts, url], { stdio: ['ignore', 'pipe', 'pipe'] });
  scope.after(() => void child.kill('SIGKILL'));
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`wrk ended with ${code}: ${text}`);
  return parseWrk(text);
}

/** Reads what wrk prints; throws when it tells of errors. */
export function parseWrk(text: string): RequestResult {
  const [, requests, time, unit] = /(\d+) requests in ([\d.]+)(ms|s|m),/.exec(text) ?? [];
  const problem = /^\s*(Socket errors: .*|Non-2xx or 3xx responses: .*)$/m.exec(text)?.[1];
  if (problem !== undefined) throw new Error(`wrk: ${problem}`);
  const unitSeconds = { ms: 0.001, s: 1, m: 60 }[unit ?? ''];
  if (unitSeconds === undefined) throw new Error(`wrk said nothing of requests: ${text}`);
  return { requests: Number(requests), seconds: Number(time) * unitSeconds };
}

async function requestsOfNode({ port, path, connections, seconds }: RequestLoad): Promise<RequestResult> {
  const opened = await KeepAlive.openMany(connections, port, path);
  const start = performance.now();
  const end = start + seconds * 1000;
  let requests = opened.length;
  try {
    await Promise.all(
      opened.map(async (connection) => {
        while (performance.now() < end) {
          await connection.request();
          requests += 1;
        }
      }),
    );
    return { requests, seconds: (performance.now() - start) / 1000 };
  } finally {
    for (const connection of opened) connection.close();
  }
}
