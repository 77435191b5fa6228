// Starts a daemon for a directory when none listens there, once for all processes that want one at the same time, and
// returns when it listens. Called by daemon-link.ts when a connect fails, and by `tlshub start`. The daemon is a process
// of its own in every respect: session, directory, environment, log; it outlives its starter.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, isTlshubErrorCode, messageOf, TlshubError } from '../errors.ts';
import { ensurePrivateDirectory } from '../link/private-directory.ts';
import { probeSocket } from '../link/probe-socket.ts';
import { socketPath } from '../link/socket-path.ts';
import { spawnDaemon } from './spawn-daemon.ts';
import { StartLock } from './start-lock.ts';

/** Milliseconds that a daemon may take until it listens. */
const START_DEADLINE_MS = 10_000;
/** Milliseconds that another process's start is waited for: its own deadline, and room for its end. */
const WAIT_DEADLINE_MS = START_DEADLINE_MS + 2_000;

/** Daemons that are spawned while another holds the directory without listening. */
const START_ATTEMPTS = 3;

/** Starts of this process that are under way, by directory. */
const startsUnderWay = new Map<string, Promise<void>>();

/**
 * Makes sure that a daemon listens in the directory; starts one if none does.
 * Rejects with ERR_TLSHUB_DIRECTORY, ERR_TLSHUB_SOCKET_PATH, ERR_TLSHUB_START_FAILED (with the daemon's last words),
 * ERR_TLSHUB_DAEMON_UNREACHABLE (no process could be made, or another's start takes too long), or the code that the
 * daemon itself ended with.
 * @param directory absolute path of the socket's directory
 * @param flags further flags for `tlshub daemon`, used only when this call starts it
 */
export function startDaemon(directory: string, flags: readonly string[] = []): Promise<void> {
  let start = startsUnderWay.get(directory);
  if (start === undefined) {
    start = startOnce(directory, flags).finally(() => startsUnderWay.delete(directory));
    startsUnderWay.set(directory, start);
  }
  return start;
}

async function startOnce(directory: string, flags: readonly string[]): Promise<void> {
  const sinceMs = Date.now();
  const path = socketPath(directory);
  ensurePrivateDirectory(directory);
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(tookTooLong(directory)), WAIT_DEADLINE_MS);
  try {
    while ((await probeSocket(path)) !== 'listening') {
      const lock = await StartLock.takeOrWait(join(directory, 'start.lock'), giveUp.signal);
      if (lock === undefined) {
        rethrowFailureSince(directory, sinceMs);
        continue;
      }
      clearTimeout(timer);
      try {
        await startLocked(directory, path, flags);
        return;
      } finally {
        lock.release();
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

async function startLocked(directory: string, path: string, flags: readonly string[]): Promise<void> {
  for (let attempt = 1; (await probeSocket(path)) !== 'listening'; attempt += 1) {
    try {
      await spawnDaemon(directory, flags, START_DEADLINE_MS);
      forgetFailure(directory);
      return;
    } catch (error) {
      // Somebody started one by hand at the same time, which does not listen yet: it will, by the next attempt.
      if (codeOf(error) === 'ERR_TLSHUB_ALREADY_RUNNING' && attempt < START_ATTEMPTS) continue;
      rememberFailure(directory, error);
      throw error;
    }
  }
}

/** Tells those who waited for this start why it failed, so that they need not try the same one after another. */
function rememberFailure(directory: string, error: unknown): void {
  const failure = { atMs: Date.now(), code: codeOf(error), message: messageOf(error) };
  try {
    writeFileSync(failurePath(directory), `${JSON.stringify(failure)}\n`, { mode: 0o600 });
  } catch {
    // They try for themselves then.
  }
}

function forgetFailure(directory: string): void {
  rmSync(failurePath(directory), { force: true });
}

function rethrowFailureSince(directory: string, sinceMs: number): void {
  let failure: { atMs?: unknown; code?: unknown; message?: unknown };
  try {
    failure = JSON.parse(readFileSync(failurePath(directory), 'utf8'));
  } catch {
    return;
  }
  const { atMs, code, message } = failure;
  if (typeof atMs !== 'number' || atMs < sinceMs || !isTlshubErrorCode(code)) return;
  throw new TlshubError(code, String(message));
}

function failurePath(directory: string): string {
  return join(directory, 'start-failure.json');
}

function tookTooLong(directory: string): TlshubError {
  return new TlshubError(
    'ERR_TLSHUB_DAEMON_UNREACHABLE',
    `another process has been starting the daemon of ${directory} for ${WAIT_DEADLINE_MS / 1000} s: ` +
      `look for a stopped or hanging process that has ${join(directory, 'start.lock')} open`,
  );
}
