// P14 on a link that has said hello: a call that does not fit is refused and the link lives; what cannot be answered
// ends the link, with a reason.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import { MAX_BLOB_BYTES, MAX_BLOB_CHUNK_BYTES } from '#src/protocol/limits.js';
import { codeIn, makeArena } from './arena.ts';
import { hello, newProcessId } from './wire-client.ts';

const PROTOCOL = 'ERR_TLSHUB_PROTOCOL';

test('P14: calls that are unknown or do not fit are refused, and the link lives', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const refused: [name: string, fields: object, code: string][] = [
    ['nonsense', {}, 'ERR_TLSHUB_UNKNOWN_CALL'],
    ['', {}, 'ERR_TLSHUB_UNKNOWN_CALL'],
    ['lease', { key: arena.key }, 'ERR_TLSHUB_UNKNOWN_CALL'],
    ['constructor', {}, 'ERR_TLSHUB_UNKNOWN_CALL'],
    ['release', {}, 'ERR_TLSHUB_INVALID_CALL'],
    ['release', { lane: 0, sent: 0, received: 0 }, 'ERR_TLSHUB_INVALID_CALL'],
    ['release', { lane: 1, sent: -1, received: 0 }, 'ERR_TLSHUB_INVALID_CALL'],
    ['release', { lane: 1, sent: 1e308, received: 0 }, 'ERR_TLSHUB_INVALID_CALL'],
    ['release', { lane: 1, sent: '0', received: 0 }, 'ERR_TLSHUB_INVALID_CALL'],
    ['status', { extra: 1 }, 'ERR_TLSHUB_INVALID_CALL'],
    ['inspect', { session: '1' }, 'ERR_TLSHUB_INVALID_CALL'],
    ['inspect', { session: 's999' }, 'ERR_TLSHUB_SESSION_UNKNOWN'],
    ['close', { session: 's999' }, 'ERR_TLSHUB_SESSION_UNKNOWN'],
    ['release', { lane: 1, sent: 0, received: 0 }, 'ERR_TLSHUB_NOT_LEASED'],
    ['detach', { lane: 1, sent: 0 }, 'ERR_TLSHUB_NOT_LEASED'],
    ['detached', { lane: 1, unread: 0 }, 'ERR_TLSHUB_NOT_LEASED'],
    ['refuse', { lane: 1 }, 'ERR_TLSHUB_NOT_LEASED'],
    ['set', { lane: 1, noDelay: true }, 'ERR_TLSHUB_NOT_LEASED'],
    ['renegotiate', { lane: 1 }, 'ERR_TLSHUB_NOT_LEASED'],
    [
      'export',
      { process: newProcessId(), lane: 1, length: 1, label: 'x', context: null },
      'ERR_TLSHUB_NOT_OWNER',
    ],
    ['drain', { deadline: -1 }, 'ERR_TLSHUB_INVALID_CALL'],
  ];
  for (const [name, fields, code] of refused) {
    const reply = await link.call(name, fields);
    assert.deepEqual([reply.rc, codeIn(reply)], [-1, code], `${name} ${JSON.stringify(fields).slice(0, 60)}`);
  }
  assert.equal((await link.call('status')).rc, 1);
  await arena.undisturbed();
});

test('P14: what cannot be answered ends the link with a closing line', async (t) => {
  const arena = await makeArena(t);
  const ends: Readonly<Record<string, string>> = {
    'no JSON': 'nonsense',
    'no object': '[1]',
    'no id': '{"call":"status"}',
    'the id 0': '{"call":"status","id":0}',
    'an id of half': '{"call":"status","id":0.5}',
    'an id beyond counting': '{"call":"status","id":9007199254740993}',
    'an id that is text': '{"call":"status","id":"1"}',
    'an unknown event': '{"event":"nonsense"}',
    'an event without its fields': '{"event":"lane-end","lane":1}',
    'a lane-end with the rc of a success': '{"event":"lane-end","lane":1,"rc":1,"bytes":0}',
    'a lane-end that counts backwards': '{"event":"lane-end","lane":1,"rc":0,"bytes":-1}',
    "the daemon's own event": '{"event":"drain","deadline":0}',
    "the daemon's other event": '{"event":"ticket","lane":1,"ticket":""}',
    'an event and a call in one': '{"event":"x","call":"status","id":1}',
    'a reply': '{"reply":1,"rc":1}',
  };
  for (const [what, line] of Object.entries(ends)) {
    const link = await arena.link();
    link.client.sendRaw(`${line}\n{"call":"status","id":99}\n`);
    const closing = await link.client.message();
    assert.deepEqual([closing.rc, codeIn(closing)], [-1, PROTOCOL], what);
    assert.equal((await link.client.end()).length, 0, `${what}: nothing behind it is answered`);
  }
  await arena.undisturbed();
});

test('P14: the end of a link for a fault ends its leases', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const { lane } = await arena.lane(link);
  lane.sendRaw('hello\n');
  assert.equal((await lane.bytes(9)).toString(), 'ok hello\n');
  link.client.sendRaw('nonsense\n');
  await link.client.end();
  lane.socket.end();
  await lane.end();
  await waitFor(() => arena.origin.counts.open === 0, { what: 'the end of the session' });
  await arena.undisturbed();
});

test('P14: a second hello ends the link; a hello with the id of another ends only itself', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  link.client.send(hello(link.processId, 50));
  const reply = await link.client.message();
  assert.deepEqual([reply.reply, codeIn(reply)], [50, PROTOCOL]);
  assert.equal(codeIn(await link.client.message()), PROTOCOL);
  await link.client.end();

  const victim = await arena.link();
  const { lane } = await arena.lane(victim);
  const impostor = await arena.open();
  impostor.send(hello(victim.processId, 3));
  impostor.send({ call: 'release', id: 4, lane: 1, sent: 0, received: 0 });
  assert.equal(codeIn(await impostor.message()), PROTOCOL);
  assert.equal(codeIn(await impostor.message()), PROTOCOL);
  assert.equal((await impostor.end()).length, 0);
  lane.sendRaw('still here\n');
  assert.equal((await lane.bytes(14)).toString(), 'ok still here\n');
  assert.equal((await victim.call('status')).rc, 1);
  await arena.undisturbed();
});

test('P14: a lane number means a lane of its own link only', async (t) => {
  const arena = await makeArena(t);
  const owner = await arena.link();
  const { lane, reply } = await arena.lane(owner, 7);
  const other = await arena.link();
  for (const [name, fields] of [
    ['release', { lane: 7, sent: 0, received: 0 }],
    ['detach', { lane: 7, sent: 0 }],
    ['refuse', { lane: 7 }],
  ] as const) {
    assert.equal(codeIn(await other.call(name, fields)), 'ERR_TLSHUB_NOT_LEASED', name);
  }
  other.tell('lane-end', { lane: 7, rc: -1, bytes: 0 });
  const answered = await other.client.message();
  assert.deepEqual(answered, { event: 'lane-end', lane: 7, rc: -1, bytes: 0 });
  other.tell('lane-end', { lane: 7, rc: 0, bytes: 0 });
  assert.equal((await other.call('status')).rc, 1, 'a clean end of an unknown lane is not answered');
  lane.sendRaw('mine\n');
  assert.equal((await lane.bytes(8)).toString(), 'ok mine\n');
  assert.equal(typeof reply.session, 'string');
  await arena.undisturbed();
});

test('P14: chunks of a blob that are out of order, too long or wrong are refused, and the upload is dropped', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const blob = Buffer.alloc(MAX_BLOB_CHUNK_BYTES + 10, 'a');
  const sha256 = createHash('sha256').update(blob).digest('hex');
  const chunk = (offset: number, length: number, last: boolean) => ({
    sha256,
    offset,
    data: blob.subarray(offset, offset + length).toString('base64'),
    last,
  });
  const INVALID = 'ERR_TLSHUB_INVALID_CALL';
  const first = chunk(0, MAX_BLOB_CHUNK_BYTES, false);
  const second = chunk(MAX_BLOB_CHUNK_BYTES, 10, true);
  const refused: [what: string, calls: object[]][] = [
    ['without a beginning', [second]],
    ['with a gap', [chunk(0, 100, false), chunk(101, 10, true)]],
    ['twice the same', [chunk(0, 100, false), chunk(50, 50, false)]],
    ['of another blob', [chunk(0, 100, false), { ...chunk(100, 10, false), sha256: 'f'.repeat(64) }]],
    ['too long', [{ ...first, data: blob.toString('base64') }]],
    ['empty, and not the last', [{ ...first, data: '' }]],
    ['not the blob of that name', [{ ...first, last: true }]],
    ['beyond the longest blob', [{ ...first, offset: MAX_BLOB_BYTES }]],
  ];
  for (const [what, calls] of refused) {
    const replies = [];
    for (const call of calls) replies.push(await link.call('put', call));
    assert.equal(codeIn(replies.at(-1)), INVALID, what);
    assert.deepEqual(
      replies.slice(0, -1).map(({ rc }) => rc),
      calls.slice(0, -1).map(() => 1),
      what,
    );
  }
  assert.equal((await link.call('put', first)).rc, 1);
  assert.equal((await link.call('put', second)).rc, 1);
  await arena.undisturbed();
});

test('P14: a blob may have 8 MiB, and no link may send more', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const data = Buffer.alloc(MAX_BLOB_CHUNK_BYTES).toString('base64');
  const put = (offset: number) => link.call('put', { sha256: '0'.repeat(64), offset, data, last: false });
  for (let offset = 0; offset < MAX_BLOB_BYTES; offset += MAX_BLOB_CHUNK_BYTES) {
    assert.equal((await put(offset)).rc, 1, `at ${offset}`);
  }
  assert.equal(codeIn(await put(MAX_BLOB_BYTES)), 'ERR_TLSHUB_INVALID_CALL');
  await arena.undisturbed();
});

test('P14: a client that calls and never reads is dropped when 16 MiB wait for it', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  link.client.socket.pause();
  const calls = Buffer.from('{"call":"status","id":1}\n'.repeat(4_000));
  // As long as the daemon takes them; it stops when it has given the link up.
  const pump = () => {
    while (!link.client.socket.destroyed && link.client.socket.writable && link.client.socket.write(calls));
  };
  link.client.socket.on('drain', pump);
  pump();
  await waitFor(async () => ((await arena.daemon.status()).status as { links: number }).links === 2, {
    what: 'the link to be dropped (the calm one and that of the question remain)',
    deadlineMs: 30_000,
  });
  assert.match(arena.daemon.log(), /the peer does not read its messages/);
  await arena.undisturbed();
});

test('P14: an id used twice, and calls behind each other without waiting, are answered each', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  link.client.sendRaw('{"call":"status","id":5}\n'.repeat(50));
  for (let count = 0; count < 50; count += 1) {
    const reply = await link.client.message();
    assert.deepEqual([reply.reply, reply.rc], [5, 1]);
  }
  await arena.undisturbed();
});

test('P14: an answer still comes when the client has ended its side behind the call', async (t) => {
  const arena = await makeArena(t);
  const client = await arena.open();
  client.send(hello(newProcessId(), 1));
  client.socket.end('{"call":"status","id":2}\n');
  assert.equal((await client.message()).rc, 1);
  assert.equal((await client.message()).reply, 2);
  assert.equal((await client.end()).length, 0);
  await arena.undisturbed();
});
