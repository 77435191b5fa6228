// The calls about endpoints on the wire: what a client in any language may ask, and what it is refused.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileScope, type Scope } from '#helpers/scope.js';
import { exchange } from '#helpers/streams.js';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Arena, makeArena } from '../../fuzz/arena.ts';

const scope = fileScope();
let arena: Arena;
before(async () => {
  arena = await makeArena(scope);
});

const fields = (changes: object = {}) => ({
  endpoint: 1,
  listen: { host: '127.0.0.1', port: 0, path: null },
  kind: 'raw',
  key: arena.key,
  keepHost: false,
  unsafeListen: false,
  ...changes,
});

function plain(t: Scope, path: string) {
  const client = connect(path);
  client.on('error', () => {});
  t.after(() => void client.destroy());
  return client;
}

test('a refused call says why, and opens nothing', async (t) => {
  const link = await arena.link();
  const directory = tempDir(t);
  const at = (listen: object) => ({ listen: { host: null, port: null, path: null, ...listen } });
  const path = join(directory, 'a.sock');
  assert.equal((await link.call('endpoint', fields(at({ path })))).rc, 1);
  const other = { endpoint: 2 };
  const refused: [string, object, string][] = [
    ['endpoint', fields(), 'ERR_TLSHUB_PROTOCOL'],
    ['endpoint', fields({ ...other, ...at({ path }) }), 'EADDRINUSE'],
    ['endpoint', fields({ ...other, ...at({ host: '0.0.0.0', port: 0 }) }), 'ERR_TLSHUB_INVALID_CALL'],
    ['endpoint', fields({ ...other, ...at({ host: 'localhost', port: 0 }) }), 'ERR_TLSHUB_INVALID_CALL'],
    [
      'endpoint',
      fields({ ...other, ...at({ host: 'localhost', port: 0 }), unsafeListen: true }),
      'ERR_TLSHUB_INVALID_CALL',
    ],
    ['endpoint', fields({ ...other, ...at({ path: 'relative' }) }), 'ERR_TLSHUB_INVALID_CALL'],
    ['endpoint', fields({ ...other, ...at({ path: '\0abstract' }) }), 'ERR_TLSHUB_INVALID_CALL'],
    ['endpoint', fields({ ...other, ...at({}) }), 'ERR_TLSHUB_INVALID_CALL'],
    ['endpoint', fields({ ...other, kind: 'udp' }), 'ERR_TLSHUB_INVALID_CALL'],
    ['endpoint', fields({ ...other, key: { ...arena.key, ca: 'a'.repeat(64) } }), 'ERR_TLSHUB_BLOB_MISSING'],
    ['closeEndpoint', { endpoint: 2, deadline: 0 }, 'ERR_TLSHUB_PROTOCOL'],
  ];
  for (const [name, call, code] of refused) {
    const reply = await link.call(name, call);
    assert.deepEqual([reply.rc, (reply.error as { code?: string }).code], [-1, code], JSON.stringify(call));
  }
  const { status } = (await link.call('status')) as unknown as { status: { endpoints: { total: number }[] } };
  // Not even a look whether somebody listens there has come to the door.
  assert.deepEqual(
    status.endpoints.map(({ total }) => total),
    [0],
  );
  await link.call('closeEndpoint', { endpoint: 1, deadline: 0 });
});

test('a door closes with its link, and a number is free again when it is closed', async (t) => {
  const link = await arena.link();
  const path = join(tempDir(t), 'a.sock');
  const call = fields({ listen: { host: null, port: null, path } });
  for (const _ of [1, 2]) {
    assert.deepEqual((await link.call('endpoint', call)).address, path);
    assert.equal(await exchange(plain(t, path), 'hello'), 'ok hello');
    assert.equal((await link.call('closeEndpoint', { endpoint: 1, deadline: 0 })).rc, 1);
    assert.equal(existsSync(path), false);
  }
  await link.call('endpoint', call);
  const client = plain(t, path);
  assert.equal(await exchange(client, 'hello'), 'ok hello');
  const ended = once(client.resume(), 'close');
  link.client.socket.destroy();
  await waitFor(() => !existsSync(path), { what: 'the door to close' });
  await ended;
});
