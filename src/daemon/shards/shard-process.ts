// Makes the process of another shard: the same command as this one's, with a number, in a session of its own so that
// signals from a terminal reach it through this process only. Its log goes where this one's goes. Used by supervisor.ts.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { isTlshubErrorCode, TlshubError } from '../../errors.ts';

/** The descriptor on which a shard says that it is ready. */
const READY_FD = 3;
/** Milliseconds that a shard may take until it listens. */
const READY_MS = 10_000;

/**
 * Starts a shard; resolves when it listens. Rejects with the code that it told, or ERR_TLSHUB_START_FAILED.
 * @param command the program, and the arguments that make it a daemon of this directory
 * @param shard its number
 */
export async function startShard(command: readonly string[], shard: number): Promise<ChildProcess> {
  const [program = process.execPath, ...flags] = command;
  const child = spawn(program, [...flags, '--shard', `${shard}`, '--ready-fd', `${READY_FD}`], {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  });
  // The link to it says when it ends; without a listener a failure to spawn would end this process.
  child.on('error', () => {});
  child.unref();
  try {
    const line = await firstLine(child);
    const { ready, error } = JSON.parse(line) as {
      ready?: unknown;
      error?: { code?: unknown; message?: unknown };
    };
    if (ready === true) return child;
    throw new TlshubError(
      isTlshubErrorCode(error?.code) ? error.code : 'ERR_TLSHUB_START_FAILED',
      String(error?.message),
    );
  } catch (error) {
    child.kill('SIGKILL');
    if (error instanceof TlshubError) throw error;
    throw new TlshubError('ERR_TLSHUB_START_FAILED', `process ${shard} of the daemon did not start`, {
      cause: error,
    });
  }
}

function firstLine(child: ChildProcess): Promise<string> {
  const ready = child.stdio[READY_FD] as Readable;
  return new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready within ${READY_MS / 1000} s`)), READY_MS);
    const done = () => {
      clearTimeout(timer);
      ready.destroy();
    };
    let text = '';
    ready.setEncoding('utf8');
    ready.on('data', (chunk: string) => {
      text += chunk;
      if (!text.includes('\n')) return;
      done();
      resolve(text);
    });
    ready.on('error', () => {});
    child.once('error', (error) => {
      done();
      reject(error);
    });
    // Not `exit`: the line may still be on its way then.
    child.once('close', (code, signal) => {
      done();
      reject(new Error(`it ended with ${signal ?? code}`));
    });
  });
}
