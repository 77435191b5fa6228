// P14 of the calls about servers: what does not fit is refused, nobody reaches the server of another process, and a
// port with misbehaving clients goes on.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import fc from 'fast-check';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { type Arena, codeIn, makeArena } from './arena.ts';
import {
  identityOf,
  type ListenChanges,
  listenFields,
  type Message,
  putCa,
  secureContext,
  type WireClient,
  type WireLink,
} from './wire-client.ts';

const PROTOCOL = 'ERR_TLSHUB_PROTOCOL';
const INVALID = 'ERR_TLSHUB_INVALID_CALL';

/** Opens a port with the arena's certificate; answers its number. */
async function listen(arena: Arena, link: WireLink, changes: ListenChanges = {}): Promise<number> {
  const reply = await link.call('listen', fieldsFor(arena, changes));
  assert.equal(reply.rc, 1, JSON.stringify(reply));
  return (reply as { address: { port: number } }).address.port;
}

function fieldsFor(arena: Arena, { server, ...changes }: ListenChanges = {}): Message {
  return listenFields({ ...changes, server: { ...identityOf(arena.identity), ...server } });
}

/** A client of a port, gone after the test. */
function clientOf(t: Scope, port: number, servername = ''): TLSSocket {
  const client = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false });
  client.on('error', () => {});
  t.after(() => void client.destroy());
  return client;
}

/** The next session that is offered on a link. */
async function offerOn(link: WireLink): Promise<string> {
  return String((await link.client.messageWith('event', 'offer')).handle);
}

/** Takes a session; answers the lane with its reply. */
async function attach(arena: Arena, link: WireLink, lane: number, handle: string) {
  const client = await arena.open();
  const holder = { process: link.processId, lane };
  client.send({ call: 'attach', protocol: 1, ...holder, handle, wait: 0, socket: {} });
  return { lane: client, reply: await client.message() };
}

/** One session from a client of the port to a raw lane of the worker, and bytes on it both ways. */
async function exchange(t: Scope, arena: Arena, link: WireLink, port: number, lane: number): Promise<void> {
  const client = clientOf(t, port);
  const { lane: raw, reply } = await attach(arena, link, lane, await offerOn(link));
  assert.equal(reply.rc, 1, JSON.stringify(reply));
  client.write('ping');
  assert.equal((await raw.bytes(4)).toString(), 'ping');
  raw.sendRaw('pong');
  const [chunk] = await within(once(client, 'data'), { what: 'the answer' });
  assert.equal(String(chunk), 'pong');
  client.destroy();
  await raw.end();
  raw.socket.destroy();
}

test('P14: calls about servers that do not fit, or mean nothing, are refused; the link and its server go on', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const port = await listen(arena, link);
  await arena.lane(link, 1);
  await arena.named(link, 2, 'named');
  const context = secureContext('', identityOf(arena.identity));
  const fields = (changes: ListenChanges) => fieldsFor(arena, { listener: 2, ...changes });
  const junk = Buffer.from('junk').toString('base64');
  const refused: [name: string, fields: object, code: string | RegExp][] = [
    ['listen', {}, INVALID],
    ['listen', fields({ listener: 0 }), INVALID],
    ['listen', fields({ listener: 1 }), PROTOCOL],
    ['listen', fields({ address: { port: 65_536 } }), INVALID],
    ['listen', fields({ address: { port: -1 } }), INVALID],
    ['listen', fields({ address: { backlog: 65_536 } }), INVALID],
    ['listen', fields({ address: { port }, adopts: true, server: { requestCert: true } }), 'EADDRINUSE'],
    ['listen', fields({ address: { port, exclusive: true } }), 'EADDRINUSE'],
    ['listen', fields({ address: { port: arena.origin.port } }), 'EADDRINUSE'],
    ['listen', fields({ address: { host: '192.0.2.1' } }), 'EADDRNOTAVAIL'],
    ['listen', fields({ address: { path: '/nowhere/at/all', port: null } }), /^(ENOENT|EACCES)$/],
    ['listen', fields({ server: { key: [{ data: junk, passphrase: null }] } }), /^ERR_(OSSL|SSL)_/],
    ['listen', fields({ server: { cert: [junk] } }), /^ERR_(OSSL|SSL)_/],
    ['listen', fields({ server: { ca: 'f'.repeat(64) } }), 'ERR_TLSHUB_BLOB_MISSING'],
    ['listen', fields({ server: { ciphers: 'nonsense' } }), /^ERR_/],
    ['listen', fields({ server: { minVersion: 'TLSv9' } }), /^ERR_/],
    ['listen', fields({ server: { handshakeTimeout: 0 } }), INVALID],
    ['listen', fields({ ticketKeys: junk }), /^ERR_/],
    ['listen', fields({ contexts: [{ servername: '', context }] }), INVALID],
    ['listen', fields({ contexts: [{ servername: 'a', context: { ...context, cert: [junk] } }] }), /^ERR_/],
    ['listen', fields({ group: { balance: 'most' } }), INVALID],
    ['listen', fields({ group: { linger: 2 ** 31 } }), INVALID],
    ['listen', fields({ group: { name: 'a\nb' } }), INVALID],
    ['unlisten', { listener: 2, linger: true }, PROTOCOL],
    ['unlisten', { listener: 1 }, INVALID],
    ['setAdopts', { listener: 2, adopts: true }, PROTOCOL],
    ['setContext', { listener: 2, context }, PROTOCOL],
    ['setContext', { listener: 1, context: {} }, INVALID],
    ['setContext', { listener: 1, context: { ...context, cert: [junk] } }, /^ERR_(OSSL|SSL)_/],
    ['setContext', { listener: 1, context: { ...context, ca: 'f'.repeat(64) } }, 'ERR_TLSHUB_BLOB_MISSING'],
    ['addContext', { listener: 2, servername: 'a', context }, PROTOCOL],
    ['addContext', { listener: 1, servername: 'a'.repeat(256), context }, INVALID],
    ['addContext', { listener: 1, servername: 'a', context: { ...context, cert: [junk] } }, /^ERR_/],
    ['setTicketKeys', { listener: 2, keys: junk }, PROTOCOL],
    ['setTicketKeys', { listener: 1, keys: junk }, /^ERR_/],
    ['decline', { handle: 'x'.repeat(257) }, INVALID],
    ['handOff', { lane: 3, sent: 0, received: 0 }, 'ERR_TLSHUB_NOT_LEASED'],
    ['handOff', { lane: 1, sent: 0, received: 0 }, 'ERR_TLSHUB_NOT_DETACHABLE'],
    ['handOff', { lane: 2, sent: 0, received: 0 }, 'ERR_TLSHUB_NOT_DETACHABLE'],
    ['handOff', { lane: 1, sent: -1, received: 0 }, INVALID],
  ];
  for (const [name, given, code] of refused) {
    const reply = await link.call(name, given);
    const shown = `${name} ${JSON.stringify(given).slice(0, 400)}: ${JSON.stringify(reply)}`;
    assert.equal(reply.rc, -1, shown);
    if (typeof code === 'string') assert.equal(codeIn(reply), code, shown);
    else assert.match(String(codeIn(reply)), code, shown);
    assert.ok(!JSON.stringify(reply).includes(junk), shown);
  }
  await exchange(t, arena, link, port, 4);
  await arena.undisturbed();
});

test("P14: the daemon's own events about servers end the link that sends them", async (t) => {
  const arena = await makeArena(t);
  const handle = `tlshub1.${'0'.repeat(16)}.${'0'.repeat(32)}`;
  for (const event of [
    { event: 'offer', listener: 1, handle, adopted: false },
    { event: 'question', listener: 1, question: 1, kind: 'sni' },
    { event: 'listener-end', listener: 1, error: { message: 'x' } },
    { event: 'answer', question: 0 },
    { event: 'answer', question: 1, context: {} },
  ]) {
    const link = await arena.link();
    link.client.send(event);
    assert.equal(codeIn(await link.client.message()), PROTOCOL, JSON.stringify(event));
    assert.equal((await link.client.end()).length, 0);
  }
  await arena.undisturbed();
});

test('P14: answers that nobody asked for are ignored, and wrong ones fail one handshake', async (t) => {
  const arena = await makeArena(t);
  const owner = await arena.link();
  const other = await arena.link();
  const asks = { sni: true, alpn: false, ocsp: false };
  const port = await listen(arena, owner, { server: { asks } });
  const context = secureContext('', identityOf(arena.identity));
  const junk = Buffer.from('junk').toString('base64');
  other.tell('answer', { question: 999_999 });
  for (const answer of [
    { context: { ...context, cert: [junk] } },
    { context: { ...context, ca: 'f'.repeat(64) } },
    { error: { message: 'no such name', code: 'EXAMPLE' } },
    { protocol: 'h2', response: junk, context: { ...context, minVersion: 'TLSv9' } },
  ]) {
    clientOf(t, port, 'a.example');
    const { question } = await owner.client.messageWith('event', 'question');
    other.tell('answer', { question, error: { message: 'not asked' } });
    assert.equal((await other.call('status')).rc, 1);
    owner.tell('answer', { question, ...answer });
    assert.equal((await owner.client.messageWith('event', 'client-error')).listener, 1);
    owner.tell('answer', { question, context });
  }
  clientOf(t, port, 'a.example');
  const { question } = await owner.client.messageWith('event', 'question');
  owner.tell('answer', { question, context });
  const { reply } = await attach(arena, owner, 1, await offerOn(owner));
  assert.equal(reply.rc, 1);
  await arena.undisturbed();
});

test('P14: a listener number means a server of its own link only', async (t) => {
  const arena = await makeArena(t);
  const owner = await arena.link();
  const port = await listen(arena, owner);
  const other = await arena.link();
  const context = secureContext('', identityOf(arena.identity));
  for (const [name, fields] of [
    ['unlisten', { linger: false }],
    ['setAdopts', { adopts: true }],
    ['setContext', { context }],
    ['addContext', { servername: '*', context }],
    ['setTicketKeys', { keys: Buffer.alloc(48).toString('base64') }],
  ] as const) {
    assert.equal(codeIn(await other.call(name, { listener: 1, ...fields })), PROTOCOL, name);
  }
  const client = clientOf(t, port);
  const handle = await offerOn(owner);
  assert.equal((await other.call('decline', { handle })).rc, 1, 'what is not offered to it is ignored');
  const { reply } = await attach(arena, owner, 1, handle);
  assert.equal(reply.rc, 1);
  assert.equal(client.destroyed, false);
  await arena.undisturbed();
});

test('P14: a worker that takes nothing it is offered is left out, and the clients are served by another', async (t) => {
  const arena = await makeArena(t);
  const deaf = await arena.link();
  const port = await listen(arena, deaf);
  const able = await arena.link();
  assert.equal(await listen(arena, able, { address: { port } }), port);
  const taken = new Set<number>();
  // Both are offered sessions at first: one of them never takes any.
  for (let lane = 1; lane <= 4; lane += 1) {
    clientOf(t, port);
    const { reply } = await attach(arena, able, lane, await offerOn(able));
    assert.equal(reply.rc, 1);
    taken.add(lane);
  }
  assert.equal(taken.size, 4);
  await arena.undisturbed();
});

test('P14: a worker may decline all it is offered, and each handle is good once', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const port = await listen(arena, link);
  for (let count = 0; count < 5; count += 1) {
    const client = clientOf(t, port);
    const handle = await offerOn(link);
    assert.equal((await link.call('decline', { handle })).rc, 1);
    await waitFor(() => client.closed, { what: 'the end of the client' });
    const { reply } = await attach(arena, link, count + 1, handle);
    assert.match(String(codeIn(reply)), /^ERR_TLSHUB_HANDLE_(UNKNOWN|STALE)$/);
    assert.equal((await link.call('decline', { handle })).rc, 1);
  }
  await exchange(t, arena, link, port, 20);
  await arena.undisturbed();
});

test('P14: whatever clients send in place of a handshake, the port serves the next one', async (t) => {
  const arena = await makeArena(t);
  const link = await arena.link();
  const port = await listen(arena, link);
  const garbage = [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.from(`1603010005${'ff'.repeat(5)}`, 'hex'),
    Buffer.alloc(20_000, 'x'),
    Buffer.from('15030300020228', 'hex'),
    Buffer.alloc(0),
  ];
  for (const bytes of garbage) {
    const client = connectPlain(port, '127.0.0.1');
    client.on('error', () => {});
    client.end(bytes);
    client.resume();
    const told = await link.client.messageWith('event', 'client-error');
    assert.equal(told.listener, 1);
    // A connection that is gone has no address any more, as with node:tls.
    if (codeIn(told) === 'ECONNRESET') assert.ok(bytes.length < 10);
    else assert.match(`${codeIn(told)} ${told.remoteAddress}`, /^ERR_SSL_\w+ 127\.0\.0\.1$/);
    await waitFor(() => client.closed, { what: 'the end of the client' });
  }
  await exchange(t, arena, link, port, 1);
  await arena.undisturbed();
});

test('P14: links that end in the middle of a listen leave no port open', async (t) => {
  const arena = await makeArena(t);
  const directory = tempDir(t);
  for (let count = 0; count < 50; count += 1) {
    const link = await arena.link();
    const path = join(directory, `socket-${count % 5}`);
    link.client.send({ call: 'listen', id: 2, ...fieldsFor(arena, { address: { path, port: null } }) });
    if (count % 2 === 0) link.client.socket.destroy();
    else link.client.socket.end();
  }
  await arena.undisturbed();
});

/** Values of all kinds. */
const anyValue = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, 1, -1, 0.5, 2 ** 53, '', 'x', '*', '.'.repeat(300), [], {}),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.jsonValue({ maxDepth: 2 }),
);

const RUNS = 1_500;

test(`P14: ${RUNS} changed calls about a server that is there`, async (t) => {
  const arena = await makeArena(t);
  let link = await arena.link();
  await putCa(link, arena.ca);
  const context = secureContext(arena.ca, identityOf(arena.identity));
  // Where it listens stays: a changed address could be any port of this machine.
  const { address, ...rest } = fieldsFor(arena, { contexts: [{ servername: '*.example', context }] });
  const calls: [string, Message][] = [
    ['listen', rest],
    ['unlisten', { listener: 1, linger: false }],
    ['setAdopts', { listener: 1, adopts: true }],
    ['setContext', { listener: 1, context }],
    ['addContext', { listener: 1, servername: '*.example', context }],
    ['setTicketKeys', { listener: 1, keys: Buffer.alloc(48).toString('base64') }],
  ];
  let done = 0;
  const change = fc.tuple(fc.constantFrom(...calls), fc.nat(), anyValue);
  await fc.assert(
    fc.asyncProperty(change, async ([[name, fields], at, value]) => {
      const copy = JSON.parse(JSON.stringify(fields)) as Message;
      const places = placesIn(copy);
      const [holder, field] = places[at % places.length] as [Message, string];
      // A port that lingers for days would outlive the test.
      holder[field] = field === 'linger' && typeof value === 'number' ? 0 : value;
      const reply = await link.call(name, { ...copy, ...(name === 'listen' && { address }) });
      if (reply.rc === 1) done += 1;
      else assert.match(JSON.stringify(reply.error), /"message":"./, `${name} ${field}`);
      if (done % 20 === 19) {
        link.client.socket.destroy();
        link = await arena.link();
        done += 1;
      }
    }),
    { numRuns: RUNS },
  );
  assert.ok(done > 20, `${done} calls were carried out`);
  await arena.undisturbed();
});

/** Every place of a value: what holds it, and under which name. */
function placesIn(holder: Message): [Message, string][] {
  return Object.entries(holder).flatMap(([name, value]) => [
    [holder, name] as [Message, string],
    ...(typeof value === 'object' && value !== null ? placesIn(value as Message) : []),
  ]);
}

test('P14: a hundred workers come and go while clients connect, and every client is served or told', async (t) => {
  const arena = await makeArena(t);
  const first = await arena.link();
  const port = await listen(arena, first, { group: { linger: 10_000 } });
  const clients: TLSSocket[] = [];
  const lanes: WireClient[] = [];
  for (let count = 0; count < 100; count += 1) {
    const link = await arena.link();
    await listen(arena, link, { address: { port }, group: { linger: 10_000 } });
    if (count % 5 === 0) clients.push(clientOf(t, port));
    if (count % 2 === 0) link.client.socket.destroy();
    else link.client.sendRaw('nonsense\n');
  }
  // The one that stays takes everything that the others left.
  for (let lane = 1; lanes.length < clients.length; lane += 1) {
    const taken = await attach(arena, first, lane, await offerOn(first));
    if (taken.reply.rc === 1) lanes.push(taken.lane);
  }
  for (const client of clients) client.destroy();
  await first.call('unlisten', { listener: 1, linger: false });
  await arena.undisturbed();
});
