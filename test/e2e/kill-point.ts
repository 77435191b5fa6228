// Loaded into a process (`node --import`) that is to be killed at a certain point, as the kernel's out-of-memory killer
// might choose it: nothing of the process runs afterwards. The point comes in the environment as JSON.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { Socket } from 'node:net';

/** Where a process dies. */
export type KillPoint =
  /** Before it writes to a socket, the so-many-th time, something that contains the text. */
  | { before: string; count: number }
  /** When it has written half of that, and the daemon has the half. */
  | { within: string; count: number }
  /** When it has written half of what it appends to a file, the so-many-th time. */
  | { withinAppend: number };

/** The environment variable. */
export const KILL_POINT = 'TEST_KILL_POINT';

type Write = (chunk: unknown, ...rest: unknown[]) => boolean;

function kill(): void {
  process.kill(process.pid, 'SIGKILL');
}

function dieAtWrite(text: string, count: number, half: boolean): void {
  const { write } = Socket.prototype as unknown as { write: Write };
  let seen = 0;
  let dying: Socket | undefined;
  const patched = function (this: Socket, chunk: unknown, ...rest: unknown[]): boolean {
    if (this === dying) return true;
    const bytes = Buffer.from(chunk as string | Uint8Array);
    if (!bytes.includes(text)) return write.call(this, chunk, ...rest);
    seen += 1;
    if (seen !== count) return write.call(this, chunk, ...rest);
    if (!half) kill();
    dying = this;
    write.call(this, bytes.subarray(0, bytes.length / 2), kill);
    while (this.writableCorked > 0) this.uncork();
    return true;
  };
  Object.assign(Socket.prototype, { write: patched });
}

function dieWithinAppend(count: number): void {
  const { appendFileSync } = fs;
  let seen = 0;
  fs.appendFileSync = (file, data, options) => {
    seen += 1;
    if (seen !== count) return appendFileSync(file, data, options);
    appendFileSync(file, String(data).slice(0, String(data).length / 2));
    kill();
  };
  syncBuiltinESMExports();
}

const given = process.env[KILL_POINT];
if (given !== undefined) {
  const point = JSON.parse(given) as KillPoint;
  if ('withinAppend' in point) dieWithinAppend(point.withinAppend);
  else if ('before' in point) dieAtWrite(point.before, point.count, false);
  else dieAtWrite(point.within, point.count, true);
}
