// Requests through an agent, and what the daemon says of their sessions afterwards.
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import type { TlshubSocket } from '#src/index.js';
import type { TestDaemon } from './test-daemon.ts';
import { waitFor, within } from './wait-for.ts';

/** A request that was answered to its end. */
export interface Answer {
  status: number | undefined;
  body: string;
  reusedSocket: boolean;
  socket: TlshubSocket;
}

/** What is asked for; the host is localhost. */
export type AskOptions = https.RequestOptions & { body?: string | readonly string[]; shared?: unknown };

/** Starts a request and ends it. */
export function send(options: AskOptions, onResponse?: (response: IncomingMessage) => void) {
  const { body, ...rest } = options;
  const request = https.request({ host: 'localhost', ...rest }, onResponse);
  for (const part of typeof body === 'string' ? [body] : (body ?? [])) request.write(part);
  request.end();
  return request;
}

/** Makes a request and reads the response to its end. */
export function ask(options: AskOptions): Promise<Answer> {
  const answer = new Promise<Answer>((resolve, reject) => {
    const request = send(options, (response) => {
      const socket = request.socket as unknown as TlshubSocket;
      let body = '';
      response.setEncoding('latin1').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => {
        resolve({ status: response.statusCode, body, reusedSocket: request.reusedSocket, socket });
      });
      response.on('error', reject);
    });
    request.on('error', reject);
  });
  return within(answer, { what: 'the response' });
}

/** The free sockets of an agent. */
export function freeSockets(agent: https.Agent): TlshubSocket[] {
  return Object.values(agent.freeSockets).flat() as unknown as TlshubSocket[];
}

/** Waits until an agent has so many free sockets and no other. */
export async function untilFree(agent: https.Agent, count = 1): Promise<TlshubSocket[]> {
  await waitFor(() => freeSockets(agent).length === count && Object.keys(agent.sockets).length === 0, {
    what: () => `${count} free sockets (there are ${freeSockets(agent).length})`,
  });
  return freeSockets(agent);
}

/** The states of the daemon's sessions with an origin of localhost. */
export async function sessionStates(daemon: TestDaemon, port: number): Promise<unknown[]> {
  const sessions = await daemon.sessions();
  return sessions.filter(({ peer }) => peer === `localhost:${port}`).map(({ state }) => state);
}

/** Waits until the daemon's sessions with an origin are in exactly these states. */
export async function untilStates(
  daemon: TestDaemon,
  port: number,
  expected: readonly string[],
): Promise<void> {
  let states: unknown[] = [];
  await waitFor(
    async () => {
      states = await sessionStates(daemon, port);
      return states.join() === expected.join();
    },
    { what: () => `sessions in the states [${expected.join()}] (they are in [${states.join()}])` },
  );
}

/** How many leases the daemon has given. */
export async function leaseCount(daemon: TestDaemon): Promise<number> {
  const { status } = (await daemon.status()) as { status: { counters: { leases: number } } };
  return status.counters.leases;
}
