// The links by process id, with a link as the daemon makes it on a real connection: lanes may come before their link.
import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor, within } from '#helpers/wait-for.js';
import type { CallServices } from '#src/daemon/calls.js';
import { LinkPeer } from '#src/daemon/link-peer.js';
import { Links } from '#src/daemon/links.js';
import { Logger } from '#src/daemon/log.js';
import { hello, newProcessId } from '../fuzz/wire-client.ts';

/** A door at which links arrive, and the links that have said hello. */
async function makeDoor(t: TestContext) {
  const links = new Links();
  const path = join(tempDir(t), 'socket');
  const log = new Logger('silent', () => {});
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    new LinkPeer({
      socket,
      identity: { uid: 1, pid: null },
      log,
      // A hello asks for nothing else.
      services: { handles: { generation: '0'.repeat(16) } } as CallServices,
      onHello: (link) => links.add(link),
      onAnswer: () => {},
      onMessage: () => {},
      onClose: (link) => links.remove(link),
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const arrive = (processId: string) => {
    const socket = connect(path);
    sockets.push(socket);
    socket.on('error', () => {});
    socket.resume();
    socket.write(`${JSON.stringify(hello(processId))}\n`);
    return socket;
  };
  return { links, arrive };
}

test('a link is known from its hello to its end', async (t) => {
  const { links, arrive } = await makeDoor(t);
  const processId = newProcessId();
  assert.equal(links.get(processId), undefined);
  const socket = arrive(processId);
  await waitFor(() => links.size === 1, { what: 'the link' });
  assert.equal(links.get(processId)?.processId, processId);
  assert.deepEqual(links.all(), [links.get(processId)]);
  socket.destroy();
  await waitFor(() => links.size === 0, { what: 'the end of the link' });
  assert.equal(links.get(processId), undefined);
});

test('all who wait for a link get it when it comes', async (t) => {
  const { links, arrive } = await makeDoor(t);
  const processId = newProcessId();
  const waiting = [1, 2, 3].map(() => links.await(processId, 10_000));
  const other = links.await(newProcessId(), 50);
  arrive(processId);
  const found = await within(Promise.all(waiting), { what: 'the link' });
  assert.deepEqual(new Set(found), new Set([links.get(processId)]));
  assert.equal(await links.await(processId, 0), links.get(processId));
  assert.equal(await other, undefined);
});

test('P18: who waits for a link that does not come waits no longer than told', async (t) => {
  const { links } = await makeDoor(t);
  const startMs = performance.now();
  assert.equal(await links.await(newProcessId(), 100), undefined);
  assert.ok(performance.now() - startMs >= 95);
});

test('P14: a second link with the same process id is refused, and the first one stays', async (t) => {
  const { links, arrive } = await makeDoor(t);
  const processId = newProcessId();
  const first = arrive(processId);
  await waitFor(() => links.size === 1, { what: 'the link' });
  const link = links.get(processId);
  const second = arrive(processId);
  await waitFor(() => second.closed, { what: 'the end of the second' });
  assert.equal(links.get(processId), link);
  assert.equal(first.readyState, 'open');
});
