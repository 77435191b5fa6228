// A port of the daemon as a server has it, from the call that opens it to the moment at which its application is told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { opened } from '#helpers/streams.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { normalizeListenArguments } from '#src/wrapper/server/listen-arguments.js';
import { RemoteListener } from '#src/wrapper/server/remote-listener.js';
import { resolveServer } from '#src/wrapper/server/resolve-server.js';
import { ServerDescription } from '#src/wrapper/server/server-description.js';
import { resolveServerSharing } from '#src/wrapper/server/server-sharing.js';
import type { TrunkPipe } from '#src/wrapper/server/trunk-pipe.js';
import { makeTestPki } from '../../sharing/test-pki.ts';

test('a session that comes before the server has said that it listens is another worker’s when it closes', async (t) => {
  const pki = await makeTestPki();
  const daemon = await startTestDaemon(t);
  process.env.TLSHUB_DIR = daemon.directory;
  t.after(() => {
    delete process.env.TLSHUB_DIR;
  });
  const { cert, key } = pki.good;
  const resolved = resolveServer({ cert, key });
  const sharing = resolveServerSharing({ survive: true });
  assert.ok(resolved.shared && sharing !== undefined);
  const given: string[] = [];
  const pipes: TrunkPipe[] = [];
  const listener = (name: string, port: number) => {
    const description = new ServerDescription(resolved, sharing, createServer({ cert, key }));
    const wanted = normalizeListenArguments([port, '127.0.0.1']);
    assert.ok('address' in wanted);
    return new RemoteListener(description, wanted.address, {
      listenerOnOffer: () => void given.push(`${name} offer`),
      listenerOnSession: (_opening, pipe) => {
        given.push(name);
        pipes.push(pipe);
      },
      listenerOnClientError: () => {},
      listenerOnQuestion: () => {},
      listenerOnError: (error) => void given.push(`${name} ${error.message}`),
    });
  };
  const first = listener('first', 0);
  await first.open();
  const { port } = first.address as { port: number };
  const client = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: pki.ca.cert });
  t.after(() => void client.destroy());
  await opened(client);
  await waitFor(async () => (await daemon.sessions()).some(({ state }) => state === 'leased'), {
    what: 'the session to be taken',
  });
  const second = listener('second', port);
  await second.open();
  second.begin();
  t.after(() => second.close(false));
  t.after(() => {
    for (const pipe of pipes) pipe.close();
  });
  await first.close(false);
  await waitFor(() => given.length > 0, { what: 'the session at the other worker' });
  assert.deepEqual(given, ['second']);
});
