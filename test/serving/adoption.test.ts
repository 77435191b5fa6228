// Issue 4, "Adoption": when a process goes, its sessions go on in another one of the group.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { pattern } from '#helpers/pattern.js';
import { readLine } from '#helpers/streams.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Client, makeServingPlace, type ServerProcess, servedBy } from './server-processes.ts';

const place = makeServingPlace();

/** Sessions that wait for a worker. */
async function waitingAt(port: number): Promise<number | undefined> {
  const { servers } = (await place.daemon.status()).status as {
    servers: { address: string | null; waiting: number }[];
  };
  return servers.find(({ address }) => address === `127.0.0.1:${port}`)?.waiting;
}

/** Two workers that adopt, and a client of the first. */
async function pair(
  shared: object = {},
): Promise<{ first: ServerProcess; second: ServerProcess; port: number; client: Client }> {
  const [first, second] = [place.process(), place.process()];
  const port = await place.serve(first, { adopts: true, shared });
  const client = await place.dial(port);
  assert.equal(await servedBy(client), first.pid);
  await place.serve(second, { adopts: true, port, shared });
  return { first, second, port, client };
}

describe('issue 4: the process goes away', () => {
  afterEach(() => place.endProcesses());

  const ends: [title: string, end: (first: ServerProcess, client: Client) => unknown][] = [
    ['kill -9', (first) => first.kill()],
    ['process.exit', (_, client) => client.tell('exit')],
    ['SIGTERM, as the documents say', (first) => first.signal('SIGTERM')],
    ['server.handOff()', (first) => first.tell({ do: 'handOff', as: 'main' })],
    ['socket.handOff()', (_, client) => client.tell('handOff')],
  ];
  for (const [title, end] of ends) {
    test(`P15: ${title}: the client goes on with another worker and sees nothing of it`, async () => {
      const { first, second, client } = await pair();
      assert.equal(await client.ask('state half way'), 'ok');
      await place.settled(client);
      await end(first, client);
      assert.equal(await readLine(client.socket), `adopted by ${second.pid} half way`);
      assert.equal(await servedBy(client), second.pid);
      assert.equal(client.outcome(), 'open');
      client.socket.end();
      assert.equal(await client.ended(), 'end');
    });

    test(`${title}: without another worker the session waits for one`, async () => {
      const [first, second] = [place.process(), place.process()];
      const port = await place.serve(first, { adopts: true });
      const client = await place.dial(port);
      assert.equal(await servedBy(client), first.pid);
      await place.settled(client);
      await end(first, client);
      // It is not the line of a process that is going away.
      await waitFor(
        async () =>
          (await place.daemon.sessions()).some(
            ({ state, side }) => state === 'lingering' && side === 'server',
          ),
        { what: 'a session that waits' },
      );
      client.tell('sent meanwhile');
      assert.equal(await place.serve(second, { adopts: true, port }), port);
      assert.match(await readLine(client.socket), new RegExp(`^adopted by ${second.pid} `));
      assert.equal(await readLine(client.socket), `${second.pid} sent meanwhile`);
      client.socket.destroy();
      await first.kill();
      await second.tell({ do: 'close', as: 'main' });
    });
  }

  test('P6: a line that was not answered is answered by the next process, from its first byte', async () => {
    const { first, second, client } = await pair();
    client.socket.write('half a li');
    await waitFor(
      async () =>
        (await place.daemon.sessions()).some(
          (one) => Number(one.receivedOffset) - Number(one.committedOffset) === 9,
        ),
      { what: 'the half line' },
    );
    await first.kill();
    assert.match(await readLine(client.socket), /^adopted/);
    assert.equal(await client.ask('ne'), `${second.pid} half a line`);
    client.socket.destroy();
  });

  test('P6: a client that ended meanwhile has its last words heard', async () => {
    const [first, second] = [place.process(), place.process()];
    const port = await place.serve(first, { adopts: true });
    const client = await place.dial(port);
    assert.equal(await servedBy(client), first.pid);
    await place.settled(client);
    await first.kill();
    client.socket.end('last words\n');
    await place.serve(second, { adopts: true, port });
    assert.match(await readLine(client.socket), /^adopted/);
    assert.equal(await readLine(client.socket), `${second.pid} last words`);
    assert.equal(await client.ended(), 'end');
  });

  test('a client that has gone away is nobody’s any more', async () => {
    const [first, second] = [place.process(), place.process()];
    const port = await place.serve(first, { adopts: true });
    const client = await place.dial(port);
    assert.equal(await servedBy(client), first.pid);
    await first.kill();
    client.socket.destroy();
    await place.serve(second, { adopts: true, port });
    await waitFor(async () => (await place.sessionOf(client)) === undefined, {
      what: 'the end of the session',
    });
    const next = await place.dial(port);
    assert.equal(await servedBy(next), second.pid);
    next.socket.destroy();
  });

  test('P15: two hundred sessions of a killed process', async () => {
    const [first, second, third] = [place.process(), place.process(), place.process()];
    const port = await place.serve(first, { adopts: true });
    const clients: Client[] = [];
    for (let n = 0; n < 10; n++)
      clients.push(...(await Promise.all(Array.from({ length: 20 }, () => place.dial(port)))));
    await Promise.all(clients.map(servedBy));
    await place.serve(second, { adopts: true, port });
    await place.serve(third, { adopts: true, port });
    await place.settled(...clients);
    await first.kill();
    for (const client of clients) client.tell('on its way');
    const servers = await Promise.all(
      clients.map(async ({ socket, ask }) => {
        assert.match(await readLine(socket), /^adopted/);
        assert.match(await readLine(socket), / on its way$/);
        return Number(await ask('who'));
      }),
    );
    assert.deepEqual(new Set(servers), new Set([second.pid, third.pid]));
    for (const { socket } of clients) socket.destroy();
  });
});

describe('issue 4: who adopts', () => {
  afterEach(() => place.endProcesses());

  test('nobody: the session is closed, with a reason, when its process dies', async () => {
    const [first, second] = [place.process(), place.process()];
    const port = await place.serve(first, { shared: { survive: false } });
    const client = await place.dial(port);
    assert.equal(await servedBy(client), first.pid);
    await place.serve(second, { port, shared: { survive: false } });
    await first.kill();
    assert.notEqual(await client.ended(), 'open');
    assert.equal(await servedBy(await place.dial(port)), second.pid);
  });

  test('a listener that is added later, before and after the death', async () => {
    const [first, second] = [place.process(), place.process()];
    const shared = { survive: true };
    const port = await place.serve(first, { shared });
    const client = await place.dial(port);
    assert.equal(await servedBy(client), first.pid);
    await place.settled(client);
    await first.kill();
    await place.serve(second, { port, shared });
    assert.equal(await servedBy(await place.dial(port)), second.pid);
    assert.deepEqual((await second.report()).adopted, []);
    await second.tell({ do: 'adopt', as: 'main' });
    assert.match(await readLine(client.socket), /^adopted/);
    const third = place.process();
    await place.serve(third, { port, shared });
    await third.tell({ do: 'adopt', as: 'main' });
    await place.settled(client);
    await second.kill();
    assert.match(await readLine(client.socket), new RegExp(`^adopted by ${third.pid}`));
  });

  test('the process that handed a session off is not given it again', async () => {
    const worker = place.process();
    const port = await place.serve(worker, { adopts: true });
    const client = await place.dial(port);
    assert.equal(await servedBy(client), worker.pid);
    client.tell('handOff kept');
    await waitFor(async () => (await worker.report()).closed === 1, { what: 'the end of the socket' });
    assert.equal(await servedBy(await place.dial(port)), worker.pid);
    assert.deepEqual((await worker.report()).adopted, []);
    const second = place.process();
    await place.serve(second, { adopts: true, port });
    assert.equal(await readLine(client.socket), `adopted by ${second.pid} kept`);
  });

  test('a session that nobody adopts is closed when its linger is over, with the reason in the log', async () => {
    const [first, second] = [place.process(), place.process()];
    const shared = { survive: true, linger: 2_500 };
    const port = await place.serve(first, { adopts: true, shared });
    const client = await place.dial(port);
    assert.equal(await servedBy(client), first.pid);
    await place.serve(second, { port, shared });
    await first.kill();
    assert.equal(await client.ended(), 'end');
  });

  test('a client that has gone away, whose last words nobody wanted, is nobody’s any more', async () => {
    const [first, second, third] = [place.process(), place.process(), place.process()];
    const shared = { survive: true, linger: 2_500 };
    const port = await place.serve(first, { adopts: true, shared });
    const raw = connect(port, '127.0.0.1');
    await once(raw, 'connect');
    const client = await place.dial(port, { socket: raw });
    assert.equal(await servedBy(client), first.pid);
    await place.serve(second, { port, shared });
    first.signal('SIGSTOP');
    client.socket.write('last words');
    await waitFor(
      async () =>
        (await place.daemon.sessions()).some(
          (one) => Number(one.receivedOffset) - Number(one.committedOffset) === 10,
        ),
      { what: 'the last words' },
    );
    raw.resetAndDestroy();
    await first.kill();
    await waitFor(async () => (await waitingAt(port)) === 1, { what: 'a session that waits for a worker' });
    await waitFor(async () => (await waitingAt(port)) === 0, { what: 'the end of its linger' });
    await place.serve(third, { adopts: true, port, shared });
    assert.equal(await servedBy(await place.dial(port)), second.pid);
    assert.deepEqual((await third.report()).adopted, []);
  });

  test('socket.destroy() of a worker closes the connection, and nobody adopts it', async () => {
    for (const survive of [true, false]) {
      const [first, second] = [place.process(), place.process()];
      const port = await place.serve(first, { adopts: true, shared: { survive } });
      const client = await place.dial(port);
      assert.equal(await servedBy(client), first.pid);
      await place.serve(second, { adopts: true, port, shared: { survive } });
      client.tell('destroy');
      await client.ended();
      assert.deepEqual((await second.report()).adopted, []);
    }
  });

  test('P6: a worker without survivors of its own takes over those of another, bytes and all', async () => {
    const [first, second] = [place.process(), place.process()];
    const port = await place.serve(first, { adopts: true });
    const client = await place.dial(port);
    assert.equal(await servedBy(client), first.pid);
    // It has no connection for such sessions: each comes on one of its own.
    await place.serve(second, { adopts: true, port, shared: { survive: false } });
    first.signal('SIGSTOP');
    client.tell('kept');
    await first.kill();
    assert.equal(await client.ask('next'), `adopted by ${second.pid} `);
    assert.equal(await client.ask('last'), `${second.pid} kept`);
    assert.equal(await client.ask('who'), `${second.pid} next`);
  });

  test('P15: raw sessions end with their process, and the others are undisturbed', async () => {
    const [first, second] = [place.process(), place.process()];
    const shared = { survive: false };
    const port = await place.serve(first, { adopts: true, shared });
    await place.serve(second, { adopts: true, port, shared });
    const clients = await Promise.all(Array.from({ length: 6 }, () => place.dial(port)));
    const pids = await Promise.all(clients.map(servedBy));
    await first.kill();
    for (const [index, client] of clients.entries()) {
      if (pids[index] === first.pid) assert.notEqual(await client.ended(), 'open');
      else assert.equal(await servedBy(client), second.pid);
    }
    assert.deepEqual((await second.report()).adopted, []);
  });

  test('P6: a write that was half sent when its process was killed ends the session; it is not adopted', async () => {
    const [first, second] = [place.process(), place.process()];
    const port = await place.serve(first, { adopts: true, play: 'echo' });
    const client = await place.dial(port);
    await place.serve(second, { adopts: true, port, play: 'echo' });
    // Echoed in pieces of a record, one frame each: whole writes, which survive.
    client.socket.write(pattern(0, 50_000));
    await waitFor(() => client.socket.readableLength >= 16_384, { what: 'an echo' });
    await first.kill();
    let bytes = 0;
    client.socket.on('data', (chunk: Buffer) => {
      assert.deepEqual(chunk, Buffer.from(pattern(bytes, chunk.length)));
      bytes += chunk.length;
    });
    await waitFor(() => bytes === 50_000, { what: 'every byte' });
  });
});

describe('issue 4: sessions that leave their server', () => {
  afterEach(() => place.endProcesses());

  test('detach: another program takes the session by its handle', async () => {
    const { first: worker, second, client } = await pair();
    const first = place.process();
    client.tell('state kept');
    assert.equal(await readLine(client.socket), 'ok');
    client.tell('detach');
    client.tell('unread line');
    const handle = await waitFor(() => worker.said[0], { what: 'a handle' });
    await first.tell({ do: 'attach', handle });
    assert.equal(await readLine(client.socket), `${first.pid} unread line`);
    await place.settled(client);
    // When that program goes, the session comes back to its server.
    await first.kill();
    const line = await readLine(client.socket);
    assert.match(line, /^adopted by \d+ kept$/);
    assert.ok(await servedBy(client));
    assert.ok(second.alive);
  });

  test('a name: another program takes the session when its worker is gone', async () => {
    const worker = place.process();
    const port = await place.serve(worker, { adopts: true });
    const client = await place.dial(port);
    assert.equal(await client.ask('name upload'), 'ok');
    await place.settled(client);
    const program = place.process();
    const attaching = program.tell({ do: 'attach', handle: 'upload' });
    await waitFor(
      async () =>
        (await place.daemon.sessions()).some(({ name, waiting }) => name === 'upload' && waiting === 1),
      { what: 'the program that waits' },
    );
    await worker.kill();
    await attaching;
    assert.equal(await servedBy(client), program.pid);
  });

  test('a name: who takes a session that waits for a worker keeps it when one comes', async () => {
    const worker = place.process();
    const port = await place.serve(worker, { adopts: true });
    const client = await place.dial(port);
    assert.equal(await client.ask('name taken'), 'ok');
    await place.settled(client);
    await worker.kill();
    const program = place.process();
    await waitFor(
      async () =>
        (await place.daemon.sessions()).some(({ name, state }) => name === 'taken' && state === 'lingering'),
      { what: 'the session to wait' },
    );
    await program.tell({ do: 'attach', handle: 'taken' });
    const next = place.process();
    await place.serve(next, { adopts: true, port });
    const other = await place.dial(port);
    assert.equal(await servedBy(other), next.pid);
    assert.equal(await servedBy(client), program.pid);
    assert.deepEqual((await next.report()).adopted, []);
  });
});
