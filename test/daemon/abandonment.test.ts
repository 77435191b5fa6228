// A request that is not wanted any more: told once, to those who listen then.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Abandonment } from '#src/daemon/abandonment.js';

test('listeners hear of it once, one that left does not, and one may leave while they are told', () => {
  const abandonment = new Abandonment();
  const heard: string[] = [];
  const leaving = () => {
    heard.push('leaving');
    abandonment.removeEventListener('abort', staying);
  };
  const staying = () => void heard.push('staying');
  const gone = () => void heard.push('gone');
  abandonment.addEventListener('abort', gone);
  abandonment.addEventListener('abort', leaving);
  abandonment.addEventListener('abort', staying);
  abandonment.removeEventListener('abort', gone);
  assert.equal(abandonment.signal.aborted, false);
  abandonment.abort();
  abandonment.abort();
  assert.equal(abandonment.signal.aborted, true);
  // As with an AbortSignal, who leaves while others are told is not told any more.
  assert.deepEqual(heard, ['leaving']);
});
