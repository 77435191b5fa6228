// The memory of another process of ours, searched for secrets that must not be in it (Linux: /proc/PID/mem).
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/** Bytes read at once; neighbouring pieces overlap by the length of what is looked for. */
const PIECE_BYTES = 4 * 1024 * 1024;

/**
 * Which of the texts are somewhere in the writable memory of a process, which must be a child of ours.
 * @param pid the process, which should be stopped or waiting
 * @param texts what to look for, in the encodings that it may have there
 */
export function textsInMemory(pid: number, texts: Readonly<Record<string, string>>): string[] {
  const missing = new Map(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text)]));
  const overlap = Math.max(...[...missing.values()].map((needle) => needle.length));
  const piece = Buffer.alloc(PIECE_BYTES);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const { start, end } of writableParts(pid)) {
      for (let at = start; at < end; at += PIECE_BYTES - overlap) {
        const bytes = readPart(memory, piece, at, Math.min(PIECE_BYTES, end - at));
        for (const [name, needle] of missing)
          if (piece.subarray(0, bytes).includes(needle)) missing.delete(name);
      }
    }
  } finally {
    closeSync(memory);
  }
  return Object.keys(texts).filter((name) => !missing.has(name));
}

function writableParts(pid: number): { start: number; end: number }[] {
  const lines = readFileSync(`/proc/${pid}/maps`, 'utf8').matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw/gm);
  return [...lines].map(([, start = '', end = '']) => ({
    start: Number.parseInt(start, 16),
    end: Number.parseInt(end, 16),
  }));
}

/** Pages that are reserved but were never touched cannot be read. */
function readPart(memory: number, piece: Buffer, position: number, bytes: number): number {
  try {
    return readSync(memory, piece, 0, bytes, position);
  } catch {
    return 0;
  }
}
