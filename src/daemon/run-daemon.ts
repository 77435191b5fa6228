// A daemon as a process: no core files, signals, the line that tells the starter, the exit. What it does for sessions is
// daemon.ts. Called by `tlshub daemon`, in the foreground as well as in a process that a wrapper started.
import { closeSync, writeSync } from 'node:fs';
import { codeOf, messageOf } from '../errors.ts';
import { forbidCoreDumps } from '../native/libc.ts';
import type { DaemonConfig } from './config.ts';
import { Daemon } from './daemon.ts';
import { createLogger, type Logger } from './log.ts';

/** Files that the process makes are its user's alone. */
const PRIVATE_UMASK = 0o077;
/** Milliseconds that the process may take to end by itself after the daemon has. */
const EXIT_GRACE_MS = 1_000;

/**
 * Runs a daemon in this process until it ends. SIGTERM and SIGINT drain it; a second signal ends the process at once
 * with exit code 1; SIGHUP reads the configuration file again. Rejects when it cannot start; with a `readyFd` the starter and the log have been told then.
 * @param config its settings
 * @param readyFd descriptor for one line of JSON, `{"ready":true}` or `{"error":{code,message}}`, closed after it
 * @param command the program and its arguments that make a daemon with this config, for further shards
 */
export async function runDaemon(
  config: DaemonConfig,
  readyFd?: number,
  command: readonly string[] = [],
): Promise<void> {
  process.umask(PRIVATE_UMASK);
  const log = createLogger(config.logLevel);
  process.on('uncaughtException', (error) => {
    log.error({ err: error }, 'the daemon ends: an error that it did not expect');
    process.exit(1);
  });
  try {
    protectMemory(config, log);
    const daemon = new Daemon(config, log, command);
    drainOnSignals(daemon, log);
    reloadOnHangup(daemon);
    await daemon.start();
    tellStarter(readyFd, { ready: true });
    await daemon.closed;
  } catch (error) {
    if (readyFd !== undefined) {
      log.error({ err: error }, 'the daemon cannot start');
      tellStarter(readyFd, { error: { code: codeOf(error), message: messageOf(error) } });
    }
    throw error;
  }
  setTimeout(() => process.exit(), EXIT_GRACE_MS).unref();
}

function protectMemory(config: DaemonConfig, log: Logger): void {
  try {
    forbidCoreDumps();
  } catch (error) {
    // Without native calls a daemon runs only where its operator has said so.
    if (config.peerCredentials) throw error;
    log.warn({ err: error }, 'core files of the daemon, which hold keys, cannot be forbidden');
  }
}

function drainOnSignals(daemon: Daemon, log: Logger): void {
  let signals = 0;
  const processOnSignal = (signal: NodeJS.Signals) => {
    signals += 1;
    if (signals > 1) {
      log.warn({ signal }, 'the daemon ends at once: a second signal');
      daemon.killShards();
      process.exit(1);
    }
    void daemon.drain(undefined, signal);
  };
  process.on('SIGTERM', processOnSignal);
  process.on('SIGINT', processOnSignal);
}

function reloadOnHangup(daemon: Daemon): void {
  // What is wrong is in the log, and nothing has changed.
  process.on('SIGHUP', () => void daemon.reloadShards().catch(() => {}));
}

function tellStarter(readyFd: number | undefined, word: object): void {
  if (readyFd === undefined) return;
  try {
    writeSync(readyFd, `${JSON.stringify(word)}\n`);
    closeSync(readyFd);
  } catch {
    // The starter has died; others will find the daemon all the same.
  }
}
