// The writer of a trunk whose own end is over: what the other end has sent still comes.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { listen } from '#helpers/listen.js';
import { within } from '#helpers/wait-for.js';
import { TrunkWriter } from '#src/link/trunk-writer.js';
import { FRAME_TYPES } from '#src/protocol/frame-codec.js';

test('P6: a frame for a trunk that has ended does not lose what its worker has sent', async (t) => {
  const server = createServer({ allowHalfOpen: true });
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const worker = connect(await listen(server), '127.0.0.1');
  const [trunk] = await accepted;
  t.after(() => {
    for (const one of [worker, trunk, server]) 'destroy' in one ? one.destroy() : one.close();
  });
  const errors: Error[] = [];
  trunk.on('error', (error) => errors.push(error));
  worker.on('error', () => {}).resume();
  const writer = new TrunkWriter(trunk);
  trunk.end();
  writer.send({ lane: 2 ** 31, type: FRAME_TYPES.END, flags: 0, offset: 0 });
  writer.flush();
  worker.end('the last words');
  let text = '';
  trunk.on('data', (chunk) => {
    text += chunk;
  });
  await within(once(trunk, 'close'), { what: 'the end of the trunk' });
  assert.deepEqual([text, errors], ['the last words', []]);
});
