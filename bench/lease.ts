// Opening: a warm lease from the daemon against a full and a resumed handshake of node:tls in this process. Rounds of
// all three take turns, so that a slow moment of the machine meets each. README.md says how to read the figures.
import { parseArgs } from 'node:util';
import { CpuMeter } from './cpu.ts';
import { descriptorLimit, SPARE_DESCRIPTORS } from './limits.ts';
import { holdSessions, OPEN_KINDS, Opener, type OpenKind, repeat } from './opener.ts';
import { makeStage, type Stage, withScope } from './stage.ts';
import { p50, ratio, type Spread, spread, spreadText, tableText } from './statistics.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    samples: { type: 'string', default: '100' },
    held: { type: 'string', default: '0' },
    'warm-up': { type: 'string', default: '500' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(flags.rounds);
const samples = Number(flags.samples);
const held = Number(flags.held);
/** Openings of each kind before the first that counts, so that the code of all processes is warm. */
const warmUp = Number(flags['warm-up']);
/** At 50 ms a round trip, so many samples take long enough. */
const FAR_SAMPLES = 3;
const FAR_ROUND_TRIP_MS = 50;

interface Report {
  /** Milliseconds from the call to `secureConnect`, p50 of each round. */
  open: Record<string, Spread>;
  /** Milliseconds from the call to the first byte of an answer. */
  firstByte: Record<string, Spread>;
  ratios: Record<string, Spread>;
  /** Microseconds for one opening, without added round-trip time. */
  cpuUs: Record<OpenKind, Record<string, number>>;
}

async function measure(stage: Stage): Promise<Report> {
  const origin = await stage.origin('echo');
  const proxy = await stage.delay(origin.port, FAR_ROUND_TRIP_MS);
  const daemon = await stage.daemon();
  process.env.TLSHUB_DIR = daemon.directory;
  const near = new Opener(stage.ca, origin.port);
  const far = new Opener(stage.ca, proxy.port);
  for (const opener of [near, far]) await opener.prepare();
  const pids = { client: process.pid, origin: origin.pid, daemon: daemon.pid };
  const meters = { full: new CpuMeter(pids), resumed: new CpuMeter(pids), lease: new CpuMeter(pids) };
  const open: Record<string, number[]> = {};
  const firstByte: Record<string, number[]> = {};
  const add = (table: Record<string, number[]>, name: string, results: number[]) => {
    table[name] = [...(table[name] ?? []), p50(results)];
  };
  for (const kind of OPEN_KINDS) await repeat(warmUp, () => near.once(kind, 'open'));
  for (let round = 0; round < rounds; round += 1) {
    for (const kind of OPEN_KINDS) {
      add(open, kind, await meters[kind].during(() => repeat(samples, () => near.once(kind, 'open'))));
      add(firstByte, kind, await repeat(samples, () => near.once(kind, 'firstByte')));
      add(open, `${kind} far`, await repeat(FAR_SAMPLES, () => far.once(kind, 'open')));
      add(firstByte, `${kind} far`, await repeat(FAR_SAMPLES, () => far.once(kind, 'firstByte')));
    }
  }
  const of = (table: Record<string, number[]>, name: string) => table[name] ?? [];
  return {
    open: mapValues(open, spread),
    firstByte: mapValues(firstByte, spread),
    ratios: {
      'lease / full': ratio(of(open, 'lease'), of(open, 'full')),
      'lease / resumed': ratio(of(open, 'lease'), of(open, 'resumed')),
      'lease / full, far': ratio(of(open, 'lease far'), of(open, 'full far')),
      'first byte, shared / direct': ratio(of(firstByte, 'lease'), of(firstByte, 'full')),
      'first byte, shared / direct, far': ratio(of(firstByte, 'lease far'), of(firstByte, 'full far')),
    },
    cpuUs: {
      full: meters.full.perOperation(rounds * samples),
      resumed: meters.resumed.perOperation(rounds * samples),
      lease: meters.lease.perOperation(rounds * samples),
    },
  };
}

interface HeldReport {
  few: Spread;
  many: Spread;
  ratio: Spread;
  /** Megabytes of resident memory of the daemon that holds many, before and after it did. */
  residentMiB: { before: number; after: number };
}

/** The same lease from a daemon that holds ten sessions and from one that holds many. */
async function measureHeld(stage: Stage): Promise<HeldReport> {
  const origin = await stage.origin('echo');
  const daemons = { few: await stage.daemon(), many: await stage.daemon() };
  const residentMiB = async () => {
    const { status } = (await daemons.many.status()) as { status: { memory: { rss: number } } };
    return Math.round(status.memory.rss / 1024 / 1024);
  };
  const before = await residentMiB();
  const opener = new Opener(stage.ca, origin.port);
  const results = { few: [] as number[], many: [] as number[] };
  const names = ['few', 'many'] as const;
  for (const name of names) {
    process.env.TLSHUB_DIR = daemons[name].directory;
    await holdSessions(stage.ca, origin.port, name === 'few' ? 10 : held);
    await opener.prepare();
    await repeat(warmUp, () => opener.once('lease', 'open'));
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const name of names) {
      process.env.TLSHUB_DIR = daemons[name].directory;
      results[name].push(p50(await repeat(samples, () => opener.once('lease', 'open'))));
    }
  }
  return {
    few: spread(results.few),
    many: spread(results.many),
    ratio: ratio(results.many, results.few),
    residentMiB: { before, after: await residentMiB() },
  };
}

/** Fails when the origin's or the daemon's descriptors cannot suffice. */
function checkDescriptors(): void {
  const needed = held + SPARE_DESCRIPTORS;
  const limit = descriptorLimit();
  if (needed <= limit) return;
  throw new Error(`--held ${held} needs a hard limit of ${needed} descriptors, here it is ${limit}`);
}

function mapValues<In, Out>(table: Record<string, In>, map: (value: In) => Out): Record<string, Out> {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, map(value)]));
}

function describe(report: Report): string {
  const rows = OPEN_KINDS.map((kind) => [
    kind === 'lease' ? 'warm lease' : `${kind} handshake`,
    ...[kind, `${kind} far`].map((name) => text(report.open[name])),
    ...[kind, `${kind} far`].map((name) => text(report.firstByte[name])),
    Object.entries(report.cpuUs[kind])
      .map(([name, us]) => `${name} ${us}`)
      .join(', '),
  ]);
  const far = `+${FAR_ROUND_TRIP_MS} ms`;
  const heading = [
    'ms, median (min–max)',
    'open, loopback',
    `open, ${far}`,
    'first byte, loopback',
    `first byte, ${far}`,
  ];
  return [
    tableText([[...heading, 'CPU µs of one opening'], ...rows]),
    '',
    tableText([
      ['ratio', 'median (min–max)'],
      ...Object.entries(report.ratios).map(([name, value]) => [name, spreadText(value)]),
    ]),
  ].join('\n');
}

function describeHeld({ few, many, ratio: both, residentMiB }: HeldReport): string {
  return tableText([
    ['lease, ms', 'median (min–max)'],
    ['10 sessions held', spreadText(few)],
    [`${held} sessions held`, spreadText(many)],
    ['ratio', spreadText(both)],
    ['memory of the daemon', `${residentMiB.before} MiB → ${residentMiB.after} MiB`],
  ]);
}

function text(value: Spread | undefined): string {
  return value === undefined ? '-' : spreadText(value);
}

await withScope(async (scope) => {
  checkDescriptors();
  const stage = await makeStage(scope);
  const report = await measure(stage);
  const heldReport = held > 0 ? await measureHeld(stage) : undefined;
  if (flags.json) {
    console.log(
      JSON.stringify({ rounds, samples, ...report, held: heldReport && { sessions: held, ...heldReport } }),
    );
    return;
  }
  console.log(
    `${rounds} rounds of ${samples} openings (${FAR_SAMPLES} at +${FAR_ROUND_TRIP_MS} ms) of each kind\n`,
  );
  console.log(describe(report));
  if (heldReport !== undefined) console.log(`\n${describeHeld(heldReport)}`);
});
