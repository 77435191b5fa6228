// How a client's connection is reset, whatever waits to be written to it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { listen } from '#helpers/listen.js';
import { within } from '#helpers/wait-for.js';
import { resetClient } from '#src/daemon/endpoint/reset.js';

for (const ends of [false, true]) {
  const what = ends ? 'bytes and an end' : 'bytes';
  test(`P8: a client that ${what} wait for sees a reset, not an end`, async (t) => {
    const server = createServer({ allowHalfOpen: true });
    const port = await listen(server);
    t.after(() => void server.close());
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const client = connect({ port, host: '127.0.0.1' }).pause();
    t.after(() => void client.destroy());
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => client.once('error', resolve));
    const [socket] = await within(accepted, { what: 'the connection' });
    socket.on('error', () => {});
    socket.write(Buffer.alloc(32_000_000));
    if (ends) socket.end();
    assert.notEqual(socket.writableLength, 0);
    resetClient(socket);
    client.resume();
    const error = await within(failed, { what: 'the reset' });
    assert.equal(error.code, 'ECONNRESET');
  });
}
