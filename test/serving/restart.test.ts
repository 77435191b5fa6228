// Issue 4, "Restart": between two lives of an application nobody is refused.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { before, describe, test } from 'node:test';
import nodeTls from 'node:tls';
import { runCli } from '#helpers/run-node.js';
import { closed, opened } from '#helpers/streams.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Client, makeServingPlace, type OrderFailure, servedBy } from './server-processes.ts';

const place = makeServingPlace({ arguments: ['--drain-deadline', '500ms'] });

async function refused(port: number): Promise<boolean> {
  const socket = connectPlain(port, '127.0.0.1');
  const code = await new Promise((resolve) => {
    socket.on('connect', () => resolve('connected'));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
  });
  socket.destroy();
  return code === 'ECONNREFUSED';
}

async function daemonStatus(): Promise<{ links: number; pid: number }> {
  return (await place.daemon.status()).status as { links: number; pid: number };
}

async function waitingSessions(): Promise<number> {
  return (await place.daemon.sessions()).filter(({ state }) => state === 'accepted').length;
}

describe('issue 4: linger', () => {
  for (const adopts of [false, true]) {
    test(`connections wait for the next worker, bytes and all (adopts ${adopts})`, async () => {
      const first = place.process();
      const port = await place.serve(first, { adopts });
      await first.kill();
      const clients = await Promise.all(Array.from({ length: 5 }, () => place.dial(port)));
      for (const { socket } of clients) socket.write('early line\n');
      await waitFor(async () => (await waitingSessions()) === 5, { what: 'five sessions that wait' });
      const sides = (await place.daemon.sessions()).map(({ side }) => side);
      assert.ok(sides.includes('server'));
      const second = place.process();
      assert.equal(await place.serve(second, { port, adopts }), port);
      for (const client of clients) {
        assert.equal(await client.ask('next line'), `${second.pid} early line`);
        assert.equal(await client.ask('who'), `${second.pid} next line`);
      }
      for (const { socket } of clients) socket.destroy();
      await second.tell({ do: 'close', as: 'main' });
      assert.ok(await refused(port));
    });
  }

  test('when it is over the port is closed, and who waited is told', async () => {
    const worker = place.process();
    const port = await place.serve(worker, { shared: { linger: 700 } });
    await worker.kill();
    const client = await place.dial(port);
    assert.equal(await client.ended(), 'end');
    await waitFor(() => refused(port), { what: 'ECONNREFUSED' });
    // Another application may have the port now.
    const next = place.process();
    assert.equal(await place.serve(next, { port, tls: { ALPNProtocols: ['other'] } }), port);
  });

  test('without linger the port is closed with the process', async () => {
    const worker = place.process();
    const port = await place.serve(worker, { shared: { linger: 0 }, adopts: true });
    assert.equal(await servedBy(await place.dial(port)), worker.pid);
    const client = await place.dial(port);
    assert.equal(await servedBy(client), worker.pid);
    await worker.kill();
    await waitFor(() => refused(port), { what: 'ECONNREFUSED' });
    assert.equal(await client.ended(), 'end');
  });

  test('at most `backlog` connections wait', async () => {
    const worker = place.process();
    const port = await place.serve(worker, { shared: { backlog: 3 } });
    await worker.kill();
    const clients: Client[] = [];
    for (let n = 0; n < 6; n++) clients.push(await place.dial(port));
    await waitFor(
      () => {
        for (const { socket } of clients) socket.resume();
        return clients.filter((client) => client.outcome() !== 'open').length === 3;
      },
      { what: 'three connections that are refused' },
    );
    const next = place.process();
    await place.serve(next, { port });
    const kept = clients.filter((client) => client.outcome() === 'open');
    for (const client of kept) {
      client.socket.pause();
      assert.equal(await servedBy(client), next.pid);
    }
  });

  test('close() is no restart: the last worker closes the port at once, and its sessions go on', async () => {
    const worker = place.process();
    const port = await place.serve(worker);
    const client = await place.dial(port);
    assert.equal(await servedBy(client), worker.pid);
    const closing = worker.tell({ do: 'close', as: 'main' });
    await waitFor(() => refused(port), { what: 'ECONNREFUSED' });
    assert.equal(await servedBy(client), worker.pid);
    client.socket.end();
    await closing;
  });

  test('handOff() of the last worker keeps the port', async () => {
    const worker = place.process();
    const port = await place.serve(worker);
    await worker.tell({ do: 'handOff', as: 'main' });
    const client = await place.dial(port);
    client.tell('who');
    const next = place.process();
    await place.serve(next, { port });
    assert.equal(await client.ask('x'), String(next.pid));
  });

  test('a new certificate comes with the restarted worker, and so do other options, when nobody else listens', async () => {
    const first = place.process();
    const port = await place.serve(first);
    await first.kill();
    const waiting = await place.dial(port);
    const { cert, key } = place.pki.rsa;
    const second = place.process();
    await place.serve(second, { port, tls: { cert, key, ALPNProtocols: ['one'] } });
    assert.equal(await servedBy(waiting), second.pid);
    const client = await place.dial(port, { ALPNProtocols: ['one'] });
    assert.equal(client.socket.alpnProtocol, 'one');
    assert.ok(((client.socket.getPeerCertificate() as { bits?: number }).bits ?? 0) >= 2_048);
    assert.equal(await servedBy(client), second.pid);
    // From now on those are the options of the group.
    const third = place.process();
    await assert.rejects(
      place.serve(third, { port }),
      (error: OrderFailure) => error.code === 'EADDRINUSE' && error.message.includes('"ALPNProtocols"'),
    );
  });

  test('a handshake that began under the old worker is done under the new one', async () => {
    const first = place.process();
    const port = await place.serve(first);
    const carrier = connectPlain(port, '127.0.0.1');
    await once(carrier, 'connect');
    await first.kill();
    const { cert, key } = place.pki.rsa;
    const second = place.process();
    await place.serve(second, { port, tls: { cert, key } });
    const socket = nodeTls.connect({ socket: carrier, servername: 'localhost', ca: place.pki.ca.cert });
    await opened(socket);
    socket.write('who\n');
    await once(socket, 'readable');
    assert.equal(String(socket.read()).trim(), String(second.pid));
    socket.destroy();
  });
});

describe('P16: the daemon goes, the servers stay', () => {
  before(() => place.endProcesses());

  const ends: [title: string, end: () => Promise<unknown>, lastError: string][] = [
    ['killed', () => place.daemon.kill('SIGKILL'), 'ERR_TLSHUB_DAEMON_LOST'],
    ['stopped', () => runCli(['stop', '--directory', place.daemon.directory]), 'ERR_TLSHUB_DRAINING'],
    ['drained', () => runCli(['drain', '--directory', place.daemon.directory]), 'ERR_TLSHUB_DRAINING'],
  ];
  for (const [title, endDaemon, lastError] of ends) {
    for (const adopts of [false, true]) {
      test(`${title}: each socket gets one error, and the workers listen again (adopts ${adopts})`, async () => {
        const workers = [place.process(), place.process()] as const;
        const port = await place.serve(workers[0], { adopts });
        await place.serve(workers[1], { adopts, port });
        const clients = [await place.dial(port), await place.dial(port)] as const;
        for (const client of clients) await servedBy(client);
        const before = await daemonStatus();
        await endDaemon();
        for (const client of clients) await client.ended();
        await waitFor(
          async () => {
            const reports = await Promise.all(workers.map((worker) => worker.report()));
            return reports.every(({ closed: count }) => count === 1);
          },
          { what: 'the end of the sockets', deadlineMs: 20_000 },
        );
        for (const worker of workers) {
          const { errors, failures } = await worker.report();
          assert.deepEqual(failures, []);
          assert.deepEqual(errors, [lastError]);
        }
        const again: Client[] = [];
        await waitFor(
          async () => {
            try {
              again.push(await place.dial(port));
            } catch {
              return false;
            }
            return true;
          },
          { what: 'the port' },
        );
        again.push(await place.dial(port));
        // The one that asks is linked too.
        await waitFor(async () => (await daemonStatus()).links >= 3, { what: 'both workers' });
        again.push(await place.dial(port), await place.dial(port), await place.dial(port));
        const pids = new Set(await Promise.all(again.map(servedBy)));
        assert.deepEqual(pids, new Set(workers.map(({ pid }) => pid)));
        assert.notEqual((await daemonStatus()).pid, before.pid);
        await place.endProcesses();
        await runCli(['stop', '--directory', place.daemon.directory]);
        await place.restartDaemon();
      });
    }
  }

  test('a Unix socket is made again, though a killed daemon leaves its file', async () => {
    const worker = place.process();
    const path = `${place.daemon.directory}/again`;
    await place.start(worker, { at: [path] });
    await place.daemon.kill('SIGKILL');
    await waitFor(
      async () => {
        const socket = nodeTls.connect({ path, ca: place.pki.ca.cert, servername: 'localhost' } as object);
        try {
          await opened(socket);
          return true;
        } catch {
          return false;
        } finally {
          socket.destroy();
          await closed(socket);
        }
      },
      { what: 'the path' },
    );
    await place.endProcesses();
    await runCli(['stop', '--directory', place.daemon.directory]);
    await place.restartDaemon();
  });

  test('a port that another process took meanwhile is an error of the server', async () => {
    const worker = place.process();
    const port = await place.serve(worker);
    worker.signal('SIGSTOP');
    await place.daemon.kill('SIGKILL');
    const thief = place.process();
    await place.serve(thief, { port, shared: false });
    worker.signal('SIGCONT');
    await waitFor(async () => (await worker.report()).failures.includes('EADDRINUSE'), {
      what: 'EADDRINUSE',
      deadlineMs: 25_000,
    });
    await place.endProcesses();
    await runCli(['stop', '--directory', place.daemon.directory]);
    await place.restartDaemon();
  });

  test('a server that is closed while its daemon is gone stays closed', async () => {
    const worker = place.process();
    const port = await place.serve(worker);
    await place.daemon.kill('SIGKILL');
    await worker.tell({ do: 'close', as: 'main' });
    // The call may have met the daemon that its process had started already.
    await runCli(['stop', '--directory', place.daemon.directory]);
    await place.restartDaemon();
    const other = place.process();
    await place.serve(other, { port });
    assert.equal(await servedBy(await place.dial(port)), other.pid);
  });
});
