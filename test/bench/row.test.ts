// What is made of the figures of a row: medians, ranges, and ratios to the best peer, round by round.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median, spread } from '../../bench/statistics.ts';
import { comparisonOf } from './samples.ts';

test('the median of an even number of values is between the two in the middle', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([7]), 7);
  assert.ok(Number.isNaN(median([])));
  assert.deepEqual(spread([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
});

test('the best peer is the one with the least median, where less is better', () => {
  const { figures } = comparisonOf('cpu', {
    one: [30, 30, 30],
    two: [20, 20, 90],
    'tlshub raw': [10, 40, 45],
  });
  const [one, two, own] = figures;
  assert.equal(two?.toBestPeer, undefined);
  assert.deepEqual(one?.toBestPeer, { peer: 'two', median: 1.5, min: 1 / 3, max: 1.5 });
  assert.deepEqual(own?.toBestPeer, { peer: 'two', median: 0.5, min: 0.5, max: 2 });
});

test('the best peer is the one with the greatest median, where more is better', () => {
  const { figures } = comparisonOf('rate', { one: [100], two: [200], 'tlshub raw': [300] });
  assert.deepEqual(
    figures.map(({ toBestPeer }) => toBestPeer?.median),
    [0.5, undefined, 1.5],
  );
});

test('tlshub is never the peer that others are compared with', () => {
  const { figures } = comparisonOf('cpu', { 'tlshub raw': [1], 'tlshub http': [2] });
  assert.deepEqual(
    figures.map(({ toBestPeer }) => toBestPeer),
    [undefined, undefined],
  );
});

test('there is no ratio to a difference that is not above zero', () => {
  const { figures } = comparisonOf('cpu', { one: [-5, 3], 'tlshub raw': [4, 4] });
  assert.deepEqual(
    figures.map(({ toBestPeer }) => toBestPeer),
    [undefined, undefined],
  );
});

test('a contender without figures is in no comparison', () => {
  const { figures } = comparisonOf('cpu', { one: [], 'tlshub raw': [4] });
  assert.deepEqual(
    figures.map(({ contender }) => contender),
    ['tlshub raw'],
  );
});
