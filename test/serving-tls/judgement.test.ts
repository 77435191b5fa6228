// A server that judges its clients otherwise than the one before it on the same port: nothing that was found under the
// old rules counts under the new ones, neither tickets nor connections that wait.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import { unusedPort } from '#helpers/listen.js';
import { fileScope } from '#helpers/scope.js';
import { within } from '#helpers/wait-for.js';
import tls, { type ShareableServerOptions, type TlshubServer } from '#src/index.js';
import { useTestDaemon } from '../sharing/both-ways.ts';
import { makeTestPki, type TestPki } from '../sharing/test-pki.ts';

const scope = fileScope();
let pki: TestPki;
let open: ShareableServerOptions;
let mutual: ShareableServerOptions;
before(async () => {
  pki = await makeTestPki();
  await useTestDaemon(scope);
  open = { cert: pki.good.cert, key: pki.good.key };
  mutual = { ...open, ca: pki.ca.cert, requestCert: true, rejectUnauthorized: true };
});

async function serve(options: ShareableServerOptions, port: number): Promise<TlshubServer> {
  const server = tls.createServer({ ...options, shared: { fallback: false } }, (socket) => {
    socket.on('error', () => {});
    socket.end('welcome');
  });
  server.listen(port, '127.0.0.1');
  await within(once(server, 'listening'), { what: 'listening' });
  return server;
}

interface Visit {
  ticket: Buffer | undefined;
  heard: string;
}

/** Connects, and hears what the server says until the end. */
function dial(
  port: number,
  options: ConnectionOptions = {},
): { shaken: Promise<void>; over: Promise<Visit> } {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: pki.ca.cert, ...options });
  const visit: Visit = { ticket: undefined, heard: '' };
  socket.on('session', (session: Buffer) => {
    visit.ticket = session;
  });
  socket.on('data', (chunk: Buffer) => {
    visit.heard += chunk;
  });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const shaken = new Promise<void>((resolve) => socket.once('secureConnect', () => resolve()));
  return { shaken, over: within(closed, { what: 'the end of a visit' }).then(() => visit) };
}

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`P2: a ticket of a port that asked for no certificate is none where one is asked for (${maxVersion})`, async () => {
    const port = await unusedPort();
    const first = await serve(open, port);
    const { ticket: session } = await dial(port, { maxVersion }).over;
    assert.ok(session !== undefined);
    // The port lingers.
    await first.handOff();
    const second = await serve(mutual, port);
    assert.equal((await dial(port, { maxVersion }).over).heard, '');
    assert.equal((await dial(port, { maxVersion, session }).over).heard, '');
    second.close();
    await once(second, 'close');
  });

  test(`P2: a ticket is none after setSecureContext with another CA (${maxVersion})`, async () => {
    const port = await unusedPort();
    const server = await serve(mutual, port);
    const client = { cert: pki.client.cert, key: pki.client.key, maxVersion };
    const { ticket: session, heard } = await dial(port, client).over;
    assert.equal(heard, 'welcome');
    assert.ok(session !== undefined);
    server.setSecureContext({ ...open, ca: pki.strangeCa.cert });
    await within(
      (async () => {
        while ((await dial(port, client).over).heard !== '');
      })(),
      { what: 'the first refusal' },
    );
    assert.equal((await dial(port, { ...client, session }).over).heard, '');
    server.close();
    await once(server, 'close');
  });
}

test('P2: who waits since before nobody was asked for a certificate is not let in by a server that asks for one', async () => {
  const port = await unusedPort();
  const first = await serve(open, port);
  await first.handOff();
  const early = dial(port);
  await early.shaken;
  const second = await serve(mutual, port);
  assert.equal((await early.over).heard, '');
  second.close();
  await once(second, 'close');
});
