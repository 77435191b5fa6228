// Makes the process of a daemon and waits for its one line on descriptor 3: ready, or why not. Knows nothing of locks
// and of other starters; start-daemon.ts calls it under the lock.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { isTlshubErrorCode, messageOf, TlshubError } from '../errors.ts';
import { daemonEnvironment } from './daemon-environment.ts';
import { LOG_NAME, lastWords, type OpenLog, openDaemonLog } from './daemon-log-file.ts';

/** The descriptor on which a daemon says that it is ready. */
const READY_FD = 3;
/** Room for new objects, in MiB: Node's default of 16 lets a daemon grow by 48 before it looks for garbage at all. */
const NODE_FLAGS = ['--max-semi-space-size=4'] as const;
const MAX_READY_CHARACTERS = 64 * 1024;

/**
 * Runs a daemon, detached from this process and its terminal, and resolves when it listens.
 * Rejects with ERR_TLSHUB_DAEMON_UNREACHABLE when no process can be made, ERR_TLSHUB_START_FAILED when it ends or the
 * deadline passes before it is ready (it is killed then), or with the code that the daemon told.
 * @param directory a private directory
 * @param flags further flags of `tlshub daemon`
 * @param deadlineMs milliseconds until it must be ready
 */
export async function spawnDaemon(
  directory: string,
  flags: readonly string[],
  deadlineMs: number,
): Promise<void> {
  const log = openDaemonLog(directory);
  try {
    const child = spawnDetached(directory, flags, log);
    await firstWord(child, log, deadlineMs);
  } finally {
    closeSync(log.fd);
  }
}

function spawnDetached(directory: string, flags: readonly string[], log: OpenLog): ChildProcess {
  const main = fileURLToPath(new URL('../cli/main.js', import.meta.url));
  const command = [
    ...NODE_FLAGS,
    main,
    'daemon',
    '--directory',
    directory,
    '--ready-fd',
    `${READY_FD}`,
    ...flags,
  ];
  try {
    return spawn(process.execPath, command, {
      cwd: '/',
      detached: true,
      env: daemonEnvironment(),
      stdio: ['ignore', log.fd, log.fd, 'pipe'],
    });
  } catch (error) {
    throw cannotSpawn(error);
  }
}

/** What a daemon has said by the time that it is ready, has ended, or the deadline has passed. */
type FirstWord = { line: string } | { missing: string } | { error: Error };

async function firstWord(child: ChildProcess, log: OpenLog, deadlineMs: number): Promise<void> {
  const ready = child.stdio[READY_FD] as Readable | undefined;
  let timer: NodeJS.Timeout | undefined;
  const word = await new Promise<FirstWord>((resolve) => {
    timer = setTimeout(() => {
      child.kill('SIGKILL');
      resolve({ missing: `it was not ready within ${deadlineMs / 1000} s` });
    }, deadlineMs);
    child.once('error', (error) => resolve({ error }));
    // Not `exit`: the line may still be on its way then.
    child.once('close', (code, signal) =>
      resolve({ missing: `it ended with ${signal ?? `exit code ${code}`}` }),
    );
    let text = '';
    ready?.setEncoding('utf8');
    ready?.on('error', () => {});
    ready?.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end !== -1) resolve({ line: text.slice(0, end) });
      else if (text.length > MAX_READY_CHARACTERS) resolve({ missing: 'its first line does not end' });
    });
  });
  clearTimeout(timer);
  ready?.destroy();
  // From here on the daemon must not keep this process alive.
  child.unref();
  const failure = failureOf(word, log);
  if (failure !== undefined) throw failure;
}

function failureOf(word: FirstWord, log: OpenLog): Error | undefined {
  if ('error' in word) return cannotSpawn(word.error);
  return 'missing' in word ? startFailed(word.missing, log) : errorIn(word.line, log);
}

/** The error that a daemon's first line tells, or `undefined` when it says that it is ready. */
function errorIn(line: string, log: OpenLog): Error | undefined {
  try {
    const { ready, error } = JSON.parse(line) as {
      ready?: unknown;
      error?: { code?: unknown; message?: unknown };
    };
    if (ready === true) return undefined;
    const message = String(error?.message);
    return isTlshubErrorCode(error?.code) ? new TlshubError(error.code, message) : startFailed(message, log);
  } catch {
    return startFailed('its first line is not what a daemon says', log);
  }
}

function startFailed(why: string, log: OpenLog): TlshubError {
  const words = lastWords(log);
  const said = words === undefined ? 'its log is empty' : `its last words: ${words}`;
  return new TlshubError(
    'ERR_TLSHUB_START_FAILED',
    `the daemon was started, but ${why}; ${said} (see ${LOG_NAME})`,
  );
}

function cannotSpawn(cause: unknown): TlshubError {
  return new TlshubError(
    'ERR_TLSHUB_DAEMON_UNREACHABLE',
    `no daemon answers and none can be started: ${messageOf(cause)}`,
    { cause },
  );
}
