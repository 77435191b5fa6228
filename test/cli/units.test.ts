// Times, sizes and numbers of the command line: what is read, what is refused, and that they are shown as they are read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesText, durationText } from '#src/cli/output.js';
import {
  durationFlag,
  parseCount,
  parseDescriptor,
  parseDuration,
  parsePositiveDuration,
  parseSessionId,
  parseSize,
  sizeFlag,
} from '#src/cli/units.js';

const INVALID = { code: 'commander.invalidArgument' };

test('times have a unit', () => {
  const cases = {
    '0': 0,
    '250ms': 250,
    '30s': 30_000,
    '1.5m': 90_000,
    '24h': 86_400_000,
    '24d': 2_073_600_000,
  };
  for (const [text, ms] of Object.entries(cases)) assert.equal(parseDuration(text), ms, text);
  for (const text of ['', '5', '-5s', '5 s', '5S', '5w', 's', '1e3s', '25d', '.5s', '5s ']) {
    assert.throws(() => parseDuration(text), INVALID, text);
  }
  assert.throws(() => parsePositiveDuration('0'), INVALID);
  assert.throws(() => parsePositiveDuration('0.1ms'), INVALID);
  assert.equal(parsePositiveDuration('1ms'), 1);
});

test('sizes may have a unit', () => {
  const cases = {
    '1': 1,
    '65536': 65_536,
    '10B': 10,
    '64KiB': 65_536,
    '256MiB': 268_435_456,
    '1GiB': 1_073_741_824,
  };
  for (const [text, bytes] of Object.entries(cases)) assert.equal(parseSize(text), bytes, text);
  for (const text of ['', '0', '1MB', '1kb', '-1', '1.5MiB', '1 MiB', '9999999999GiB']) {
    assert.throws(() => parseSize(text), INVALID, text);
  }
});

test('numbers, descriptors and ids are checked', () => {
  assert.equal(parseCount('17'), 17);
  for (const text of ['', '0', '-1', '1.5', '1e3', '0x10', '99999999999999999']) {
    assert.throws(() => parseCount(text), INVALID, text);
  }
  assert.equal(parseDescriptor('3'), 3);
  for (const text of ['0', '2', 'x', '3.5']) assert.throws(() => parseDescriptor(text), INVALID, text);
  assert.equal(parseSessionId('s12'), 's12');
  for (const text of ['12', 's0', 's', 'S1', 's1 ', '../s1'])
    assert.throws(() => parseSessionId(text), INVALID, text);
});

test('what a flag shows is what it reads', () => {
  for (const ms of [0, 1, 999, 1_000, 1_500, 60_000, 90_000, 600_000, 86_400_000]) {
    assert.equal(parseDuration(durationFlag(ms)), ms);
  }
  for (const bytes of [1, 1_023, 1_024, 65_537, 268_435_456]) assert.equal(parseSize(sizeFlag(bytes)), bytes);
  assert.deepEqual([90_000, 600_000, 86_400_000].map(durationFlag), ['90s', '10m', '1d']);
  assert.equal(sizeFlag(268_435_456), '256MiB');
});

test('times and sizes for people', () => {
  const times = [0, 999, 1_000, 61_000, 3_600_000, 3_661_000, 90_061_000, 86_401_000].map(durationText);
  assert.deepEqual(times, ['0ms', '999ms', '1s', '1m 1s', '1h', '1h 1m', '1d 1h', '1d']);
  const sizes = [0, 1, 1_023, 1_024, 1_536, 1_048_575, 1_048_576, 5 * 1024 ** 5].map(bytesText);
  assert.deepEqual(sizes, ['0 B', '1 B', '1023 B', '1 KiB', '1.5 KiB', '1024 KiB', '1 MiB', '5120 TiB']);
});
