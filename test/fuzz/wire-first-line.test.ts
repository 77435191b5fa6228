// P14 at the door: what a connection may say first, and what it gets for everything else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import { MAX_LINE_BYTES } from '#src/protocol/limits.js';
import { codeIn, makeArena } from './arena.ts';
import { hello, leaseCall, newProcessId, WireLink } from './wire-client.ts';

const PROTOCOL = 'ERR_TLSHUB_PROTOCOL';

/** A TLS ClientHello, as of a client that took the socket for a server. */
const CLIENT_HELLO = Buffer.from(`16030100c8010000c40303${'5a'.repeat(196)}`, 'hex');

/** First lines that make no sense; each is answered with one closing line. */
const SENSELESS: Readonly<Record<string, string | Uint8Array>> = {
  'an empty line': '\n',
  'white space': '   \n',
  'no JSON': 'hello\n',
  HTTP: 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'a TLS ClientHello': Buffer.concat([CLIENT_HELLO, Buffer.from('\n')]),
  'half of an object': '{"call":"hello"\n',
  'a list': '[]\n',
  'a string': '"hello"\n',
  null: 'null\n',
  'zero bytes': Buffer.from('0000000a', 'hex'),
  'no UTF-8': Buffer.from('7bfffe7d0a', 'hex'),
  'an empty object': '{}\n',
  'a call without an id': '{"call":"hello"}\n',
  'a call with a strange id': '{"call":"hello","id":{"a":1}}\n',
  'a reply': '{"reply":1,"rc":1}\n',
  'an event': '{"event":"lane-end","lane":1,"rc":-1,"bytes":0}\n',
  'a call before hello': '{"call":"status","id":1}\n',
  'a line over the limit': `${'x'.repeat(MAX_LINE_BYTES)}\n`,
  'a line over the limit, without end': 'x'.repeat(MAX_LINE_BYTES + 1),
};

test('P14: senseless first lines get one closing line each, and disturb nobody', async (t) => {
  const arena = await makeArena(t);
  for (const [what, bytes] of Object.entries(SENSELESS)) {
    const client = await arena.open();
    client.sendRaw(bytes);
    const line = await client.message();
    assert.deepEqual([Object.keys(line), line.rc, codeIn(line)], [['rc', 'error'], -1, PROTOCOL], what);
    assert.equal((await client.end()).length, 0, what);
  }
  await arena.undisturbed();
});

test('P14: a hello that is refused is answered, then the closing line says it again', async (t) => {
  const arena = await makeArena(t);
  const right = hello(newProcessId(), 7);
  const refused: [change: object, code: string][] = [
    [{ protocol: 0 }, 'ERR_TLSHUB_VERSION'],
    [{ protocol: 2 }, 'ERR_TLSHUB_VERSION'],
    [{ protocol: '1' }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ process: 'me' }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ process: right.process?.toString().toUpperCase().replaceAll(/\d/g, 'A') }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ more: true }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ version: 'x'.repeat(65) }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ call: 'Hello' }, 'ERR_TLSHUB_UNKNOWN_CALL'],
  ];
  for (const [change, code] of refused) {
    const client = await arena.open();
    client.send({ ...right, ...change });
    const reply = await client.message();
    assert.deepEqual([reply.reply, reply.rc, codeIn(reply)], [7, -1, code], JSON.stringify(change));
    assert.equal(codeIn(await client.message()), code);
    await client.end();
  }
  await arena.undisturbed();
});

test('P14: the version error says what to do', async (t) => {
  const arena = await makeArena(t);
  const client = await arena.open();
  client.send({ ...hello(newProcessId()), protocol: 2, version: '9.9.9' });
  const { error } = (await client.message()) as { error: { message: string } };
  assert.match(error.message, /speaks protocol 1, the wrapper \(9\.9\.9\) 2; run "tlshub stop"/);
  await arena.undisturbed();
});

test('P14: a lane that is refused gets its reply, and the daemon goes on', async (t) => {
  const arena = await makeArena(t);
  const lease = leaseCall(arena.key);
  const handle = (generation: string) => `tlshub1.${generation}.${'0'.repeat(32)}`;
  const { generation } = (await arena.daemon.status()).status as { generation: string };
  const attach = { call: 'attach', protocol: 1, wait: 0, socket: {} };
  const refused: [line: object, code: string][] = [
    [{ ...lease, protocol: 2 }, 'ERR_TLSHUB_VERSION'],
    [{ ...lease, wait: -1 }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ ...lease, wait: 1e300 }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ ...lease, key: {} }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ ...lease, key: { ...arena.key, futureOption: null } }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ ...lease, key: { ...arena.key, ALPNProtocols: 'AA==' } }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ ...lease, socket: { ttl: 1 } }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ ...lease, process: newProcessId() }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ ...lease, key: { ...arena.key, ca: 'f'.repeat(64) } }, 'ERR_TLSHUB_BLOB_MISSING'],
    [{ ...lease, process: newProcessId(), lane: 1 }, PROTOCOL],
    [{ ...attach, handle: 'tlshub1.x' }, 'ERR_TLSHUB_HANDLE_INVALID'],
    [{ ...attach, handle: 'x'.repeat(257) }, 'ERR_TLSHUB_INVALID_CALL'],
    [{ ...attach, handle: handle('0'.repeat(16)) }, 'ERR_TLSHUB_HANDLE_STALE'],
    [{ ...attach, handle: handle(generation) }, 'ERR_TLSHUB_HANDLE_UNKNOWN'],
    [attach, 'ERR_TLSHUB_INVALID_CALL'],
  ];
  for (const [line, code] of refused) {
    const client = await arena.open();
    client.send(line);
    const reply = await client.message();
    assert.deepEqual([reply.rc, codeIn(reply)], [-1, code], JSON.stringify(line).slice(0, 80));
    assert.equal((await client.end()).length, 0);
  }
  assert.equal(arena.origin.counts.connections, 0);
  await arena.undisturbed();
});

test('P14: a key that node:tls refuses is answered with the error of node:tls', async (t) => {
  const arena = await makeArena(t);
  const refused: [change: object, code: string | undefined][] = [
    [{ minVersion: 'TLSv9' }, 'ERR_TLS_INVALID_PROTOCOL_VERSION'],
    [{ ciphers: 'no-such-cipher' }, 'ERR_SSL_NO_CIPHER_MATCH'],
    [{ localAddress: 'here' }, 'ERR_INVALID_IP_ADDRESS'],
    [{ sessionTimeout: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ autoSelectFamilyAttemptTimeout: Number.MAX_SAFE_INTEGER }, 'ERR_OUT_OF_RANGE'],
    [{ ticketKeys: 'AA==' }, 'ERR_INVALID_ARG_VALUE'],
    [{ key: [{ data: 'AA==', passphrase: null }] }, 'ERR_OSSL_UNSUPPORTED'],
  ];
  for (const [change, code] of refused) {
    const client = await arena.open();
    client.send(leaseCall({ ...arena.key, ...change }));
    const reply = await client.message();
    assert.deepEqual([reply.rc, codeIn(reply)], [-1, code], JSON.stringify(change));
  }
  await arena.undisturbed();
});

test('P14: whoever says nothing, or does not finish, is told so and dropped', async (t) => {
  const arena = await makeArena(t);
  const clients = await Promise.all(Array.from({ length: 200 }, () => arena.open()));
  for (const [index, client] of clients.entries()) if (index % 2 === 1) client.sendRaw('{"call":"hel');
  for (const client of clients) {
    assert.equal(codeIn(await client.message()), 'ERR_TLSHUB_HELLO_TIMEOUT');
    await client.end();
  }
  await arena.undisturbed();
});

test('P14: half a line and the end of the connection', async (t) => {
  const arena = await makeArena(t);
  const half = await arena.open();
  half.socket.end('{"call":"hel');
  assert.equal(codeIn(await half.message()), PROTOCOL);
  const gone = await arena.open();
  gone.sendRaw('{"call":"hel');
  gone.socket.destroy();
  const silent = await arena.open();
  silent.socket.end();
  assert.equal((await silent.end()).length, 0, 'a client that only looked is told nothing');
  await arena.undisturbed();
});

test('P14: a refused client that keeps its side open is dropped', async (t) => {
  const arena = await makeArena(t);
  const client = await arena.open();
  client.sendRaw('nonsense\n');
  await client.end();
  const flood = setInterval(() => client.sendRaw('x'.repeat(1_000)), 5);
  t.after(() => clearInterval(flood));
  await waitFor(() => client.closed, { what: 'the connection to be dropped' });
  await arena.undisturbed();
});

test('P14: at the limit of connections a client is told so; the others stay', async (t) => {
  const arena = await makeArena(t, { arguments: ['--max-connections', '6', '--hello-timeout', '10s'] });
  const patient = await Promise.all([arena.open(), arena.open(), arena.open()]);
  const links = [await arena.link()];
  const late = await arena.open();
  assert.equal(codeIn(await late.message()), 'ERR_TLSHUB_LIMIT');
  await late.end();
  for (const client of patient) client.socket.destroy();
  await waitFor(async () => (await arena.link().catch(() => undefined)) instanceof WireLink, {
    what: 'a free place',
  });
  assert.equal((await links[0]?.call('status'))?.rc, 1);
  await arena.undisturbed();
});

test('P14: a peer that can cause an event at will causes one line of log a minute', async (t) => {
  const arena = await makeArena(t);
  for (let count = 0; count < 20; count += 1) {
    const client = await arena.open();
    client.sendRaw('nonsense\n');
    await client.end();
  }
  const lines = arena.daemon
    .log()
    .split('\n')
    .filter((line) => line.includes('a connection was refused'));
  assert.equal(lines.length, 1, lines.join('\n'));
  await arena.undisturbed();
});
