// Issue 4, "Ports": listening and closing, with every overload, and its errors, as node:tls has them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { createServer as createNetServer, type Server } from 'node:net';
import { join } from 'node:path';
import { describe } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { exchange } from '#helpers/streams.js';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor } from '#helpers/wait-for.js';
import type { Trace } from '../sharing/trace.ts';
import { namesOf, type Stage, sameEachWay, setUpServing } from './serve-each-way.ts';

setUpServing();

const echo = (socket: TLSSocket) => void socket.pipe(socket);

async function taken(scope: Stage['scope'], host: string): Promise<{ port: number; server: Server }> {
  const server = createNetServer().listen(0, host);
  await once(server, 'listening');
  scope.after(() => void server.close());
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 };
}

async function failing(stage: Stage, ...args: unknown[]): Promise<void> {
  const server = stage.serve();
  const listen = server.listen as (...all: unknown[]) => unknown;
  listen.call(server, ...args);
  await once(server, 'error');
  stage.recorder.note('after', server.listening, server.address());
}

describe('P4: listening', () => {
  const overloads: [title: string, args: (directory: string, called: () => void) => unknown[]][] = [
    ['(0)', () => [0]],
    ['("0")', () => ['0']],
    ['()', () => []],
    ['(callback)', (_, called) => [called]],
    ['(null, callback)', (_, called) => [null, called]],
    ['(undefined)', () => [undefined]],
    ['(0, callback)', (_, called) => [0, called]],
    ['(0, host)', () => [0, '127.0.0.1']],
    ['(0, host, callback)', (_, called) => [0, '127.0.0.1', called]],
    ['(0, host, backlog, callback)', (_, called) => [0, '127.0.0.1', 5, called]],
    ['(0, backlog, callback)', (_, called) => [0, 5, called]],
    ['(0, "localhost")', () => [0, 'localhost']],
    ['(0, "::1")', () => [0, '::1']],
    ['({ port, host })', () => [{ port: 0, host: '127.0.0.1' }]],
    ['({ port, host }, callback)', (_, called) => [{ port: 0, host: '127.0.0.1' }, called]],
    ['({ port, ipv6Only })', () => [{ port: 0, host: '::', ipv6Only: true }]],
    ['({ port, exclusive })', () => [{ port: 0, host: '127.0.0.1', exclusive: true }]],
    ['(path)', (directory) => [join(directory, 's')]],
    ['(path, callback)', (directory, called) => [join(directory, 's'), called]],
    ['(path, backlog, callback)', (directory, called) => [join(directory, 's'), 5, called]],
    ['({ path })', (directory) => [{ path: join(directory, 's') }]],
  ];
  for (const [title, args] of overloads) {
    sameEachWay(`listen${title}`, {
      run: async (stage) => {
        const directory = tempDir(stage.scope);
        const server = stage.serve({}, echo);
        const listening = once(server, 'listening');
        const given = args(directory, () => stage.recorder.note('callback', server.listening));
        const answer = (server.listen as (...all: unknown[]) => unknown).call(server, ...given);
        stage.recorder.note('answer', answer === server);
        await listening;
        const isV6Only = JSON.stringify(given).includes('ipv6Only');
        const address = server.address();
        if (typeof address === 'object' && !isV6Only) {
          const client = await stage.dial(server);
          assert.equal(await exchange(client, 'hello'), 'hello');
          client.destroy();
        }
        const closed = once(server, 'close');
        stage.recorder.note(
          'close answers',
          server.close((error) => stage.recorder.note('closed', error)) === server,
        );
        await closed;
      },
      check: (trace) => assert.ok(namesOf(trace).includes('closed')),
    });
  }

  sameEachWay('an abstract Unix socket', {
    run: async (stage) => {
      const name = `\0tlshub-${process.pid}-${stage.way}`;
      const server = stage.serve({}, echo);
      await stage.listen(server, name);
      const client = await stage.dial(server);
      assert.equal(await exchange(client, 'hello'), 'hello');
      client.destroy();
      server.close();
      await once(server, 'close');
      for (const event of stage.recorder.trace.events) if (event[1] === name) event[1] = 'NAME';
    },
  });

  for (const flags of [
    {},
    { readableAll: true },
    { writableAll: true },
    { readableAll: true, writableAll: true },
  ]) {
    sameEachWay(`the mode of a Unix socket with ${JSON.stringify(flags)}`, {
      run: async (stage) => {
        const path = join(tempDir(stage.scope), 's');
        const server = stage.serve();
        await stage.listen(server, { path, ...flags });
        stage.recorder.note('mode', statSync(path).mode & 0o666 & ~0o200);
        server.close();
        await once(server, 'close');
        await waitFor(() => statSync(path, { throwIfNoEntry: false }) === undefined, {
          what: 'the file to be removed',
        });
      },
    });
  }

  sameEachWay('with a path that the working directory completes', {
    run: async (stage) => {
      const before = process.cwd();
      const directory = tempDir(stage.scope);
      process.chdir(directory);
      stage.scope.after(() => process.chdir(before));
      const server = stage.serve({}, echo);
      await stage.listen(server, { path: 'short' });
      const client = await stage.dial(server, { path: join(directory, 'short') });
      assert.equal(await exchange(client, 'hello'), 'hello');
      client.destroy();
      server.close();
      await once(server, 'close');
      process.chdir(before);
    },
  });

  sameEachWay('twice', {
    run: async (stage) => {
      const server = stage.serve();
      await stage.listen(server);
      assert.throws(() => server.listen(0), { code: 'ERR_SERVER_ALREADY_LISTEN' });
      try {
        server.listen(0);
      } catch (error) {
        stage.recorder.note('thrown', error);
      }
      server.close();
      await once(server, 'close');
    },
  });

  sameEachWay('again after it was closed', {
    run: async (stage) => {
      const server = stage.serve({}, echo);
      for (let round = 0; round < 3; round++) {
        await stage.listen(server);
        const client = await stage.dial(server);
        assert.equal(await exchange(client, 'hello'), 'hello');
        client.destroy();
        server.close();
        await once(server, 'close');
      }
    },
  });

  sameEachWay('close before it listens', {
    run: async (stage) => {
      const server = stage.serve();
      server.listen(0);
      await new Promise<void>((resolve) =>
        server.close((error) => {
          stage.recorder.note('closed', error);
          resolve();
        }),
      );
      assert.equal(server.listening, false);
    },
  });

  sameEachWay('the same port again at once', {
    run: async (stage) => {
      const server = stage.serve({}, echo);
      await stage.listen(server);
      const { port } = server.address() as { port: number };
      const other = stage.serve({}, echo);
      stage.recorder.note('close');
      const closed = once(server, 'close');
      server.close();
      await closed;
      await stage.listen(other, port, '127.0.0.1');
      const client = await stage.dial(other);
      assert.equal(await exchange(client, 'hello'), 'hello');
      client.destroy();
      other.close();
      await once(other, 'close');
    },
  });
});

describe('P4: closing', () => {
  sameEachWay('a server that does not listen', {
    run: async (stage) => {
      const server = stage.serve();
      await new Promise<void>((resolve) =>
        server.close((error) => {
          stage.recorder.note('closed', error);
          resolve();
        }),
      );
      await stage.listen(server);
      const first = new Promise<void>((resolve) =>
        server.close((error) => {
          stage.recorder.note('closed', error);
          resolve();
        }),
      );
      const second = new Promise<void>((resolve) =>
        server.close((error) => {
          stage.recorder.note('closed', error);
          resolve();
        }),
      );
      await Promise.all([first, second]);
    },
    check: (trace) =>
      assert.equal(
        trace.events.filter(
          ([, error]) => (error as { code?: string } | undefined)?.code === 'ERR_SERVER_NOT_RUNNING',
        ).length,
        2,
      ),
  });

  sameEachWay('waits for the connections', {
    run: async (stage) => {
      const server = stage.serve({}, echo);
      await stage.listen(server);
      const client = await stage.dial(server);
      assert.equal(await exchange(client, 'one'), 'one');
      const port = (server.address() as { port: number }).port;
      server.close(() => stage.recorder.note('closed'));
      stage.recorder.note('closing', server.listening, server.address());
      assert.equal(await exchange(client, 'two'), 'two');
      await assert.rejects(stage.dial(server, { port }), { code: 'ECONNREFUSED' });
      stage.recorder.note('the client ends');
      client.end();
      client.resume();
      await once(server, 'close');
    },
    check: (trace) =>
      assert.deepEqual(namesOf(trace).slice(-3), ['the client ends', 'server close', 'closed']),
  });

  sameEachWay('by a signal', {
    run: async (stage) => {
      const controller = new AbortController();
      const server = stage.serve();
      await stage.listen(server, { port: 0, host: '127.0.0.1', signal: controller.signal });
      controller.abort();
      await once(server, 'close');
      const late = stage.serve();
      late.listen({ port: 0, host: '127.0.0.1', signal: AbortSignal.abort() });
      await once(late, 'close');
    },
  });

  sameEachWay('counts its connections', {
    run: async (stage) => {
      const server = stage.serve({}, echo);
      await stage.listen(server);
      const count = () =>
        new Promise<number>((resolve, reject) =>
          server.getConnections((error, connections) => (error ? reject(error) : resolve(connections))),
        );
      stage.recorder.note('count', await count());
      const one = await stage.dial(server);
      const two = await stage.dial(server);
      assert.equal(await exchange(one, 'x'), 'x');
      assert.equal(await exchange(two, 'x'), 'x');
      stage.recorder.note('count', await count());
      one.destroy();
      await waitFor(async () => (await count()) === 1, { what: 'one connection' });
      two.destroy();
      await waitFor(async () => (await count()) === 0, { what: 'no connection' });
      server.close();
      await once(server, 'close');
    },
    check: (trace) =>
      assert.deepEqual(
        trace.events.filter(([name]) => name === 'count').map(([, count]) => count),
        [0, 2],
      ),
  });
});

describe('P4: errors of listen', () => {
  sameEachWay('EADDRINUSE', {
    run: async (stage) => {
      const { port } = await taken(stage.scope, '127.0.0.1');
      stage.hide(port);
      await failing(stage, port, '127.0.0.1');
    },
    check: (trace) => assert.equal(codeIn(trace, 0), 'EADDRINUSE'),
  });

  sameEachWay('EADDRINUSE without a host', {
    run: async (stage) => {
      const { port } = await taken(stage.scope, '::');
      stage.hide(port);
      await failing(stage, port);
    },
  });

  sameEachWay('EADDRINUSE of a path', {
    run: async (stage) => {
      const directory = tempDir(stage.scope);
      const path = join(directory, 's');
      const server = createNetServer().listen(path);
      await once(server, 'listening');
      stage.scope.after(() => void server.close());
      await failing(stage, path);
    },
  });

  sameEachWay('EADDRNOTAVAIL', { run: (stage) => failing(stage, 0, '192.0.2.1') });
  sameEachWay('a host that nobody knows', { run: (stage) => failing(stage, 0, 'nowhere.invalid') });
  sameEachWay('a directory that is not there', { run: (stage) => failing(stage, '/nowhere-at-all/socket') });

  for (const port of [-1, 65_536, 1.5, Number.NaN, 'x'.repeat(0), {}, true]) {
    sameEachWay(`a port that is ${JSON.stringify(port)}`, {
      run: async (stage) => {
        const server = stage.serve();
        try {
          (server.listen as (...all: unknown[]) => unknown).call(server, port);
          await once(server, 'listening');
          server.close();
          await once(server, 'close');
        } catch (error) {
          stage.recorder.note('thrown', error);
        }
      },
    });
  }

  sameEachWay('is told, and the server can listen elsewhere', {
    run: async (stage) => {
      const { port } = await taken(stage.scope, '127.0.0.1');
      stage.hide(port);
      const server = stage.serve({}, echo);
      server.listen(port, '127.0.0.1');
      await once(server, 'error');
      await stage.listen(server);
      const client = await stage.dial(server);
      assert.equal(await exchange(client, 'hello'), 'hello');
      client.destroy();
      server.close();
      await once(server, 'close');
    },
  });
});

function codeIn(trace: Trace, event: number): unknown {
  const error = trace.events[event]?.[1];
  return (error as { code?: unknown } | undefined)?.code;
}
