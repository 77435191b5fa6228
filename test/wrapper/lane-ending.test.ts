import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TlshubError } from '#src/errors.js';
import { LaneEnding } from '#src/wrapper/lane-ending.js';

const draining = { rc: -1, error: new TlshubError('ERR_TLSHUB_DRAINING') } as const;
const lost = { rc: -1, error: new TlshubError('ERR_TLSHUB_DAEMON_LOST') } as const;

test('the daemon’s last word stays, though its link is lost before the lane has ended', () => {
  const ending = new LaneEnding();
  ending.learn(draining);
  ending.learn(lost);
  assert.equal(ending.known, draining);
});

test('behind an end in order a last word may come, and a lost link counts as one', () => {
  for (const last of [draining, lost]) {
    const ending = new LaneEnding();
    ending.learn({ rc: 0 });
    ending.learn(last);
    assert.equal(ending.known, last);
  }
});
