// P6, P15, issue 4: the example of a plain line protocol.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLIENTS, dieAt, type Survival, survive } from './survival.ts';

const SUBJECT = { kind: 'line', program: 'line-server/server.mjs', atOnce: 10, receivedForOne: 1 } as const;

test('P6/P15: line-server: 200 clients see no close, no gap and no double over three deploys and two kill -9', async (t) => {
  const survival = await survive(t, SUBJECT);
  assertAnswers(survival, CLIENTS);
  assert.equal(survival.processes, 6);
});

test('P6/P15: line-server: a process may die at any point of an answer', async (t) => {
  const survival = await dieAt(t, SUBJECT, {
    clients: 20,
    opening: [],
    talking: [
      // The answer was sent, and nothing kept; the state was kept, and the line not committed; half an answer was sent.
      { before: '"call":"setState"', count: 40 },
      { before: '"call":"commit"', count: 40 },
      { within: ': message', count: 40 },
    ],
  });
  assertAnswers(survival, 20);
  assert.equal(survival.processes, 4);
});

function assertAnswers({ report, said }: Survival, clients: number): void {
  assert.deepEqual(report.failures, []);
  assert.equal(report.lists.length, clients);
  for (const { received, indexes } of report.lists) {
    const answers = Array.from({ length: said }, (_, number) => {
      return `${number + 1} ${indexes[0]}: message ${number + 1}`;
    });
    assert.deepEqual(received, answers);
  }
}
