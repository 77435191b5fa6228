// P6, P15, issue 4: the MQTT example.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { assertOneConversation, CLIENTS, dieAt, survive } from './survival.ts';

const COMMIT = '"call":"commit"';
const STATE = '"call":"setState"';

function subject(scope: Scope) {
  const logFile = join(tempDir(scope), 'broker.log');
  return { kind: 'mqtt', program: 'mqtt-broker/server.mjs', logFile, atOnce: 1 } as const;
}

test('P6/P15: mqtt-broker: 200 clients see no close, no gap and no double over three deploys and two kill -9', async (t) => {
  const survival = await survive(t, subject(t));
  assertOneConversation(survival, CLIENTS);
  assert.equal(survival.processes, 6);
});

test('P6/P15: mqtt-broker: a process may die at any point of a packet', async (t) => {
  const survival = await dieAt(
    t,
    { ...subject(t), atOnce: 10 },
    {
      clients: 20,
      opening: [
        { before: STATE, count: 1 },
        // Of CONNECT, the first publication, and a subscription; none is committed.
        { before: COMMIT, count: 1 },
        { before: COMMIT, count: 2 },
        { before: COMMIT, count: 10 },
      ],
      talking: [
        { before: COMMIT, count: 70 },
        { within: ': message', count: 700 },
        { withinAppend: 70 },
        { before: STATE, count: 15 },
      ],
    },
  );
  assertOneConversation(survival, 20);
  assert.equal(survival.processes, 9);
});
