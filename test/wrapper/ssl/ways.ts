// The SSL verbs are tested in every way: in the process and through a daemon, with TLS 1.2 and 1.3.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { ConnectionOptions, SecureVersion } from 'node:tls';
import { type CountingOrigin, countingOrigin, type OriginOptions } from '#helpers/counting-origin.js';
import { fileScope, type Scope } from '#helpers/scope.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { type SharedOptions, Ssl, type SslErrorClass, type WaitOptions } from '#src/ssl.js';
import { makeTestPki, type TestPki } from '../../sharing/test-pki.ts';

/** One way to run a test. */
export interface Way {
  mode: 'direct' | 'shared';
  version: SecureVersion;
}

const WAYS: readonly Way[] = [
  { mode: 'direct', version: 'TLSv1.2' },
  { mode: 'direct', version: 'TLSv1.3' },
  { mode: 'shared', version: 'TLSv1.2' },
  { mode: 'shared', version: 'TLSv1.3' },
];

/** What a test is given. */
export interface Bench extends Way {
  scope: Scope;
  pki: TestPki;
  /** Starts an origin of this way's version; default: answers lines, with a good certificate. */
  origin(options?: Partial<OriginOptions>): Promise<CountingOrigin>;
  /** The first parameter of connect. */
  shared: false | SharedOptions;
  /** Options that reach an origin. */
  target(origin: { port: number }, more?: ConnectionOptions): ConnectionOptions;
  /** An open session to an origin; freed after the test. */
  open(origin: { port: number }, more?: ConnectionOptions, wait?: WaitOptions): Promise<Ssl>;
}

let pki: TestPki | undefined;
let daemon: TestDaemon | undefined;

/** To be called once in a file: makes the certificates and the daemon that this process's sessions use. */
export function setUpWays(): void {
  const scope = fileScope();
  before(async () => {
    pki = await makeTestPki();
    daemon = await startTestDaemon(scope);
    process.env.TLSHUB_DIR = daemon.directory;
  });
}

/** The file's daemon. */
export function benchDaemon(): TestDaemon {
  assert.ok(daemon !== undefined, 'setUpWays was not called');
  return daemon;
}

/** What a test in one way is given. */
export function makeBench(scope: Scope, way: Way): Bench {
  assert.ok(pki !== undefined, 'setUpWays was not called');
  const { ca, good } = pki;
  const shared = way.mode === 'shared' ? { fallback: false } : false;
  const target: Bench['target'] = ({ port }, more) => ({ host: '127.0.0.1', port, ca: ca.cert, ...more });
  return {
    ...way,
    scope,
    pki,
    shared,
    target,
    origin: (options = {}) =>
      countingOrigin(scope, { ...good, ...options, tls: { maxVersion: way.version, ...options.tls } }),
    open: async (origin, more, wait) => {
      const ssl = await Ssl.connect(shared, target(origin, more), wait);
      scope.after(() => ssl.free());
      return ssl;
    },
  };
}

/** Declares a test in every way, or in those of one mode. */
export function inEveryWay(title: string, run: (bench: Bench) => Promise<void>, only?: Way['mode']): void {
  for (const way of WAYS.filter(({ mode }) => only === undefined || mode === only)) {
    test(`${title} (${way.mode}, ${way.version})`, (t) => run(makeBench(t, way)));
  }
}

/** What a call answered, in one line: `bytes`, `0 ZERO_RETURN`, `-1 SYSCALL ECONNRESET`. */
export function outcome(ssl: Ssl, rc: number | string | Buffer): string {
  const errorClass = ssl.getError(rc);
  const code = (ssl.lastError as { code?: string } | undefined)?.code;
  const words = [String(rc), CLASS_NAMES[errorClass], code].filter((word) => word !== undefined);
  return errorClass === 0 ? String(rc) : words.join(' ');
}

/** OpenSSL's own numbers (ssl.h), written down here a second time. */
const CLASS_NAMES: Readonly<Record<SslErrorClass, string>> = {
  0: 'NONE',
  1: 'SSL',
  2: 'WANT_READ',
  3: 'WANT_WRITE',
  5: 'SYSCALL',
  6: 'ZERO_RETURN',
};

/** Reads exactly so many bytes. */
export async function readExactly(ssl: Ssl, bytes: number): Promise<string> {
  const parts: Buffer[] = [];
  for (let missing = bytes; missing > 0; ) {
    const part = await ssl.read(missing);
    assert.ok(typeof part !== 'number', `${missing} bytes are missing: ${outcome(ssl, part)}`);
    parts.push(part);
    missing -= part.length;
  }
  return Buffer.concat(parts).toString('latin1');
}

/** Waits until so many bytes are pending, asking for them without waiting in the call. */
export async function untilPending(ssl: Ssl, bytes: number): Promise<void> {
  await waitFor(
    async () => {
      await ssl.peek(bytes, { wait: 0 });
      return ssl.pending() >= bytes;
    },
    { what: `${bytes} pending bytes` },
  );
}
