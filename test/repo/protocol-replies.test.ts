// The replies that PROTOCOL.md describes against those that a real daemon gives: the same fields, in both directions.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { connect } from 'node:tls';
import { fileScope } from '#helpers/scope.js';
import { startShards } from '#helpers/shards.js';
import { ShardLink } from '#src/daemon/shards/shard-link.js';
import { linkCalls } from '#src/protocol/messages.js';
import { VERSION } from '#src/version.js';
import { type Arena, makeArena } from '../fuzz/arena.ts';
import {
  identityOf,
  leaseCall,
  listenFields,
  type Message,
  secureContext,
  type WireLink,
} from '../fuzz/wire-client.ts';
import { tableAfter, textOf } from './repository.ts';

const page = textOf('PROTOCOL.md');

/** The reply fields that the page gives for a call. */
function replyFieldsOf(call: string): string[] {
  const start = page.indexOf(`\n### \`${call}\`\n`, page.indexOf('\n## Calls on a link\n'));
  const text = page.slice(start, page.indexOf('\n### ', start + 5));
  const [, table = ''] = text.split('| reply field |');
  if (table === '') {
    assert.match(text, /^Reply: no further fields\.$/m, call);
    return [];
  }
  return [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, field = '']) => field);
}

/** Fields that a call's reply has only in some cases. */
const SOMETIMES: Readonly<Record<string, readonly string[]>> = {
  release: ['reason'],
  detach: ['handle'],
};

const scope = fileScope();
let arena: Arena;
let link: WireLink;
const replies = new Map<string, Message>();

/** Makes a call and keeps its reply. */
async function call(name: string, fields: object = {}): Promise<Message> {
  const reply = await link.call(name, fields);
  assert.equal(reply.rc, 1, `${name}: ${JSON.stringify(reply)}`);
  replies.set(name, reply);
  return reply;
}

before(async () => {
  arena = await makeArena(scope);
  link = await arena.link();
  replies.set('hello', await hello());
  await arena.lane(link, 1);
  await call('set', { lane: 1, noDelay: true });
  await call('export', { process: link.processId, lane: 1, length: 8, label: 'test', context: null });
  const old = await arena.open();
  old.send(leaseCall({ ...arena.key, maxVersion: 'TLSv1.2' }, link, 6));
  assert.equal((await old.message()).rc, 1);
  await call('renegotiate', { lane: 6 });
  await call('release', { lane: 1, sent: 0, received: 0 });
  await arena.lane(link, 2);
  await call('detach', { lane: 2, sent: 0 });
  await call('detached', { lane: 2, unread: 0 });
  const { lane: framed } = await arena.named(link, 3, 'first');
  await call('setState', { lane: 3, state: 'Zm9v' });
  await call('commit', { lane: 3, offset: 0 });
  await call('setName', { lane: 3, name: 'second' });
  framed.socket.end();
  link.tell('lane-end', { lane: 3, rc: -1, bytes: 0 });
  await call('put', { sha256: 'f'.repeat(64), offset: 0, data: 'AA==', last: false });
  const listen = { host: '127.0.0.1', port: 0, path: null };
  const door = { endpoint: 1, listen, kind: 'raw', keepHost: false, unsafeListen: false };
  await call('endpoint', { ...door, key: arena.key });
  await call('status');
  await call('closeEndpoint', { endpoint: 1, deadline: 0 });
  await call('reload');
  await call('sessions');
  await call('inspect', { session: 's1' });
  await arena.lane(link, 4);
  await call('refuse', { lane: 4 });
  await arena.named(link, 5, 'third');
  await call('park', { lane: 5, sent: 0, received: 0, run: ['true'], cwd: '/', stdio: false, timeout: null });
  const { reply: open } = await arena.lane(link, 7);
  await call('close', { session: open.session });
  await serve();
  await call('claimName', { name: 'elsewhere', shard: 1 });
  await call('disclaimName', { name: 'elsewhere' });
  await supervise();
  await call('drain', { deadline: 0 });
});

/** What the first of two shards says to the second. */
async function supervise(): Promise<void> {
  const { directory } = await startShards(scope, 2);
  const second = await ShardLink.open(directory, 1, { shardOnLost: () => {} });
  replies.set('supervise', await second.call('supervise', { shards: 2, version: VERSION }));
  second.close();
}

/** The calls about servers: two clients, of which one is declined and the other handed off. */
async function serve(): Promise<void> {
  const context = secureContext('', identityOf(arena.identity));
  await call('listen', listenFields({ server: context }));
  await call('setAdopts', { listener: 1, adopts: true });
  await call('setContext', { listener: 1, context });
  await call('addContext', { listener: 1, servername: '*.example', context });
  await call('setTicketKeys', { listener: 1, keys: Buffer.alloc(48).toString('base64') });
  const { address } = replies.get('listen') as { address: { port: number } };
  const offered = async () => {
    const client = connect({ port: address.port, rejectUnauthorized: false });
    client.on('error', () => {});
    scope.after(() => void client.destroy());
    return (await link.client.messageWith('event', 'offer')).handle as string;
  };
  await call('decline', { handle: await offered() });
  const lane = await arena.open();
  const attach = { call: 'attach', protocol: 1, process: link.processId, lane: 9, wait: 0, socket: {} };
  lane.send({ ...attach, handle: await offered() });
  assert.ok('framed' in (await lane.message()));
  await call('handOff', { lane: 9, sent: 0, received: 0 });
  await call('unlisten', { listener: 1, linger: false });
}

async function hello(): Promise<Message> {
  const client = await arena.open();
  client.send({ call: 'hello', id: 1, protocol: 1, process: 'c'.repeat(32), pid: 1, version: 'test' });
  return client.message();
}

test('every call is answered with the fields that the page gives', () => {
  for (const name of Object.keys(linkCalls)) {
    const reply = replies.get(name);
    assert.ok(reply !== undefined, `${name} was not made`);
    const seen = Object.keys(reply).filter((field) => field !== 'reply' && field !== 'rc');
    const expected = replyFieldsOf(name).filter(
      (field) => seen.includes(field) || !SOMETIMES[name]?.includes(field),
    );
    assert.deepEqual(seen, expected, name);
  }
});

test('the reports have the fields that the page gives', () => {
  const fields = (heading: string) => tableAfter(page, heading).map(([field]) => field);
  const { sessions } = replies.get('sessions') as { sessions: object[] };
  const { session } = replies.get('inspect') as { session: object };
  const { status } = replies.get('status') as { status: object };
  assert.ok(sessions.length > 0);
  for (const report of sessions) assert.deepEqual(Object.keys(report), fields('### Session report'));
  assert.deepEqual(Object.keys(session), [...fields('### Session report'), 'key']);
  assert.deepEqual(Object.keys(status), fields('### Status report'));
});
