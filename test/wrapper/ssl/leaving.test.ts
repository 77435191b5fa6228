// Giving a session up: released, detached, freed, or lost with its daemon; in this process and between processes.
import assert from 'node:assert/strict';
import { lookup } from 'node:dns';
import { describe, test } from 'node:test';
import { runNode, runNodeForJson } from '#helpers/run-node.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { Ssl } from '#src/ssl.js';
import { benchDaemon, inEveryWay, makeBench, outcome, readExactly, setUpWays, untilPending } from './ways.ts';

setUpWays();

const GIVEN_UP = '-1 SYSCALL ERR_TLSHUB_NOT_LEASED';

/** Every call on an object that gave its session up. */
async function assertGivenUp(ssl: Ssl): Promise<void> {
  assert.equal(outcome(ssl, await ssl.read(1)), GIVEN_UP);
  assert.equal(outcome(ssl, await ssl.peek(1, { wait: 0 })), GIVEN_UP);
  assert.equal(outcome(ssl, await ssl.write('x')), GIVEN_UP);
  assert.equal(outcome(ssl, await ssl.shutdown()), GIVEN_UP);
  assert.equal(outcome(ssl, await ssl.doHandshake()), GIVEN_UP);
  assert.equal(outcome(ssl, await ssl.release()), GIVEN_UP);
  assert.equal(outcome(ssl, await ssl.detach()), GIVEN_UP);
  assert.equal(ssl.pending(), 0);
}

async function exchange(ssl: Ssl, word: string): Promise<void> {
  assert.equal(await ssl.write(`${word}\n`), word.length + 1);
  assert.equal(await readExactly(ssl, word.length + 4), `ok ${word}\n`);
}

describe('release', () => {
  inEveryWay(
    'P1: 1, and the next session is the same one',
    async ({ origin, open }) => {
      const server = await origin();
      for (let round = 0; round < 4; round += 1) {
        const ssl = await open(server);
        assert.equal(ssl.sharing.reused, round > 0);
        await exchange(ssl, `round${round}`);
        assert.equal(outcome(ssl, await ssl.release()), '1');
        await assertGivenUp(ssl);
      }
      assert.equal(server.counts.connections, 1);
    },
    'shared',
  );

  inEveryWay(
    'P7: 0 when bytes are unread, looked at or not, and the session is closed',
    async ({ origin, open }) => {
      const server = await origin();
      for (const looked of [true, false]) {
        const ssl = await open(server);
        await ssl.write('never read\n');
        await waitFor(() => ssl.pending() === 14, { what: 'the answer' });
        if (looked) assert.equal(String(await ssl.peek(5)), 'ok ne');
        assert.equal(outcome(ssl, await ssl.release()), '0');
        assert.equal(typeof ssl.sharing.reason, 'string');
      }
      const next = await open(server);
      assert.equal(next.sharing.reused, false);
      await exchange(next, 'clean');
      assert.equal(server.counts.connections, 3);
    },
    'shared',
  );

  inEveryWay(
    'P7: 0 when the peer has ended',
    async ({ origin, open }) => {
      const steps = [{ close: 'close_notify' }] as const;
      const ssl = await open(await origin({ behaviour: { kind: 'script', steps } }));
      assert.equal(outcome(ssl, await ssl.read(1)), '0 ZERO_RETURN');
      assert.equal(outcome(ssl, await ssl.release()), '0');
      assert.equal(typeof ssl.sharing.reason, 'string');
    },
    'shared',
  );

  inEveryWay(
    '0 in the process: the session is ended in order',
    async ({ origin, open }) => {
      const server = await origin({ watchEnds: true });
      const ssl = await open(server);
      await exchange(ssl, 'hello');
      assert.equal(await ssl.release(), 0);
      await assertGivenUp(ssl);
      await waitFor(() => server.outcomes()[0] === 'close_notify', { what: 'close_notify' });
    },
    'direct',
  );

  test('P5: a session that could not be shared says why, and its verbs are the same', async (t) => {
    const { origin, target } = makeBench(t, { mode: 'shared', version: 'TLSv1.3' });
    const server = await origin();
    const unshareable = target(server, { lookup } as object);
    const ssl = await Ssl.connect(true, unshareable);
    assert.equal(ssl.sharing.shared, false);
    assert.match(ssl.sharing.reason ?? '', /lookup/);
    await exchange(ssl, 'hello');
    assert.equal(outcome(ssl, await ssl.detach()), '-1 SYSCALL ERR_TLSHUB_NOT_DETACHABLE');
    assert.match(ssl.lastError?.message ?? '', /lookup/);
    await exchange(ssl, 'again');
    assert.equal(await ssl.release(), 0);
    await assert.rejects(Ssl.connect({ fallback: false }, unshareable), { code: 'ERR_TLSHUB_NOT_SHAREABLE' });
  });
});

describe('detach and attach', () => {
  inEveryWay(
    'P6: unread bytes, looked at or not, go with the session',
    async ({ origin, open, scope, version }) => {
      const server = await origin({ behaviour: { kind: 'script', steps: [{ text: 'one two three four' }] } });
      const first = await open(server);
      await untilPending(first, 18);
      assert.equal(String(await first.read(4)), 'one ');
      assert.equal(String(await first.peek(7)), 'two thr');
      const handle = await first.detach();
      assert.ok(typeof handle === 'string', outcome(first, handle));
      await assertGivenUp(first);
      const second = await Ssl.attach(handle);
      scope.after(() => second.free());
      assert.equal(second.getVersion(), version);
      assert.equal(second.sharing.reused, true);
      assert.equal(await readExactly(second, 14), 'two three four');
      assert.equal(await second.write('answer'), 6);
      await waitFor(() => server.tail() === 'answer', { what: 'the answer' });
      assert.equal(server.counts.connections, 1);
      const third = new Ssl();
      const rc = await third.attach(handle);
      assert.equal(outcome(third, rc), '-1 SYSCALL ERR_TLSHUB_SESSION_BUSY');
    },
    'shared',
  );

  inEveryWay(
    'P6: process 1 reads the request, process 2 writes the answer',
    async ({ origin, pki }) => {
      const server = await origin({ behaviour: { kind: 'script', steps: [{ text: 'request\nsecond\n' }] } });
      const env = { TLSHUB_DIR: benchDaemon().directory, PORT: String(server.port), CA: pki.ca.cert };
      const first = (await runNodeForJson(
        `
        import { Ssl } from 'tlshub/ssl';
        const { PORT, CA } = process.env;
        const ssl = await Ssl.connect({ fallback: false }, { host: '127.0.0.1', port: Number(PORT), ca: CA });
        let line = '';
        while (!line.endsWith('\\n')) line += await ssl.read(1);
        console.log(JSON.stringify({ line, handle: await ssl.detach() }));
        `,
        { env },
      )) as { line: string; handle: string };
      assert.equal(first.line, 'request\n');
      const second = await runNodeForJson(
        `
        import { Ssl } from 'tlshub/ssl';
        const ssl = await Ssl.attach(process.env.HANDLE);
        const unread = String(await ssl.read(100));
        const written = await ssl.write('the answer');
        console.log(JSON.stringify({ unread, written, ended: await ssl.shutdown() }));
        `,
        { env: { ...env, HANDLE: first.handle } },
      );
      assert.deepEqual(second, { unread: 'second\n', written: 10, ended: 0 });
      await waitFor(() => server.tail() === 'the answer', { what: 'the answer' });
      assert.equal(server.counts.connections, 1);
    },
    'shared',
  );

  inEveryWay('-1 where it cannot be, and the session goes on', async ({ origin, open, mode }) => {
    const ssl = await open(await origin());
    const waiting = ssl.read(100);
    assert.match(outcome(ssl, await ssl.detach()), /^-1 SYSCALL ERR_TLSHUB_(SESSION_BUSY|NOT_DETACHABLE)$/);
    await ssl.write('go on\n');
    assert.equal(String(await waiting), 'ok go on\n');
    if (mode === 'direct')
      assert.equal(outcome(ssl, await ssl.detach()), '-1 SYSCALL ERR_TLSHUB_NOT_DETACHABLE');
    assert.equal(await ssl.shutdown(), 0);
    assert.equal(outcome(ssl, await ssl.detach()), '-1 SYSCALL ERR_TLSHUB_NOT_DETACHABLE');
    assert.equal(await ssl.shutdown(), 1);
  });

  test('attach answers -1 for a handle of another daemon', async () => {
    const stale = `tlshub1.${'0'.repeat(16)}.${'0'.repeat(32)}`;
    const ssl = new Ssl();
    assert.equal(outcome(ssl, await ssl.attach(stale)), '-1 SYSCALL ERR_TLSHUB_HANDLE_STALE');
    await assert.rejects(Ssl.attach(stale), { code: 'ERR_TLSHUB_HANDLE_STALE' });
  });
});

describe('free', () => {
  inEveryWay('drops the session without close_notify and wakes who waits', async ({ origin, open }) => {
    const server = await origin({ watchEnds: true });
    const ssl = await open(server);
    await exchange(ssl, 'hello');
    const waiting = ssl.read(1);
    ssl.free();
    assert.equal(outcome(ssl, await waiting), GIVEN_UP);
    await assertGivenUp(ssl);
    ssl.free();
    await waitFor(() => server.outcomes()[0] !== 'open', { what: 'the end' });
    assert.match(server.outcomes()[0] ?? '', /^(fin|reset)$/);
  });

  inEveryWay('after shutdown takes nothing back', async ({ origin, open }) => {
    const server = await origin({ watchEnds: true });
    const ssl = await open(server);
    await exchange(ssl, 'hello');
    assert.equal(await ssl.shutdown(), 0);
    assert.equal(await ssl.shutdown(), 1);
    ssl.free();
    await waitFor(() => server.outcomes()[0] === 'close_notify', { what: 'close_notify' });
  });
});

describe('processes', () => {
  inEveryWay('a process with an open session ends when its work is done', async ({ origin, pki, mode }) => {
    const server = await origin();
    const result = await runNode(
      `
      import { Ssl } from 'tlshub/ssl';
      const { PORT, CA, SHARED } = process.env;
      const ssl = await Ssl.connect(JSON.parse(SHARED), { host: '127.0.0.1', port: Number(PORT), ca: CA });
      await ssl.write('hello\\n');
      process.stdout.write(String(await ssl.read(100)));
      console.log(await ssl.read(100, { wait: 20 }), await ssl.release());
      `,
      {
        env: {
          TLSHUB_DIR: benchDaemon().directory,
          PORT: String(server.port),
          CA: pki.ca.cert,
          SHARED: mode === 'shared' ? '{"fallback":false}' : 'false',
        },
        deadlineMs: 10_000,
      },
    );
    const released = mode === 'shared' ? 1 : 0;
    assert.deepEqual([result.code, result.stdout, result.stderr], [0, `ok hello\n-1 ${released}\n`, '']);
  });

  test('P16: a daemon that dies: -1 SYSCALL ERR_TLSHUB_DAEMON_LOST, and the next connect works', async (t) => {
    const { origin, open } = makeBench(t, { mode: 'shared', version: 'TLSv1.3' });
    const server = await origin();
    const directory = benchDaemon().directory;
    const daemon = await startTestDaemon(t);
    process.env.TLSHUB_DIR = daemon.directory;
    t.after(() => {
      process.env.TLSHUB_DIR = directory;
    });
    const ssl = await open(server);
    await exchange(ssl, 'hello');
    const waiting = ssl.read(1);
    await daemon.kill('SIGKILL');
    const lost = '-1 SYSCALL ERR_TLSHUB_DAEMON_LOST';
    assert.equal(outcome(ssl, await waiting), lost);
    assert.equal(outcome(ssl, await ssl.write('x')), lost);
    assert.equal(outcome(ssl, await ssl.shutdown()), lost);
    await startTestDaemon(t, { directory: daemon.directory });
    await exchange(await open(server), 'again');
  });
});
