// P9, P10, P14: who may serve, how many handshakes there may be, and that nothing is left behind.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect as connectPlain, type Socket } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { CAN_BECOME_OTHERS, runAsOther } from '#helpers/other-user.js';
import { runCli } from '#helpers/run-node.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Client, makeServingPlace, servedBy } from './server-processes.ts';

const place = makeServingPlace({
  arguments: [...['--max-handshakes', '8', '--max-handshakes-per-address', '5']],
});

interface Status {
  servers: {
    address: string;
    workers: { pid: number; stalled: boolean; sessions: number }[];
    held: number;
    waiting: number;
    refused: number;
    failures: number;
  }[];
  handshakes: { inFlight: number; waiting: number; turnedAway: number };
}

async function status(): Promise<Status> {
  return (await place.daemon.status()).status as Status;
}

/** A connection that says nothing. */
async function mute(port: number, localAddress: string): Promise<Socket> {
  const socket = connectPlain({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  socket.resume();
  place.scope.after(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

function descriptors(): number {
  return readdirSync(`/proc/${place.daemon.pid}/fd`).length;
}

describe('P9: handshakes in flight', () => {
  afterEach(() => place.endProcesses());

  test('one address has at most so many; others are served meanwhile, and it is too when one is over', async () => {
    const worker = place.process();
    const port = await place.serve(worker);
    const flood = await Promise.all(Array.from({ length: 5 }, () => mute(port, '127.0.0.2')));
    await waitFor(async () => (await status()).handshakes.inFlight === 5, { what: 'five handshakes' });
    const sixth = await mute(port, '127.0.0.2');
    await waitFor(() => sixth.closed || sixth.destroyed || sixth.readableEnded, {
      what: 'the sixth to be closed',
    });
    assert.equal((await status()).handshakes.turnedAway, 1);
    assert.equal(await servedBy(await place.dial(port)), worker.pid);
    flood[0]?.destroy();
    await waitFor(async () => (await status()).handshakes.inFlight === 4, { what: 'four handshakes' });
    assert.equal(await servedBy(await place.dial(port, { localAddress: '127.0.0.2' } as object)), worker.pid);
    for (const socket of flood) socket.destroy();
    await waitFor(async () => (await status()).handshakes.inFlight === 0, { what: 'none' });
  });

  test('a flood from many addresses holds others up for seconds, not for its handshake timeout', async () => {
    const worker = place.process();
    const port = await place.serve(worker);
    const flood: Socket[] = [];
    for (const address of ['127.0.0.3', '127.0.0.4'])
      for (let n = 0; n < 4; n++) flood.push(await mute(port, address));
    await waitFor(async () => (await status()).handshakes.inFlight === 8, { what: 'eight handshakes' });
    const began = performance.now();
    const clients = await Promise.all([place.dial(port), place.dial(port)]);
    assert.ok(performance.now() - began < 8_000, `it took ${performance.now() - began} ms`);
    for (const client of clients) assert.equal(await servedBy(client), worker.pid);
    for (const socket of flood) socket.destroy();
    await waitFor(async () => (await status()).handshakes.inFlight === 0, { what: 'none' });
  });

  test('P14: what is said before TLS, or in the place of it, ends that connection only', async () => {
    const worker = place.process();
    const port = await place.serve(worker);
    const client = await place.dial(port);
    for (const bytes of ['', '\x16\x03\x01\xff\xff', 'GET / HTTP/1.0\r\n\r\n', '\0'.repeat(70_000)]) {
      const socket = await mute(port, '127.0.0.1');
      socket.write(bytes, 'latin1');
      if (bytes.length < 10) socket.end();
      await waitFor(() => socket.destroyed || socket.readableEnded, { what: 'the end' });
      socket.destroy();
    }
    assert.equal(await servedBy(client), worker.pid);
    await waitFor(async () => (await worker.report()).clientErrors.length >= 2, { what: 'tlsClientError' });
    assert.equal((await status()).handshakes.inFlight, 0);
  });
});

describe('issue 4: what is seen and what is left', () => {
  afterEach(() => place.endProcesses());

  test('`tlshub status` shows the servers, `tlshub sessions` their sessions', async () => {
    const [first, second] = [place.process(), place.process()];
    const port = await place.serve(first);
    await place.serve(second, { port });
    const clients = await Promise.all([place.dial(port), place.dial(port)]);
    await Promise.all(clients.map(servedBy));
    const { servers } = await status();
    const server = servers.find(({ address }) => address === `127.0.0.1:${port}`);
    assert.deepEqual(
      [server?.held, server?.waiting, server?.refused, server?.workers.map(({ pid }) => pid)],
      [2, 0, 0, [first.pid, second.pid]],
    );
    const shown = await runCli(['status', '--directory', place.daemon.directory]);
    const line = shown.stdout.split('\n').find((text) => text.startsWith(`127.0.0.1:${port}`));
    assert.match(line ?? shown.stdout, new RegExp(`${first.pid}, ${second.pid} +2 +0 +0 +0`));
    await Promise.all([first.kill(), second.kill()]);
    const waiting = await place.dial(port);
    await waitFor(async () => (await place.sessionOf(waiting))?.state === 'accepted', {
      what: 'a waiting session',
    });
    const listed = await runCli(['sessions', '--json', '--directory', place.daemon.directory]);
    const session = (JSON.parse(listed.stdout) as { peer: string; side: string; state: string }[]).find(
      ({ peer }) => peer === waiting.peer,
    );
    assert.deepEqual([session?.side, session?.state], ['server', 'accepted']);
    assert.equal((await status()).servers.find(({ address }) => address === `127.0.0.1:${port}`)?.waiting, 1);
  });

  test('a daemon with an open port does not end for idleness', async (t) => {
    const daemon = await startTestDaemon(t, { arguments: ['--idle-exit', '1500ms'] });
    const env = { TLSHUB_DIR: daemon.directory };
    const worker = place.process(env);
    const port = await place.serve(worker);
    await worker.kill();
    const began = performance.now();
    await waitFor(() => performance.now() - began > 3_000, { what: 'more than the idle time' });
    assert.equal(daemon.child.exitCode, null);
    const next = place.process(env);
    await place.serve(next, { port });
    const client = await place.dial(port);
    assert.equal(await servedBy(client), next.pid);
    client.socket.destroy();
    await next.tell({ do: 'close', as: 'main' });
    await next.kill();
    await waitFor(() => daemon.child.exitCode === 0, { what: 'the end of an idle daemon' });
  });

  test('descriptors and sessions are back where they were', async () => {
    const keeper = place.process();
    await place.serve(keeper);
    await waitFor(async () => (await status()).servers.every(({ workers }) => workers.length > 0), {
      what: 'the ports of other tests to be closed',
      deadlineMs: 40_000,
    });
    const before = descriptors();
    for (const adopts of [false, true]) {
      const worker = place.process();
      const port = await place.serve(worker, { adopts });
      const clients: Client[] = [];
      for (let n = 0; n < 20; n++) clients.push(await place.dial(port));
      await Promise.all(clients.map(servedBy));
      for (const [index, client] of clients.entries()) {
        if (index % 4 === 0) client.tell('destroy');
        else if (index % 4 === 1) client.tell('end');
        else if (index % 4 === 2) client.socket.end();
        else client.socket.destroy();
        client.socket.resume();
      }
      await worker.tell({ do: 'close', as: 'main' });
      await worker.kill();
    }
    await waitFor(async () => (await place.daemon.sessions()).length === 0, { what: 'no session' });
    await waitFor(() => descriptors() <= before, { what: () => `${before} descriptors (${descriptors()})` });
  });
});

test('P10: another user cannot serve here, or join a group', async () => {
  const worker = place.process();
  await place.serve(worker, { shared: { name: 'mine' } });
  if (!CAN_BECOME_OTHERS) {
    // Only root can show more than that the directory is closed to others.
    assert.equal(place.daemon.child.exitCode, null);
    return;
  }
  const { cert, key } = place.pki.good;
  const answer = await runAsOther(
    `
    import { createServer } from 'tlshub';
    const [directory, cert, key] = process.argv.slice(1);
    process.env.TLSHUB_DIR = directory;
    becomeOther();
    const server = createServer({ cert, key, shared: { name: 'mine', fallback: false } });
    server.on('error', (error) => { console.log(JSON.stringify(error.code)); process.exit(); });
    server.listen(0, '127.0.0.1', () => { console.log('"listening"'); process.exit(); });
    `,
    [place.daemon.directory, cert, key],
  );
  assert.match(String(answer), /^ERR_TLSHUB_(DIRECTORY|PEER_CREDENTIALS|DAEMON_UNREACHABLE|START_FAILED)$/);
});
