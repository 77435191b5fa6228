// Issue 4: session tickets of a server stay good over a restart of its workers, because the daemon has their keys, and
// are refused where accepting them would let a client in under another name than it was verified for.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
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
let own: ShareableServerOptions;
before(async () => {
  pki = await makeTestPki();
  await useTestDaemon(scope);
  own = { cert: pki.good.cert, key: pki.good.key };
});

async function serve(options: ShareableServerOptions, port = 0): Promise<TlshubServer> {
  const server = tls.createServer({ ...options, shared: { fallback: false } }, (socket) => {
    socket.on('error', () => {});
    socket.end('welcome');
  });
  server.listen(port, '127.0.0.1');
  await within(once(server, 'listening'), { what: 'listening' });
  return server;
}

async function close(server: TlshubServer): Promise<void> {
  server.close();
  await once(server, 'close');
}

/** Visits a server; answers the ticket that it gave, and whether an earlier one was good. */
async function visit(
  port: number,
  options: ConnectionOptions,
): Promise<{ ticket: Buffer | undefined; resumed: boolean }> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: pki.ca.cert, ...options });
  let ticket: Buffer | undefined;
  socket.on('session', (session: Buffer) => {
    ticket = session;
  });
  let resumed = false;
  socket.once('secureConnect', () => {
    resumed = socket.isSessionReused();
  });
  socket.resume();
  await within(once(socket, 'close'), { what: 'the end of a visit' });
  return { ticket, resumed };
}

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`issue 4: a ticket is good after the last worker has closed and another listens (${maxVersion})`, async () => {
    const port = await unusedPort();
    const first = await serve(own, port);
    const { ticket: session, resumed } = await visit(port, { maxVersion });
    assert.equal(resumed, false);
    assert.ok(session !== undefined);
    await close(first);
    const second = await serve(own, port);
    assert.equal((await visit(port, { maxVersion, session })).resumed, true);
    await close(second);
    // One that judges its clients otherwise takes none of them.
    const other = await serve({ ...own, requestCert: true, rejectUnauthorized: false }, port);
    assert.equal((await visit(port, { maxVersion, session })).resumed, false);
    await close(other);
  });

  test(`issue 4: a ticket is good after setSecureContext with a new certificate (${maxVersion})`, async () => {
    const server = await serve(own);
    const { port } = server.address() as AddressInfo;
    const { ticket: session } = await visit(port, { maxVersion });
    assert.ok(session !== undefined);
    const { cert, key } = await pki.ca.issue({ names: ['localhost'] });
    server.setSecureContext({ cert, key });
    assert.equal((await visit(port, { maxVersion, session })).resumed, true);
    await close(server);
  });

  test(`P2: a server with certificates for names that verifies its clients takes no tickets (${maxVersion})`, async () => {
    const mutual = { ...own, ca: pki.ca.cert, requestCert: true };
    const client = { cert: pki.client.cert, key: pki.client.key, maxVersion };
    const server = await serve(mutual);
    const { port } = server.address() as AddressInfo;
    const { ticket: session } = await visit(port, client);
    assert.ok(session !== undefined);
    assert.equal((await visit(port, { ...client, session })).resumed, true);
    server.addContext('other.test', {
      cert: pki.wrongName.cert,
      key: pki.wrongName.key,
      ca: pki.strangeCa.cert,
    });
    await within(
      (async () => {
        while ((await visit(port, { ...client, session })).resumed);
      })(),
      { what: 'the first refusal' },
    );
    const { ticket: later } = await visit(port, client);
    assert.equal((await visit(port, { ...client, session: later ?? session })).resumed, false);
    await close(server);
  });
}

test('P13: keys that the application sets are used and given back; those of the daemon are not told', async () => {
  const server = await serve(own);
  const { port } = server.address() as AddressInfo;
  assert.throws(() => server.getTicketKeys(), { code: 'ERR_TLSHUB_UNSUPPORTED' });
  const keys = Buffer.alloc(48, 7);
  server.setTicketKeys(keys);
  assert.deepEqual(server.getTicketKeys(), keys);
  const { ticket: session } = await visit(port, {});
  await close(server);
  const another = await serve({ ...own, ticketKeys: keys });
  assert.equal((await visit((another.address() as AddressInfo).port, { session })).resumed, true);
  await close(another);
});
