// What handshakes ask of workers: a worker that has stopped costs a handshake a moment and not its life.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LinkPeer } from '#src/daemon/link-peer.js';
import { Questions } from '#src/daemon/server/questions.js';
import type { Worker } from '#src/daemon/server/workers.js';

/** A worker whose link keeps the numbers of what it was asked. */
function makeWorker(listener: number) {
  const asked: number[] = [];
  const link = { send: ({ question }: { question: number }) => asked.push(question) } as unknown as LinkPeer;
  const worker: Worker = {
    ...{
      link,
      listener,
      adopts: false,
      survive: null,
      socket: {},
      load: 0,
      lastTurn: 0,
      signMs: 0,
      stalled: false,
      hasClosed: false,
    },
  };
  return { worker, link, asked };
}

test('P15: another worker is asked when the first does not answer, and who answers first counts', async () => {
  const [stopped, other] = [makeWorker(1), makeWorker(2)];
  const questions = new Questions((asked) =>
    [stopped, other].map(({ worker }) => worker).find((worker) => !asked.has(worker)),
  );
  const answer = questions.ask({ kind: 'sni', servername: 'a.test' }, 5_000);
  const [question = 0] = stopped.asked;
  questions.sweep(Date.now() + 1_000, 2_000);
  assert.deepEqual(other.asked, []);
  questions.sweep(Date.now() + 2_000, 2_000);
  assert.deepEqual(other.asked, [question]);
  // There is nobody else.
  questions.sweep(Date.now() + 9_000, 2_000);
  assert.deepEqual(stopped.asked, [question]);
  assert.equal(questions.answer(makeWorker(3).link, { event: 'answer', question }), false);
  assert.equal(questions.answer(stopped.link, { event: 'answer', question, protocol: 'late' }), true);
  assert.equal((await answer).protocol, 'late');
  assert.equal(questions.answer(other.link, { event: 'answer', question }), false);
});

test('P15: what was asked when nobody could answer is asked as soon as somebody can', async () => {
  const { worker, link, asked } = makeWorker(1);
  let awake = false;
  const questions = new Questions((before) => (awake && !before.has(worker) ? worker : undefined));
  const answer = questions.ask({ kind: 'sni', servername: 'a.test' }, 5_000);
  assert.deepEqual(asked, []);
  awake = true;
  questions.serve();
  assert.equal(asked.length, 1);
  questions.answer(link, { event: 'answer', question: asked[0] ?? 0 });
  assert.deepEqual(await answer, { event: 'answer', question: asked[0] });
});
