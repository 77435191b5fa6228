// `tlshub demo`: shows on the user's own machine what sharing saves, with real processes and a real handshake count.
import { accessSync, constants } from 'node:fs';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { messageOf } from '../../errors.ts';
import { examples } from '../client.ts';
import { Progress } from '../demo/progress.ts';
import { type DemoReport, type KindReport, runDemo } from '../demo/run-demo.ts';
import { UsageError } from '../exit-codes.ts';
import { bytesText, type OutputOptions, printResult, table } from '../output.ts';
import { durationFlag, parseCount, parseDuration } from '../units.ts';

interface DemoFlags extends OutputOptions {
  readonly count: number;
  readonly delay?: number;
  readonly url?: URL;
  readonly ca?: string;
}

const DEFAULT_COUNT = 20;
/** Between two data centres of one region; without any, a demo on loopback would hide what a handshake costs. */
const DEFAULT_ROUND_TRIP_MS = 20;

/** Exit codes of a process that a signal ended, as shells give them: 128 and the signal's number. */
const SIGNAL_EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** The verb `demo`. */
export function demoCommand(): Command {
  return new Command('demo')
    .description('run short-lived processes without and with sharing, and compare what they cost')
    .option('--count <N>', 'processes of each kind', parseCount, DEFAULT_COUNT)
    .option(
      '--delay <TIME>',
      `round-trip time to the demo's own origin; 0 = loopback as it is (default: ${durationFlag(DEFAULT_ROUND_TRIP_MS)})`,
      parseDuration,
    )
    .option('--url <URL>', "ask this server by GET instead of the demo's own origin", parseHttpsUrl)
    .option('--ca <FILE>', 'CA certificates (PEM) to trust, with --url')
    .option('--json', 'print one JSON value')
    .addHelpText(
      'after',
      `
The demo makes a certificate authority, a TLS origin that counts handshakes, and a daemon of its own in a temporary
directory; all of it is gone afterwards. With --url the server is yours: GET requests only, one for each process.
${examples({
  'tlshub demo': `${DEFAULT_COUNT} processes of each kind`,
  'tlshub demo --delay 100ms': 'as if the origin were on another continent',
  'tlshub demo --url https://localhost:8443/ --ca ca.pem': 'against your server',
})}`,
    )
    .action(demoAction);
}

async function demoAction(flags: DemoFlags): Promise<void> {
  check(flags);
  const { count, url } = flags;
  const roundTripMs = url === undefined ? (flags.delay ?? DEFAULT_ROUND_TRIP_MS) : 0;
  const caFile = flags.ca === undefined ? undefined : resolve(flags.ca);
  const progress = flags.json ? undefined : new Progress(count);
  const { signal, stop } = abortOnSignals();
  try {
    progress?.begin('starting');
    const onProgress: Progress['step'] = (kind, number) => progress?.step(kind, number);
    const report = await runDemo({ count, roundTripMs, url, caFile, signal, onProgress });
    progress?.end();
    printResult(report, describe(report), flags);
  } catch (error) {
    progress?.end();
    // Whoever sent the signal knows why it ended; the exit code says it too.
    if (!signal.aborted) throw error;
  } finally {
    stop();
  }
}

function check({ url, ca, delay }: DemoFlags): void {
  if (url === undefined && ca !== undefined) throw new UsageError('--ca goes with --url');
  if (url !== undefined && delay !== undefined)
    throw new UsageError("--delay is for the demo's own origin, not for --url");
  if (ca === undefined) return;
  try {
    accessSync(ca, constants.R_OK);
  } catch (error) {
    throw new UsageError(`--ca: ${messageOf(error)}`);
  }
}

/** A signal that is aborted when the process is told to end; the process then cleans up and ends by itself. */
function abortOnSignals(): { signal: AbortSignal; stop(): void } {
  const controller = new AbortController();
  const listeners = Object.entries(SIGNAL_EXIT_CODES).map(([name, exitCode]) => {
    const processOnSignal = () => {
      process.exitCode = exitCode;
      controller.abort();
    };
    process.once(name, processOnSignal);
    return [name, processOnSignal] as const;
  });
  const stop = () => {
    for (const [name, listener] of listeners) process.off(name, listener);
  };
  return { signal: controller.signal, stop };
}

function describe(report: DemoReport): string {
  const { url, roundTripMs, direct, shared } = report;
  const statuses = [...new Set([...direct.statuses, ...shared.statuses])];
  const away = `${roundTripMs} ms away (a proxy delays it; --delay 0 does without)`;
  const exchange =
    url === null
      ? `connects to an origin ${roundTripMs === 0 ? 'on this machine' : away},\nsends it random bytes, and compares what comes back.`
      : `asks once for\n${url} (HTTP status ${statuses.join(', ')}).`;
  return [
    `${direct.processes} processes of each kind, one after another. Each ${exchange}`,
    '',
    table(
      ['', 'HANDSHAKES', 'CONNECT P50', 'CONNECT P99', 'BYTES VERIFIED', 'ALL TOGETHER'],
      [row('without sharing', direct), row('with sharing', shared)],
    ),
    '',
    ...remarks(report),
  ].join('\n');
}

function row(title: string, { handshakes, connectMs, bytesVerified, elapsedMs }: KindReport): string[] {
  return [
    title,
    `${handshakes}`,
    `${connectMs.p50.toFixed(2)} ms`,
    `${connectMs.p99.toFixed(2)} ms`,
    bytesText(bytesVerified),
    `${(elapsedMs / 1000).toFixed(2)} s`,
  ];
}

function remarks({ url, shared }: DemoReport): string[] {
  const counted =
    url === null
      ? 'counted by the origin'
      : 'your server is not asked for its count; without sharing each process\n                made its own, with sharing the daemon counted';
  const lines = [
    `Handshakes      ${counted}`,
    'Connect         from the call of tls.connect to the event secureConnect, in each process',
    'All together    from the start of the first process to the end of the last one',
  ];
  if (shared.processes < 100) {
    lines.splice(
      2,
      0,
      `P99             of ${shared.processes} it is the slowest; with sharing that is the first, whose handshake was made`,
    );
  }
  if (shared.kept < shared.processes) {
    const closed = shared.processes - shared.kept;
    lines.push(
      `The server closed the connection after ${closed} of ${shared.processes} answers: those sessions could not be shared.`,
    );
  }
  return lines;
}

function parseHttpsUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new InvalidArgumentError('That is no URL; one looks like https://localhost:8443/.');
  }
  if (url.protocol !== 'https:')
    throw new InvalidArgumentError('Only https URLs have a TLS session to share.');
  return url;
}
