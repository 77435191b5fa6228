// P6, P15, issue 4: the WebSocket example. Its log is read here as well: it says what every client must have seen.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { assertOneConversation, CLIENTS, dieAt, survive } from './survival.ts';

const COMMIT = '"call":"commit"';
const STATE = '"call":"setState"';

function subject(scope: Scope) {
  const logFile = join(tempDir(scope), 'chat.log');
  return { kind: 'websocket', program: 'websocket-chat/server.mjs', logFile, atOnce: 2 } as const;
}

test('P6/P15: websocket-chat: 200 clients see no close, no gap and no double over three deploys and two kill -9', async (t) => {
  const chat = subject(t);
  const survival = await survive(t, chat);
  assert.deepEqual(assertOneConversation(survival, CLIENTS), saidIn(chat.logFile));
  assert.equal(survival.processes, 6);
});

test('P6/P15: websocket-chat: a process may die at any point of the upgrade and of a message', async (t) => {
  const chat = subject(t);
  const survival = await dieAt(
    t,
    { ...chat, atOnce: 10 },
    {
      clients: 20,
      opening: [
        // The request was read, and nothing kept; the state was kept, and the request not committed; both, and no answer.
        { before: STATE, count: 3 },
        { before: COMMIT, count: 3 },
        { before: 'HTTP/1.1 101', count: 3 },
        { within: 'HTTP/1.1 101', count: 3 },
      ],
      talking: [
        // A message was logged, and not committed; half a frame was sent; half a record was logged.
        { before: COMMIT, count: 70 },
        { within: ': message', count: 700 },
        { withinAppend: 70 },
        // A place in the log was not kept.
        { before: STATE, count: 15 },
      ],
    },
  );
  assert.deepEqual(assertOneConversation(survival, 20), saidIn(chat.logFile));
  assert.equal(survival.processes, 9);
});

function saidIn(logFile: string): string[] {
  return readFileSync(logFile, 'utf8')
    .split('\n')
    .flatMap((line) => {
      // A record that a death has cut off.
      if (!line.endsWith('}')) return [];
      const { name, text } = JSON.parse(line) as { name: string; text?: string };
      return text === undefined ? [] : [`${name}: ${text}`];
    });
}
