// P6, issue 4: `writtenAt`, by which a successor finds the byte from which it goes on, counts what the peer gets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import { encodeFrame, FRAME_TYPES } from '#src/protocol/frame-codec.js';
import { PROTOCOL_VERSION } from '#src/protocol/limits.js';
import { WireClient, WireLink } from '../fuzz/wire-client.ts';
import { makePlace } from './named-joins.ts';

const place = makePlace({ behaviour: { kind: 'silent' } });

test('P6: a write that the death of its process has cut off does not count for the next holder', async (t) => {
  const one = place.holder();
  const peer = await place.open(one, 'cut off');
  await one.tell({ do: 'write', as: 'cut off', text: 'abc' });
  await one.tell({ do: 'release', as: 'cut off' });
  const session = async () => {
    const found = (await place.daemon.sessions()).find(({ name }) => name === 'cut off');
    return found as { bufferedBytes: number; holders: unknown[] };
  };
  const { link, lane, writtenAt } = await attach();
  assert.equal(writtenAt, 3);
  // Not marked as the end of its write: another frame is to follow.
  const payload = Buffer.alloc(1_000, 'x');
  lane.socket.write(encodeFrame({ type: FRAME_TYPES.DATA, flags: 0, offset: 0, payload }));
  await waitFor(async () => (await session()).bufferedBytes >= 1_000, { what: 'the frame' });
  lane.socket.destroy();
  link.client.socket.destroy();
  await waitFor(async () => (await session()).holders.length === 0, { what: 'its end' });
  assert.equal((await attach()).writtenAt, 3);
  assert.equal(peer.received(), 'abc');

  async function attach() {
    const link = await WireLink.open(t, place.daemon.directory);
    const lane = await WireClient.open(t, place.daemon.directory);
    lane.send({
      ...{ call: 'attach', protocol: PROTOCOL_VERSION, process: link.processId, lane: 1 },
      ...{ handle: 'cut off', wait: 5_000, socket: {} },
    });
    const { framed } = (await lane.message()) as { framed: { writtenAt: number } };
    return { link, lane, writtenAt: framed.writtenAt };
  }
});
