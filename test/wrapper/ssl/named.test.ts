// The same verbs on named sessions, in every mode.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { spawnNode } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor } from '#helpers/wait-for.js';
import { type SharedOptions, Ssl } from '#src/ssl.js';
import { type Bench, benchDaemon, inEveryWay, outcome, readExactly, setUpWays } from './ways.ts';

setUpWays();

let names = 0;

/** An open named session to an origin that says `text` first, and its name. */
async function openNamed(
  { scope, origin, target }: Bench,
  text: string,
  options: SharedOptions = {},
): Promise<{ ssl: Ssl; name: string }> {
  names += 1;
  const name = `verbs-${names}`;
  const server = await origin({ behaviour: { kind: 'script', steps: [{ text }] } });
  const ssl = await Ssl.connect({ name, fallback: false, ...options }, target(server));
  scope.after(() => ssl.free());
  return { ssl, name };
}

async function joinNamed({ scope }: Bench, name: string): Promise<Ssl> {
  const ssl = await Ssl.attach(name);
  scope.after(() => ssl.free());
  return ssl;
}

inEveryWay(
  'exclusive: what was only looked at is there for the next holder',
  async (bench) => {
    const { ssl, name } = await openNamed(bench, 'one two three');
    assert.equal(await readExactly(ssl, 4), 'one ');
    assert.equal(String(await ssl.peek(2)), 'tw');
    const second = new Ssl();
    assert.equal(
      outcome(second, await second.attach(name, { wait: 0 })),
      '-1 SYSCALL ERR_TLSHUB_SESSION_BUSY',
    );
    assert.equal(outcome(ssl, await ssl.release()), '1');
    const next = await joinNamed(bench, name);
    assert.equal(next.sharing.reused, true);
    assert.equal(next.sharing.resumedAt, 4);
    assert.equal(next.getVersion(), bench.version);
    assert.equal(await readExactly(next, 9), 'two three');
    assert.equal(await next.shutdown(), 0);
  },
  'shared',
);

inEveryWay(
  'P6: exclusive: looking at bytes does not consume them, even for a process that is killed',
  async (bench) => {
    const { ssl, name } = await openNamed(bench, 'one two three');
    assert.equal(await ssl.release(), 1);
    const child = spawnNode(
      `
      import { Ssl } from 'tlshub/ssl';
      const ssl = await Ssl.attach(process.env.NAME);
      let read = '';
      while (read.length < 4) read += await ssl.read(4 - read.length);
      const peeked = await ssl.peek(3);
      // Comes to the daemon behind the word of what was read.
      await ssl.write('x');
      console.log(read + '+' + peeked + '.');
      setInterval(() => {}, 1000);
      `,
      { env: { TLSHUB_DIR: benchDaemon().directory, NAME: name } },
    );
    await child.printed('one +two.');
    child.child.kill('SIGKILL');
    await child.result;
    const next = await joinNamed(bench, name);
    assert.equal(next.sharing.resumedAt, 4);
    assert.equal(await readExactly(next, 9), 'two three');
  },
  'shared',
);

inEveryWay(
  'turn: each reader gets a message',
  async (bench) => {
    const { ssl, name } = await openNamed(bench, 'one\ntwo\nthree\n', {
      mode: 'turn',
      messages: { delimiter: '\n' },
    });
    const other = await joinNamed(bench, name);
    assert.equal(String(await ssl.read(100)), 'one\n');
    assert.equal(String(await other.read(100)), 'two\n');
    assert.equal(String(await ssl.read(2)), 'th', 'a message in pieces');
    assert.equal(String(await ssl.read(100)), 'ree\n');
    assert.equal(outcome(other, await other.read(100, { wait: 20 })), '-1 WANT_READ');
  },
  'shared',
);

inEveryWay(
  'broadcast: each holder gets every byte from the moment it joined',
  async (bench) => {
    names += 1;
    const name = `verbs-${names}`;
    const server = await bench.origin({ behaviour: { kind: 'echo' } });
    const shared = { name, mode: 'broadcast', fallback: false } as const;
    const first = await Ssl.connect(shared, bench.target(server));
    const second = await Ssl.connect(shared, bench.target(server));
    for (const ssl of [first, second]) bench.scope.after(() => ssl.free());
    assert.equal(second.sharing.reused, true);
    assert.equal(await first.write('to all'), 6);
    assert.equal(await readExactly(first, 6), 'to all');
    assert.equal(await readExactly(second, 6), 'to all');
    assert.equal(await second.shutdown(), 0, 'ends it for all');
    assert.equal(outcome(first, await first.read(1)), '0 ZERO_RETURN');
    assert.equal(server.counts.connections, 1);
  },
  'shared',
);

test('a name that nobody opened: -1', async () => {
  const ssl = new Ssl();
  assert.equal(outcome(ssl, await ssl.attach('nobody opened this')), '-1 SYSCALL ERR_TLSHUB_NAME_UNKNOWN');
});

inEveryWay(
  'manual commit: the next holder gets what was not committed, and the state',
  async (bench) => {
    const { ssl, name } = await openNamed(bench, 'one two three', { commit: 'manual' });
    assert.equal(await readExactly(ssl, 4), 'one ');
    assert.equal(await ssl.commit(), 1);
    assert.equal(await ssl.setState(Buffer.from('after one')), 1);
    assert.equal(await readExactly(ssl, 4), 'two ');
    assert.equal(await ssl.release(), 1);
    const next = await joinNamed(bench, name);
    assert.deepEqual([next.sharing.resumedAt, String(next.state)], [4, 'after one']);
    assert.equal(await readExactly(next, 9), 'two three');
    assert.equal(await next.setState(Buffer.alloc(64 * 1024 + 1)), -1);
    assert.equal((next.lastError as NodeJS.ErrnoException).code, 'ERR_TLSHUB_INVALID_OPTION');
  },
  'shared',
);

inEveryWay(
  'activateOnReceipt leaves the session to a command',
  async (bench) => {
    const { ssl, name } = await openNamed(bench, 'wake up');
    const directory = tempDir(bench.scope);
    const run: [string, ...string[]] = ['sh', '-c', 'echo "$TLSHUB_REASON" >reason'];
    assert.equal(await ssl.activateOnReceipt({ run, cwd: directory }), 1);
    assert.equal(await ssl.write('x'), -1);
    const reason = join(directory, 'reason');
    await waitFor(() => existsSync(reason) && readFileSync(reason, 'utf8') === 'data\n', {
      what: 'the command',
    });
    const next = await joinNamed(bench, name);
    assert.equal(await readExactly(next, 7), 'wake up');
  },
  'shared',
);
