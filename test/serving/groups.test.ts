// Issue 4, "Worker groups": processes that listen on one address with equal options share its connections.
import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import {
  type Client,
  makeServingPlace,
  type OrderFailure,
  type ServerProcess,
  servedBy,
} from './server-processes.ts';

const place = makeServingPlace();

async function dialMany(port: number, count: number): Promise<Client[]> {
  const clients: Client[] = [];
  for (let n = 0; n < count; n++) {
    clients.push(await place.dial(port));
    // The next is offered when this one is taken.
    await servedBy(clients.at(-1) as Client);
  }
  return clients;
}

async function tally(clients: readonly Client[], workers: readonly ServerProcess[]): Promise<number[]> {
  const pids = await Promise.all(clients.map(servedBy));
  return workers.map(({ pid }) => pids.filter((one) => one === pid).length);
}

async function two(shared: object = {}): Promise<{ workers: ServerProcess[]; port: number }> {
  const workers = [place.process(), place.process()] as const;
  const port = await place.serve(workers[0], { shared });
  assert.equal(await place.serve(workers[1], { port, shared }), port);
  return { workers: [...workers], port };
}

function end(clients: readonly Client[]): void {
  for (const { socket } of clients) socket.destroy();
}

describe('issue 4: balance', () => {
  test('the worker with the fewest sessions gets the next', async () => {
    const { workers, port } = await two();
    const clients = await dialMany(port, 6);
    assert.deepEqual(await tally(clients, workers), [3, 3]);
    const [first] = workers;
    const ofFirst = [];
    for (const client of clients) if ((await servedBy(client)) === first?.pid) ofFirst.push(client);
    end(ofFirst);
    await waitFor(async () => (await first?.report())?.closed === 3, { what: 'three closed connections' });
    assert.deepEqual(await tally(await dialMany(port, 3), workers), [3, 0]);
  });

  test('round-robin takes each in turn, however long the sessions live', async () => {
    const { workers, port } = await two({ balance: 'round-robin' });
    for (let round = 0; round < 3; round++) {
      const clients = await dialMany(port, 2);
      assert.deepEqual(await tally(clients, workers), [1, 1]);
      end(clients);
    }
  });

  test('connections that come all at once are shared out too', async () => {
    const { workers, port } = await two();
    const clients = await Promise.all(Array.from({ length: 40 }, () => place.dial(port)));
    assert.deepEqual(await tally(clients, workers), [20, 20]);
    end(clients);
  });

  test('two servers of one process are two workers', async () => {
    const worker = place.process();
    const port = await place.serve(worker, { as: 'one' });
    await place.serve(worker, { as: 'two', port });
    const clients = await dialMany(port, 4);
    assert.deepEqual([(await worker.report('one')).opened, (await worker.report('two')).opened], [2, 2]);
    await worker.tell({ do: 'beginClose', as: 'one' });
    const more = await dialMany(port, 2);
    assert.equal((await worker.report('two')).opened, 4);
    end([...clients, ...more]);
    await worker.tell({ do: 'close', as: 'two' });
  });
});

describe('issue 4: joining', () => {
  test('a name is one group, when each lets the system choose the port', async () => {
    const workers = [place.process(), place.process(), place.process()] as const;
    const port = await place.serve(workers[0], { shared: { name: 'web' } });
    assert.equal(await place.serve(workers[1], { shared: { name: 'web' } }), port);
    assert.notEqual(await place.serve(workers[2], { shared: { name: 'other' } }), port);
    const clients = await dialMany(port, 4);
    assert.deepEqual(await tally(clients, workers), [2, 2, 0]);
    end(clients);
  });

  test('without a name and with port 0 each has a port of its own', async () => {
    const workers = [place.process(), place.process()] as const;
    assert.notEqual(await place.serve(workers[0]), await place.serve(workers[1]));
  });

  const differences: [string, object][] = [
    ['requestCert', { requestCert: true }],
    ['ALPNProtocols', { ALPNProtocols: ['h2'] }],
    ['minVersion', { minVersion: 'TLSv1.3' }],
    ['handshakeTimeout', { handshakeTimeout: 1_000 }],
  ];
  for (const [name, tls] of differences) {
    test(`another "${name}" is EADDRINUSE that says so`, async () => {
      const [first, second] = [place.process(), place.process()];
      const port = await place.serve(first);
      await assert.rejects(place.serve(second, { port, tls }), (error: OrderFailure) => {
        assert.equal(error.code, 'EADDRINUSE');
        assert.match(
          error.message,
          new RegExp(`^listen EADDRINUSE: address already in use 127.0.0.1:${port} `),
        );
        assert.ok(error.message.includes(`"${name}"`), error.message);
        return true;
      });
      assert.equal(await servedBy(await place.dial(port)), first.pid);
    });
  }

  test('another certificate is EADDRINUSE while others listen, and names cert and key', async () => {
    const [first, second] = [place.process(), place.process()];
    const port = await place.serve(first);
    const { cert, key } = place.pki.rsa;
    await assert.rejects(place.serve(second, { port, tls: { cert, key } }), (error: OrderFailure) => {
      assert.equal(error.code, 'EADDRINUSE');
      assert.match(error.message, /another .*"cert".*"key"|another .*"key".*"cert"/);
      assert.ok(!error.message.includes('PRIVATE'), 'the key is in the message');
      return true;
    });
  });

  test('an exclusive address is not shared, whoever says so', async () => {
    const [first, second, third] = [place.process(), place.process(), place.process()];
    const address = { host: '127.0.0.1', port: 0, exclusive: true };
    const port = await place.serve(first, { at: [address] });
    await assert.rejects(place.serve(second, { port }), { code: 'EADDRINUSE' });
    const shared = await place.serve(third);
    await assert.rejects(place.serve(second, { at: [{ ...address, port: shared }] }), { code: 'EADDRINUSE' });
  });

  test('reusePort shares a port among those that say so', async () => {
    const [first, second, third] = [place.process(), place.process(), place.process()];
    const port = await place.serve(first, { at: [{ host: '127.0.0.1', port: 0, reusePort: true }] });
    await place.serve(second, { at: [{ host: '127.0.0.1', port, reusePort: true }] });
    await assert.rejects(place.serve(third, { port }), { code: 'EADDRINUSE' });
    const clients = await dialMany(port, 2);
    assert.deepEqual(await tally(clients, [first, second]), [1, 1]);
    end(clients);
  });

  test('a Unix socket is shared like a port', async () => {
    const workers = [place.process(), place.process()] as const;
    const path = `${place.daemon.directory}/www`;
    for (const worker of workers) assert.equal((await place.start(worker, { at: [path] })).address, path);
    const clients = [await place.dial(0, { path } as object), await place.dial(0, { path } as object)];
    assert.deepEqual(await tally(clients, workers), [1, 1]);
    end(clients);
    for (const worker of workers) await worker.tell({ do: 'close', as: 'main' });
  });

  test('a worker that joins as the last one closes has the port', async () => {
    const worker = place.process();
    for (let round = 0; round < 10; round++) {
      const port = await place.serve(worker, { as: `old ${round}` });
      const joining = place.serve(worker, { as: `new ${round}`, port });
      const closing = worker.tell({ do: 'close', as: `old ${round}` });
      await Promise.all([joining, closing]);
      const client = await place.dial(port);
      assert.equal(await servedBy(client), worker.pid);
      end([client]);
    }
  });
});

describe('issue 4: new certificates', () => {
  test('setSecureContext of one worker counts for all, and live sessions stay', async () => {
    const { workers, port } = await two();
    const before = await place.dial(port);
    const server = await servedBy(before);
    const { cert, key } = place.pki.rsa;
    await workers[0]?.tell({ do: 'setContext', as: 'main', options: { cert, key } });
    const isRsa = async () => {
      const client = await place.dial(port);
      const { bits = 0 } = client.socket.getPeerCertificate() as { bits?: number };
      assert.ok(await servedBy(client));
      end([client]);
      return bits >= 2_048;
    };
    await waitFor(isRsa, { what: 'the new certificate' });
    for (let n = 0; n < 4; n++) assert.ok(await isRsa());
    assert.equal(await servedBy(before), server);
    // Who comes with the old ones or with the new ones joins.
    const [old, young] = [place.process(), place.process()];
    await place.serve(old, { port });
    await place.serve(young, { port, tls: { cert, key } });
    assert.ok(await isRsa());
    end([before]);
  });

  test('a certificate that is broken changes nothing, and the worker is told', async () => {
    const { workers, port } = await two();
    const { cert } = place.pki.client;
    const { key } = place.pki.good;
    await assert.rejects(async () =>
      workers[0]?.tell({ do: 'setContext', as: 'main', options: { cert, key } }),
    );
    assert.ok(await servedBy(await place.dial(port)));
  });
});

describe('issue 4: the address is the daemon’s', () => {
  test('P4: IPv6 and IPv4 of the unspecified address', async () => {
    const worker = place.process();
    const { address } = await place.start(worker, { at: [0] });
    assert.deepEqual({ ...(address as AddressInfo), port: 0 }, { address: '::', family: 'IPv6', port: 0 });
    const { port } = address as AddressInfo;
    for (const host of ['127.0.0.1', '::1']) assert.ok(await servedBy(await place.dial(port, { host })));
  });

  test('P4: ipv6Only keeps IPv4 out', async () => {
    const worker = place.process();
    const { address } = await place.start(worker, { at: [{ port: 0, host: '::', ipv6Only: true }] });
    const { port } = address as AddressInfo;
    assert.ok(await servedBy(await place.dial(port, { host: '::1' })));
    await assert.rejects(place.dial(port), { code: 'ECONNREFUSED' });
  });
});
