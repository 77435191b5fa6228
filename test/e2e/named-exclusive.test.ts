// Issue 3, `exclusive` mode: one holder at a time, others wait in the order in which they came; the name belongs to one
// session key; unread bytes, state and the end stay for the next holder. Real processes, a real daemon, a real origin.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { before, test } from 'node:test';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { listen } from '#helpers/listen.js';
import { pattern } from '#helpers/pattern.js';
import { fileScope } from '#helpers/scope.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { makeTestPki, type TestPki } from '../sharing/test-pki.ts';
import { Holder, type HolderOrder, type JoinedSession, OrderFailure } from './named-holders.ts';

const scope = fileScope();
let pki: TestPki;
let daemon: TestDaemon;
let origin: CountingOrigin;
let holders: [Holder, Holder, Holder];
before(async () => {
  pki = await makeTestPki();
  daemon = await startTestDaemon(scope);
  origin = await countingOrigin(scope, pki.good);
  const { directory } = daemon;
  holders = [new Holder(scope, directory), new Holder(scope, directory), new Holder(scope, directory)];
});

interface Wish {
  as?: string;
  shared?: object;
  [option: string]: unknown;
}

function connectTo(name: string, { as = name, shared = {}, ...tls }: Wish = {}): HolderOrder {
  const options = { port: origin.port, host: '127.0.0.1', servername: 'localhost', ca: pki.ca.cert, ...tls };
  return { do: 'connect', as, options: { ...options, shared: { name, fallback: false, ...shared } } };
}

function join(holder: Holder, name: string, wish: Wish = {}): Promise<JoinedSession> {
  return holder.tell<JoinedSession>(connectTo(name, wish));
}

const read = (holder: Holder, as: string, bytes: number) => holder.tell<string>({ do: 'read', as, bytes });

async function refused(work: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(work, new OrderFailure(code));
}

test('P1, issue 3: two processes that open the same name at the same moment cause one handshake', async () => {
  const before = { ...origin.counts };
  const [one, two] = await Promise.all([
    join(holders[0], 'same moment', { shared: { mode: 'broadcast' } }),
    join(holders[1], 'same moment', { shared: { mode: 'broadcast' } }),
  ]);
  assert.deepEqual([one.reused, two.reused].sort(), [false, true]);
  assert.equal(one.sessionId, two.sessionId);
  assert.equal(origin.counts.connections - before.connections, 1);
  for (const holder of holders.slice(0, 2)) await holder.tell({ do: 'end', as: 'same moment' });
});

test('issue 3: of many that want a name at once one holds it, and all get it in turn, one handshake in all', async () => {
  const before = { ...origin.counts };
  const served: string[] = [];
  const wants = holders.flatMap((holder, index) =>
    [0, 1, 2].map(async (round) => {
      const as = `crowd ${index} ${round}`;
      await join(holder, 'crowd', { as });
      served.push(as);
      assert.equal(served.length - released.length, 1, 'one holder at a time');
      await holder.tell({ do: 'write', as, text: `${as}\n` });
      assert.equal(await read(holder, as, 4 + as.length), `ok ${as}\n`);
      released.push(as);
      await holder.tell({ do: 'release', as });
    }),
  );
  const released: string[] = [];
  await Promise.all(wants);
  assert.equal(released.length, 9);
  assert.equal(origin.counts.connections - before.connections, 1);
});

test('issue 3: who waits is served first come, first served', async () => {
  const [one, two, three] = holders;
  await join(one, 'queue');
  const order: number[] = [];
  const waitingFor = async (count: number) => {
    await waitFor(
      async () => (await daemon.sessions()).find(({ name }) => name === 'queue')?.waiting === count,
      { what: `${count} waiting requests` },
    );
  };
  const wait = async (holder: Holder, place: number) => {
    await join(holder, 'queue', { as: `queue ${place}` });
    order.push(place);
    await holder.tell({ do: 'release', as: `queue ${place}` });
  };
  const waits = [wait(two, 1)];
  await waitingFor(1);
  waits.push(wait(three, 2));
  await waitingFor(2);
  waits.push(wait(two, 3));
  await waitingFor(3);
  await one.tell({ do: 'release', as: 'queue' });
  await Promise.all(waits);
  assert.deepEqual(order, [1, 2, 3]);
});

test('issue 3: a second process gets ERR_TLSHUB_SESSION_BUSY, at once or when `wait` is over', async () => {
  await join(holders[0], 'busy');
  await refused(join(holders[1], 'busy', { shared: { wait: 0 } }), 'ERR_TLSHUB_SESSION_BUSY');
  await refused(join(holders[1], 'busy', { shared: { wait: 50 } }), 'ERR_TLSHUB_SESSION_BUSY');
  await refused(
    holders[1].tell({ do: 'attach', as: 'busy', handle: 'busy', options: {} }),
    'ERR_TLSHUB_SESSION_BUSY',
  );
  await holders[0].tell({ do: 'write', as: 'busy', text: 'a\n' });
  assert.equal(await read(holders[0], 'busy', 5), 'ok a\n');
});

test('P2, issue 3: another key, mode or message rule under the same name is ERR_TLSHUB_NAME_IN_USE', async () => {
  await join(holders[0], 'in use');
  const different: Wish[] = [
    { minVersion: 'TLSv1.3' },
    { rejectUnauthorized: false },
    { ALPNProtocols: ['h2'] },
    { shared: { mode: 'turn' } },
    { shared: { messages: { delimiter: '\n' } } },
  ];
  for (const wish of different) await refused(join(holders[1], 'in use', wish), 'ERR_TLSHUB_NAME_IN_USE');
  const { connect } = await import('#src/index.js');
  process.env.TLSHUB_DIR = daemon.directory;
  const options = { port: origin.port, host: '127.0.0.1', servername: 'localhost', ca: pki.ca.cert };
  const socket = connect({ ...options, shared: { name: 'in use', mode: 'turn', fallback: false } });
  const error = await new Promise<Error>((resolve) => socket.once('error', resolve));
  assert.match(error.message, /"mode"/, 'the message says which option differs');
});

test('issue 3: the failure of an opener with other options is not mine', async () => {
  const silent = createServer();
  const reached = once(silent, 'connection');
  const port = await listen(silent);
  const failed = holders[0].tell(connectTo('other failure', { port }));
  const [connection] = (await reached) as [Socket];
  // The name is being opened now: whoever comes waits for that.
  const mine = join(holders[1], 'other failure');
  await daemon.sessions();
  connection.destroy();
  silent.close();
  await refused(failed, 'ECONNRESET');
  assert.equal((await mine).reused, false);
});

test('P6, issue 3: release leaves unread bytes, state and offset to the next holder', async () => {
  const [one, two] = holders;
  const opened = await join(one, 'left');
  assert.deepEqual([opened.reused, opened.resumedAt, opened.state], [false, 0, null]);
  await one.tell({ do: 'write', as: 'left', text: 'send 200000\n' });
  assert.equal(await read(one, 'left', 70_000), pattern(0, 70_000).toString('latin1'));
  await one.tell({ do: 'setState', as: 'left', text: 'logged in' });
  await one.tell({ do: 'release', as: 'left' });
  const joined = await join(two, 'left');
  assert.deepEqual([joined.reused, joined.resumedAt, joined.state], [true, 70_000, 'logged in']);
  assert.equal(await read(two, 'left', 130_000), pattern(70_000, 130_000).toString('latin1'));
});

test('P6: what a process has consumed and then destroyed its socket is not given again', async () => {
  const [one, two] = holders;
  await join(one, 'destroyed');
  await one.tell({ do: 'write', as: 'destroyed', text: 'send 100000\n' });
  for (let offset = 0; offset < 100_000; offset += 10_000) {
    const holder = (offset / 10_000) % 2 === 0 ? one : two;
    if (offset > 0) assert.equal((await join(holder, 'destroyed')).resumedAt, offset);
    assert.equal(await read(holder, 'destroyed', 10_000), pattern(offset, 10_000).toString('latin1'));
    await holder.tell({ do: 'destroy', as: 'destroyed' });
  }
});

test('issue 3: end() ends the session for all; the name is free again at once', async () => {
  const [one, two] = holders;
  const first = await join(one, 'ended');
  const waiting = join(two, 'ended');
  await waitFor(async () => (await daemon.sessions()).find(({ name }) => name === 'ended')?.waiting === 1, {
    what: 'the request that waits',
  });
  await one.tell({ do: 'end', as: 'ended' });
  await one.tell({ do: 'flow', as: 'ended' });
  const second = await waiting;
  assert.equal(second.reused, false);
  assert.notEqual(second.sessionId, first.sessionId);
});

test('issue 3: after end() the rest of the answer still comes, more than a window of it', async () => {
  const steps = [{ receiveLine: true }, { send: 1_000_000 }] as const;
  const patient = await countingOrigin(scope, { ...pki.good, behaviour: { kind: 'script', steps } });
  const [one] = holders;
  await join(one, 'half open', { port: patient.port });
  await one.tell({ do: 'write', as: 'half open', text: 'go on\n' });
  await one.tell({ do: 'end', as: 'half open' });
  await one.tell({ do: 'flow', as: 'half open' });
  let text = '';
  await waitFor(
    async () => {
      const { chunks, ended, error } = await one.report('half open');
      text += chunks.join('');
      assert.equal(error, undefined);
      return ended;
    },
    { what: () => `the end, after ${text.length} bytes` },
  );
  assert.equal(text.length, 1_000_000);
});

test('P6: both directions full at once: nothing is stuck, nothing is lost', async () => {
  const echo = await countingOrigin(scope, { ...pki.good, behaviour: { kind: 'echo' } });
  const [one] = holders;
  await join(one, 'both ways', { port: echo.port });
  const text = Buffer.concat([0, 1, 2, 3].map((part) => pattern(part * 750_000, 750_000))).toString('latin1');
  // Nobody reads while this is written: more than all windows and buffers on the way, but for the sockets' own.
  await one.tell({ do: 'startWriting', as: 'both ways', text });
  await one.tell({ do: 'startWriting', as: 'both ways', text: 'x'.repeat(300_000) });
  await one.tell({ do: 'startWriting', as: 'both ways', text: 'y' });
  let got = '';
  while (got.length < 3_300_001)
    got += await read(one, 'both ways', Math.min(250_000, 3_300_001 - got.length));
  assert.ok(got === `${text}${'x'.repeat(300_000)}y`);
});

test('P6, issue 3: with setEncoding what is consumed is counted in bytes, not in characters', async () => {
  const [one, two] = holders;
  await join(one, 'encoded');
  await one.tell({ do: 'flow', as: 'encoded', encoding: 'utf8' });
  const line = 'é€😀'.repeat(50);
  const bytes = Buffer.from(`${line}\n`).toString('latin1');
  for (let round = 0; round < 3; round++) await one.tell({ do: 'write', as: 'encoded', text: bytes });
  let text = '';
  await waitFor(
    async () => {
      text += (await one.report('encoded')).chunks.join('');
      return text.length === 3 * (line.length + 4);
    },
    { what: 'three lines' },
  );
  await one.tell({ do: 'pause', as: 'encoded' });
  await one.tell({ do: 'write', as: 'encoded', text: bytes });
  await waitFor(async () => (await one.report('encoded')).bytesRead === 4 * (3 + bytes.length), {
    what: 'the fourth line in the stream, untaken',
  });
  await one.tell({ do: 'release', as: 'encoded' });
  assert.equal((await join(two, 'encoded')).resumedAt, 3 * (3 + bytes.length));
  assert.equal(await read(two, 'encoded', 3 + bytes.length), `ok ${bytes}`);
});

test('issue 3: more than 256 KiB taken without a commit is ERR_TLSHUB_LIMIT, and all of it is given again', async () => {
  const [one, two] = holders;
  await join(one, 'uncommitted', { shared: { commit: 'manual' } });
  await one.tell({ do: 'write', as: 'uncommitted', text: 'send 600000\n' });
  await read(one, 'uncommitted', 262_144);
  await one.tell({ do: 'commit', as: 'uncommitted' });
  await read(one, 'uncommitted', 262_144);
  await one.tell({ do: 'flow', as: 'uncommitted' });
  await waitFor(async () => (await one.report('uncommitted')).error === 'ERR_TLSHUB_LIMIT', {
    what: 'ERR_TLSHUB_LIMIT',
  });
  assert.equal((await join(two, 'uncommitted')).resumedAt, 262_144);
  assert.equal(await read(two, 'uncommitted', 1_000), pattern(262_144, 1_000).toString('latin1'));
});

test('issue 3: a reader that commits each chunk before the next gets any number of bytes', async () => {
  const [one] = holders;
  await join(one, 'iterated', { shared: { commit: 'manual' } });
  await one.tell({ do: 'iterate', as: 'iterated', commits: true });
  await one.tell({ do: 'write', as: 'iterated', text: 'send 2000000\n' });
  let bytes = 0;
  await waitFor(
    async () => {
      bytes += (await one.report('iterated')).chunks.join('').length;
      return bytes === 2_000_000;
    },
    { what: () => `all bytes, not ${bytes}` },
  );
});

test('issue 3: a name can be given later, to a named and to a pooled session; a taken one is refused', async () => {
  const [one, two] = holders;
  await join(one, 'old name');
  await one.tell({ do: 'setName', as: 'old name', name: 'new name' });
  await refused(
    two.tell({ do: 'attach', as: 'x', handle: 'old name', options: {} }),
    'ERR_TLSHUB_NAME_UNKNOWN',
  );
  await one.tell({ do: 'release', as: 'old name' });
  assert.equal((await join(two, 'new name')).reused, true);
  await one.tell(connectTo('ignored', { as: 'pooled', shared: { name: undefined } }));
  await refused(one.tell({ do: 'setName', as: 'pooled', name: 'new name' }), 'ERR_TLSHUB_NAME_IN_USE');
  await refused(one.tell({ do: 'setName', as: 'pooled', name: 'a\nb' }), 'ERR_TLSHUB_NAME_INVALID');
  await one.tell({ do: 'setName', as: 'pooled', name: 'once pooled' });
  await one.tell({ do: 'release', as: 'pooled' });
  assert.equal((await join(two, 'once pooled')).reused, true);
});

test('issue 3: a handle takes a named session over, once, whatever waits with the same one', async () => {
  const [one, two, three] = holders;
  await join(one, 'by handle');
  const handle = await one.tell<string>({ do: 'detach', as: 'by handle' });
  const attach = (holder: Holder, wait: number) =>
    holder.tell<JoinedSession>({ do: 'attach', as: 'by handle', handle, options: { wait } });
  assert.equal((await attach(two, 0)).name, 'by handle');
  await refused(attach(three, 0), 'ERR_TLSHUB_HANDLE_UNKNOWN');
});

test('P18, issue 3: a session that nobody holds is closed after its linger, also when its peer never answers', async () => {
  const silent = await countingOrigin(scope, { ...pki.good, behaviour: { kind: 'silent' } });
  const [one] = holders;
  for (const [name, end] of [
    ['linger', false],
    ['linger ended', true],
  ] as const) {
    await join(one, name, { port: silent.port, shared: { linger: 1 } });
    if (end) await one.tell({ do: 'end', as: name });
    else await one.tell({ do: 'release', as: name });
    if (end) await one.tell({ do: 'destroy', as: name });
  }
  assert.equal(silent.counts.connections, 2);
  await waitFor(
    async () => {
      const names = (await daemon.sessions()).map(({ name }) => name);
      return !names.includes('linger') && !names.includes('linger ended');
    },
    { what: 'the end of both sessions' },
  );
});
