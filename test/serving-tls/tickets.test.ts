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
import tls, { type ShareableServerOptions, sessions, type TlshubServer } from '#src/index.js';
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

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`P2: a ticket from before clients had to show a certificate lets nobody in (${maxVersion})`, async () => {
    const port = await unusedPort();
    const open = await serve(own, port);
    const { ticket: session } = await visit(port, { maxVersion });
    assert.ok(session !== undefined);
    await open.handOff();
    const strict = await serve({ ...own, ca: pki.ca.cert, requestCert: true }, port);
    let served = 0;
    strict.on('secureConnection', () => {
      served += 1;
    });
    await assert.rejects(async () => {
      const { resumed } = await visit(port, { maxVersion, session });
      if (maxVersion === 'TLSv1.3' && !resumed) throw new Error('not resumed');
    });
    assert.equal(served, 0);
    await close(strict);
  });

  test(`P2: a ticket of a client that another CA list let in is not taken (${maxVersion})`, async () => {
    const mutual = { ...own, ca: pki.ca.cert, requestCert: true, rejectUnauthorized: false };
    const client = { cert: pki.client.cert, key: pki.client.key, maxVersion };
    const port = await unusedPort();
    const server = await serve(mutual, port);
    const { ticket: session } = await visit(port, client);
    assert.ok(session !== undefined);
    assert.equal((await visit(port, { ...client, session })).resumed, true);
    server.setSecureContext({ ...own, ca: pki.strangeCa.cert });
    // The call goes to the daemon before any later visit does.
    await sessions();
    assert.equal((await visit(port, { ...client, session })).resumed, false);
    await server.handOff();
    // Nor by a server that has the old list again but had the other one in between, when its keys are not the same.
    const restarted = await serve({ ...mutual, ca: pki.strangeCa.cert }, port);
    assert.equal((await visit(port, { ...client, session })).resumed, false);
    await close(restarted);
  });

  test(`P2: ticket keys that a lone new worker brings are in force (${maxVersion})`, async () => {
    const port = await unusedPort();
    const first = await serve({ ...own, ticketKeys: Buffer.alloc(48, 1) }, port);
    const { ticket: session } = await visit(port, { maxVersion });
    await first.handOff();
    const second = await serve({ ...own, ticketKeys: Buffer.alloc(48, 2) }, port);
    assert.equal((await visit(port, { maxVersion, session })).resumed, false);
    await close(second);
  });
}

test('P2: keys that are set on a server that verifies its clients and asks for certificates by name let no ticket in', async () => {
  const mutual = { ...own, ca: pki.ca.cert, requestCert: true };
  const server = await serve({ ...mutual, SNICallback: (_name, callback) => callback(null) });
  const { port } = server.address() as AddressInfo;
  server.setTicketKeys(Buffer.alloc(48, 3));
  await sessions();
  const client = { cert: pki.client.cert, key: pki.client.key };
  const { ticket: session } = await visit(port, client);
  assert.ok(session !== undefined);
  assert.equal((await visit(port, { ...client, session })).resumed, false);
  await close(server);
});

test('issue 4: the names of a worker that is gone are gone with it', async () => {
  const port = await unusedPort();
  const first = await serve(own, port);
  first.addContext('other.test', { cert: pki.wrongName.cert, key: pki.wrongName.key });
  await sessions();
  const name = async () => {
    const options = { port, host: '127.0.0.1', servername: 'other.test', rejectUnauthorized: false };
    const socket = connect(options);
    await once(socket, 'secureConnect');
    const { CN } = socket.getPeerCertificate().subject;
    socket.destroy();
    return CN;
  };
  assert.equal(await name(), 'other.test');
  await first.handOff();
  const second = await serve(own, port);
  assert.equal(await name(), 'localhost');
  await close(second);
});

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
