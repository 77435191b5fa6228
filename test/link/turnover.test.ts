import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runNodeForJson } from '#helpers/run-node.js';
import { TurnoverMap, TurnoverSet } from '#src/link/turnover.js';

describe('a map with much turnover', () => {
  test('behaves as a Map in any order of calls', () => {
    const [turnover, model] = [new TurnoverMap<number, number>(), new Map<number, number>()];
    let random = 1;
    for (let step = 0; step < 20_000; step += 1) {
      random = (random * 48_271) % 2_147_483_647;
      const key = random % 200;
      if (random % 3 === 0) {
        turnover.set(key, step);
        model.set(key, step);
      } else {
        assert.equal(turnover.delete(key), model.delete(key));
      }
      assert.equal(turnover.size, model.size);
      assert.equal(turnover.get(key), model.get(key));
      assert.equal(turnover.has(key), model.has(key));
      if (step % 500 === 0) assert.deepEqual([...turnover], [...model]);
    }
    assert.deepEqual([...turnover.keys()], [...model.keys()]);
    assert.deepEqual([...turnover.values()], [...model.values()]);
    turnover.clear();
    assert.deepEqual([turnover.size, ...turnover], [0]);
  });

  test('gives nothing that was deleted while it is iterated over, however much was', () => {
    const keys = Array.from({ length: 1_000 }, (_, key) => key);
    const map = new TurnoverMap<number, number>();
    for (const key of keys) map.set(key, key);
    const seen: number[] = [];
    for (const key of map.keys()) {
      seen.push(key);
      // From the other end, until nothing is left between.
      map.delete(keys.length - seen.length);
    }
    assert.deepEqual(seen, keys.slice(0, keys.length / 2));
  });
});

test('a set with much turnover keeps what was added, in order', () => {
  const set = new TurnoverSet<string>();
  for (const item of ['a', 'b', 'a', 'c']) set.add(item);
  assert.deepEqual([set.size, set.has('b'), set.delete('b'), set.delete('b')], [3, true, true, false]);
  assert.deepEqual([...set], ['a', 'c']);
  set.clear();
  assert.deepEqual([set.size, ...set], [0]);
});

test('what was deleted is freed without a full garbage collection, unlike with a Map', async () => {
  const script = (made: string) => `
    import { PerformanceObserver, constants } from 'node:perf_hooks';
    import { TurnoverMap } from '#src/link/turnover.js';
    const map = ${made};
    for (let id = 0; id < 16; id += 1) map.set(id, { id });
    // The map is as old as that of a server that has run for a while.
    gc();
    let [full, all] = [0, 0];
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries()) {
        all += 1;
        if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) full += 1;
      }
    });
    observer.observe({ entryTypes: ['gc'] });
    for (let turn = 0; turn < 60; turn += 1) {
      for (let count = 0; count < 500; count += 1) {
        const id = turn * 500 + count + 16;
        map.set(id, { id, much: new Array(500).fill(id) });
        map.delete(id - 16);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    // The last collections are told of in turns of their own.
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    console.log(JSON.stringify({ full, all }));
  `;
  const counts = async (made: string) =>
    (await runNodeForJson(script(made), {
      nodeArguments: ['--expose-gc', '--max-semi-space-size=4'],
    })) as { full: number; all: number };
  const [turnover, plain] = [await counts('new TurnoverMap()'), await counts('new Map()')];
  assert.ok(turnover.all > 5, `${turnover.all} collections`);
  assert.ok(turnover.full < plain.full, `${turnover.full} full collections, ${plain.full} with a Map`);
});
