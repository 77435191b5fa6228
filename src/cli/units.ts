// Times, sizes and numbers as they are written on the command line. Each parser throws commander's InvalidArgumentError
// with what would be right, which becomes a usage error that names the flag.
import { InvalidArgumentError } from 'commander';
import { MAX_SHARDS } from '../protocol/shard.ts';

const DURATION_UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const SIZE_UNITS = { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** Longest time that a timer of Node can run, rounded down to whole days, in milliseconds. */
const MAX_DURATION_MS = 24 * DURATION_UNITS_MS.d;

/** Milliseconds of a text such as `250ms`, `30s`, `1.5m`, `24h`, `7d`; `0` needs no unit. */
export function parseDuration(text: string): number {
  if (text === '0') return 0;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('A time has a unit: 250ms, 30s, 10m, 24h or 7d.');
  const [, number, unit] = match;
  const ms = Math.round(Number(number) * DURATION_UNITS_MS[unit as keyof typeof DURATION_UNITS_MS]);
  if (ms > MAX_DURATION_MS) throw new InvalidArgumentError('The longest time is 24d.');
  return ms;
}

/** Like {@link parseDuration}, but not 0. */
export function parsePositiveDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms === 0) throw new InvalidArgumentError('The time must be more than 0.');
  return ms;
}

/** Bytes of a text such as `65536`, `64KiB`, `256MiB`, `1GiB`. */
export function parseSize(text: string): number {
  const match = /^(\d+)(B|KiB|MiB|GiB)?$/.exec(text);
  if (match === null)
    throw new InvalidArgumentError('A size is a number of bytes, or has a unit: 64KiB, 256MiB, 1GiB.');
  const [, number, unit = ''] = match;
  const bytes = Number(number) * SIZE_UNITS[unit as keyof typeof SIZE_UNITS];
  if (bytes === 0 || !Number.isSafeInteger(bytes))
    throw new InvalidArgumentError('The size is out of range.');
  return bytes;
}

/** A whole number from 1. */
export function parseCount(text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(count) || count < 1)
    throw new InvalidArgumentError('A whole number from 1 is needed.');
  return count;
}

/** A number of daemon processes. */
export function parseShards(text: string): number {
  const shards = parseCount(text);
  if (shards > MAX_SHARDS) throw new InvalidArgumentError(`At most ${MAX_SHARDS} are allowed.`);
  return shards;
}

/** The number of one of them, from 1. */
export function parseShard(text: string): number {
  const shard = parseCount(text);
  if (shard >= MAX_SHARDS) throw new InvalidArgumentError(`It must be below ${MAX_SHARDS}.`);
  return shard;
}

/** An id as `tlshub sessions` lists it. */
export function parseSessionId(text: string): string {
  if (!/^s(?:[1-9]\d?-)?[1-9]\d*$/.test(text))
    throw new InvalidArgumentError('An id looks like s12; "tlshub sessions" lists them.');
  return text;
}

/** A descriptor that was inherited, not one of the standard three. */
export function parseDescriptor(text: string): number {
  const fd = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(fd) || fd < 3) throw new InvalidArgumentError('A descriptor from 3 is needed.');
  return fd;
}

/** Milliseconds as {@link parseDuration} reads them, in the largest unit that needs no fraction. */
export function durationFlag(ms: number): string {
  const units = Object.entries(DURATION_UNITS_MS).reverse();
  const [unit, unitMs] = units.find(([, size]) => ms >= size && ms % size === 0) ?? ['ms', 1];
  return ms === 0 ? '0' : `${ms / unitMs}${unit}`;
}

/** Bytes as {@link parseSize} reads them. */
export function sizeFlag(bytes: number): string {
  const units = Object.entries(SIZE_UNITS).reverse();
  const [unit, size] = units.find(([, unitBytes]) => bytes % unitBytes === 0) ?? ['', 1];
  return `${bytes / size}${unit}`;
}
