// The process of swarm.ts: many clients of one kind.
import { readFileSync } from 'node:fs';
import type { SwarmArguments, SwarmOrder, SwarmProgress, SwarmReport } from './swarm.ts';
import { SWARM_KINDS } from './swarm-clients.ts';

/** Clients that open their connections at the same time. */
const OPEN_AT_ONCE = 20;

const { kind, port, caFile, count } = JSON.parse(process.argv[2] ?? '') as SwarmArguments;
const target = { port, ca: readFileSync(caFile) };
const clients = Array.from({ length: count }, (_, index) => new SWARM_KINDS[kind](index, target));

async function open(): Promise<void> {
  const [first, ...others] = clients;
  await first?.open();
  while (others.length > 0) await Promise.all(others.splice(0, OPEN_AT_ONCE).map((client) => client.open()));
}

function say(messages: number, half: 0 | 1 | undefined): void {
  // Each half has clients of both kinds: those that wait for each message, and those that do not.
  const isMeant = (index: number) => half === undefined || (index >> 1) % 2 === half;
  for (const client of clients) if (isMeant(client.index)) client.say(messages);
}

function progress(): SwarmProgress {
  const counts = clients.map(({ received }) => received.length);
  const awaited = clients.reduce((sum, client) => sum + client.awaited.size, 0);
  return { least: Math.min(...counts), most: Math.max(...counts), awaited, failures: failures() };
}

function report(): SwarmReport {
  const distinct = new Map<string, number[]>();
  for (const { index, received } of clients) {
    const text = received.join('\n');
    distinct.set(text, [...(distinct.get(text) ?? []), index]);
  }
  const lists = [...distinct].map(([text, indexes]) => ({ received: text.split('\n'), indexes }));
  return { lists, failures: failures() };
}

function failures(): string[] {
  return clients.flatMap((client) => client.failures);
}

async function obey(order: SwarmOrder): Promise<unknown> {
  if (order.do === 'open') await open();
  else if (order.do === 'say') say(order.count, order.half);
  return order.do === 'report' ? report() : progress();
}

process.on('message', async ({ id, order }: { id: number; order: SwarmOrder }) => {
  process.send?.({ id, value: await obey(order) });
});
process.on('disconnect', () => process.exit());
