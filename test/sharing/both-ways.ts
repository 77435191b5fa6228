// Doing the same once with node:tls in the process and once through the daemon, so that a test can compare the two.
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import type { Scope } from '#helpers/scope.js';
import { startTestDaemon, type TestDaemon, type TestDaemonOptions } from '#helpers/test-daemon.js';
import tls from '#src/index.js';

/** How a connection is made. */
export type Mode = 'direct' | 'shared';

/** Both, in the order in which they are run. */
export const MODES: readonly Mode[] = ['direct', 'shared'];

/**
 * Connects in one of the two ways. Shared connections may not fall back, unless the caller says so: a comparison of
 * node:tls with itself would always pass.
 */
export function connectAs(mode: Mode, options: ConnectionOptions, fallback = false): TLSSocket {
  return tls.connect({ ...options, shared: mode === 'shared' ? { fallback } : false });
}

/** A private daemon that this process's shared connections use from now on. */
export async function useTestDaemon(scope: Scope, options: TestDaemonOptions = {}): Promise<TestDaemon> {
  const daemon = await startTestDaemon(scope, options);
  process.env.TLSHUB_DIR = daemon.directory;
  return daemon;
}
