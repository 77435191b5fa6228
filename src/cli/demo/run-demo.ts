// What `tlshub demo` does: an origin, a private daemon, so many processes one after another without sharing and so many
// with it, and the figures of both. Whatever ends it, it leaves nothing behind. It prints nothing.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClientOrder, ClientReport } from './client-process.ts';
import { type OwnOrigin, startOwnOrigin } from './own-origin.ts';
import { percentile } from './percentile.ts';
import { type PrivateDaemon, startPrivateDaemon } from './private-daemon.ts';
import { ClientFailure, runClient } from './run-client.ts';

/** Bytes that each process sends to the demo's own origin and gets back. */
const ECHO_BYTES = 64 * 1024;

/** What is run. */
export interface DemoOptions {
  /** Processes of each kind. */
  readonly count: number;
  /** Milliseconds of round-trip time to add on the way to the demo's own origin. */
  readonly roundTripMs: number;
  /** The user's own server instead of the demo's. */
  readonly url?: URL;
  /** File with CA certificates to trust, for `url`; absent: the default ones. */
  readonly caFile?: string;
  /** Aborted when the demo is to end early. */
  readonly signal: AbortSignal;
  /** Told before each process. */
  onProgress(kind: Kind, number: number): void;
}

/** A process has TLS by itself, or shares. */
export type Kind = 'direct' | 'shared';

/** The figures of one kind of process. */
export interface KindReport {
  readonly processes: number;
  readonly handshakes: number;
  /** Who counted them: the origin; or, with the user's server, the processes themselves and the daemon. */
  readonly handshakesCountedBy: 'origin' | 'processes' | 'daemon';
  /** Processes that found their session open. */
  readonly reused: number;
  /** Processes that left their session usable. */
  readonly kept: number;
  /** Milliseconds from `tls.connect` to `secureConnect`. */
  readonly connectMs: { readonly p50: number; readonly p99: number };
  /** Bytes that came back and were checked. */
  readonly bytesVerified: number;
  /** Milliseconds from the start of the first process to the end of the last one. */
  readonly elapsedMs: number;
  /** HTTP statuses that were answered, each once. */
  readonly statuses: readonly number[];
}

/** What the demo found. */
export interface DemoReport {
  /** The user's URL, or `null` for the demo's own origin. */
  readonly url: string | null;
  readonly roundTripMs: number;
  readonly direct: KindReport;
  readonly shared: KindReport;
}

/** Runs the demo. Rejects with {@link ClientFailure}, what starting a daemon rejects with, or an AbortError. */
export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  const { url, roundTripMs, signal } = options;
  const directory = mkdtempSync(join(tmpdir(), 'tlshub-demo-'));
  let origin: OwnOrigin | undefined;
  let daemon: PrivateDaemon | undefined;
  try {
    if (url === undefined) origin = await startOwnOrigin(directory, roundTripMs, signal);
    signal.throwIfAborted();
    daemon = await startPrivateDaemon(directory);
    const stage: Stage = { ...options, directory, origin, daemon, target: targetOf(options, origin) };
    const direct = await runKind('direct', stage);
    const shared = await runKind('shared', stage);
    return { url: url?.href ?? null, roundTripMs, direct, shared };
  } finally {
    await daemon?.close();
    await origin?.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Stage extends DemoOptions {
  readonly directory: string;
  readonly origin: OwnOrigin | undefined;
  readonly daemon: PrivateDaemon;
  readonly target: Omit<ClientOrder, 'shared'>;
}

function targetOf({ url, caFile }: DemoOptions, origin: OwnOrigin | undefined): Stage['target'] {
  if (origin !== undefined) {
    return {
      host: 'localhost',
      port: origin.port,
      caFile: origin.caFile,
      exchange: { echoBytes: ECHO_BYTES },
    };
  }
  const { hostname = '', port = '', pathname = '/', search = '' } = url ?? {};
  // The brackets of an IPv6 address belong to the URL.
  const host = hostname.replace(/^\[|\]$/g, '');
  return { host, port: Number(port || 443), caFile, exchange: { get: `${pathname}${search}` } };
}

async function runKind(kind: Kind, stage: Stage): Promise<KindReport> {
  const { count, directory, origin, daemon, target, signal, onProgress } = stage;
  const countHandshakes = async () => (await origin?.handshakes()) ?? (await daemon.handshakes());
  const handshakesBefore = await countHandshakes();
  const reports: ClientReport[] = [];
  const startMs = performance.now();
  for (let number = 1; number <= count; number += 1) {
    onProgress(kind, number);
    try {
      reports.push(await runClient({ ...target, shared: kind === 'shared' }, directory, signal));
    } catch (error) {
      if (!(error instanceof ClientFailure)) throw error;
      throw new ClientFailure(`process ${number} (${kind}): ${error.message}`, error.code);
    }
  }
  const elapsedMs = performance.now() - startMs;
  const handshakes = (await countHandshakes()) - handshakesBefore;
  // Where no origin of ours counts, a process that does not share knows of the one handshake that it made.
  const ownCount = origin === undefined && kind === 'direct';
  const times = reports.map(({ connectMs }) => connectMs);
  return {
    processes: count,
    handshakes: ownCount ? reports.length : handshakes,
    handshakesCountedBy: origin !== undefined ? 'origin' : ownCount ? 'processes' : 'daemon',
    reused: reports.filter(({ reused }) => reused).length,
    kept: reports.filter(({ kept }) => kept).length,
    connectMs: { p50: percentile(times, 0.5), p99: percentile(times, 0.99) },
    bytesVerified: reports.reduce((sum, { bytes }) => sum + bytes, 0),
    elapsedMs,
    statuses: [...new Set(reports.flatMap(({ status }) => status ?? []))],
  };
}
