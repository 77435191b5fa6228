// Issue 4: what a handshake does on a server of the daemon is what it does with node:tls in the process: certificates
// by name, protocols, client certificates, stapled responses, failures. Each case runs both ways, and both are compared.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { before, test } from 'node:test';
import nodeTls, { createSecureContext, type SecureContext } from 'node:tls';
import { fileScope, type Scope } from '#helpers/scope.js';
import { waitFor } from '#helpers/wait-for.js';
import tls, { type ShareableServerOptions, type TlshubServer } from '#src/index.js';
import { MODES, type Mode, useTestDaemon } from '../sharing/both-ways.ts';
import { makeTestPki, type TestPki } from '../sharing/test-pki.ts';
import {
  type ClientView,
  type ObservedServer,
  observedServer,
  visit,
  visitPlainly,
} from './observed-server.ts';

interface Pair {
  cert: string;
  key: string;
}

const scope = fileScope();
let pki: TestPki;
let own: ShareableServerOptions;
let byName: Record<'a.test' | '*.b.test' | 'c.test', Pair>;
before(async () => {
  pki = await makeTestPki();
  await useTestDaemon(scope);
  own = { cert: pki.good.cert, key: pki.good.key };
  byName = {
    'a.test': await issue('a.test'),
    '*.b.test': await issue('*.b.test'),
    'c.test': await issue('c.test'),
  };
});

async function issue(name: string): Promise<Pair> {
  const { cert, key } = await pki.ca.issue({ names: [name] });
  return { cert, key };
}

/** Runs a case both ways; what it answers must be equal. */
async function compare<Result>(run: (mode: Mode) => Promise<Result>): Promise<Result> {
  const [direct, shared] = [await run('direct'), await run('shared')];
  assert.deepEqual(shared, direct);
  return shared;
}

/** Visits a server with each of the options; answers what both sides saw. */
async function visits(
  t: Scope,
  mode: Mode,
  options: ShareableServerOptions,
  clients: readonly object[],
  prepare?: (server: TlshubServer) => void,
): Promise<{ views: ClientView[]; sessions: object[]; failures: unknown[] }> {
  const observed = await observedServer(t, mode, options, prepare);
  const views: ClientView[] = [];
  for (const client of clients) {
    const expected = told(observed) + 1;
    views.push(await visit(observed.port, { ca: pki.ca.cert, servername: 'localhost', ...client }));
    await waitFor(() => told(observed) >= expected, { what: 'what the server has to say of a visit' });
  }
  await observed.close();
  const { sessions, failures } = observed;
  return { views, sessions, failures };
}

const told = ({ sessions, failures }: ObservedServer) => sessions.length + failures.length;

const names = (servernames: readonly string[]) => servernames.map((servername) => ({ servername }));

test('P4: addContext gives each name its certificate, the last one that matches first', async (t) => {
  const { views, sessions } = await compare((mode) =>
    visits(t, mode, own, names(['a.test', 'x.b.test', 'localhost']), (server) => {
      server.addContext('a.test', byName['c.test']);
      server.addContext('*.b.test', byName['*.b.test']);
      server.addContext('a.test', byName['a.test']);
    }),
  );
  assert.deepEqual(
    views.map(({ certificate }) => certificate),
    ['a.test', '*.b.test', 'localhost'],
  );
  assert.equal(sessions.length, 3);
});

test('P4: addContext counts for a server that listens already', async (t) => {
  for (const mode of MODES) {
    const observed = await observedServer(t, mode, own);
    observed.server.addContext('a.test', tls.createSecureContext(byName['a.test']));
    const view = () => visit(observed.port, { ca: pki.ca.cert, servername: 'a.test' });
    await waitFor(async () => (await view()).certificate === 'a.test', { what: `the certificate, ${mode}` });
    await observed.close();
  }
});

test('P4, P13: SNICallback is asked in the application, whatever it answers', async (t) => {
  const asked: Record<Mode, string[]> = { direct: [], shared: [] };
  const answers: Record<string, () => [Error | null, SecureContext?]> = {
    'a.test': () => [null, tls.createSecureContext(byName['a.test'])],
    'c.test': () => [null, tls.createSecureContext(byName['c.test'])],
    'none.test': () => [null],
    'broken.test': () => [Object.assign(new Error('no such name'), { code: 'ENAME' })],
  };
  const { views, failures } = await compare((mode) =>
    visits(
      t,
      mode,
      {
        ...own,
        SNICallback: (servername, callback) => {
          asked[mode].push(servername);
          setImmediate(() => callback(...(answers[servername]?.() ?? [null])));
        },
      },
      [
        ...names(['a.test', 'c.test', 'broken.test']),
        { servername: 'none.test', checkServerIdentity: () => undefined },
      ],
    ),
  );
  assert.deepEqual(
    views.map(({ certificate }) => certificate),
    ['a.test', 'c.test', undefined, 'localhost'],
  );
  assert.deepEqual(failures, ['ENAME']);
  assert.deepEqual(asked.shared, asked.direct);
});

test('issue 4: a context of SNICallback that cannot cross ends the handshake with ERR_TLSHUB_NOT_SHAREABLE', async (t) => {
  const foreign = createSecureContext(byName['a.test']);
  const { failures } = await visits(
    t,
    'shared',
    { ...own, SNICallback: (_name, callback) => callback(null, foreign) },
    names(['a.test']),
  );
  assert.deepEqual(failures, ['ERR_TLSHUB_NOT_SHAREABLE']);
});

test('P4: ALPNProtocols decide by the order of the server, and a client without a common one is refused', async (t) => {
  const { views } = await compare((mode) =>
    visits(t, mode, { ...own, ALPNProtocols: ['h2', 'http/1.1'] }, [
      { ALPNProtocols: ['http/1.1', 'h2'] },
      { ALPNProtocols: ['http/1.1'] },
      {},
      { ALPNProtocols: ['smtp'] },
    ]),
  );
  assert.deepEqual(
    views.map(({ alpn, error }) => error ?? alpn),
    ['h2', 'http/1.1', false, 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'],
  );
});

test('P4: ALPNCallback is asked in the application, with what the client offers', async (t) => {
  const asked: Record<Mode, object[]> = { direct: [], shared: [] };
  const { views } = await compare((mode) =>
    visits(
      t,
      mode,
      {
        ...own,
        ALPNCallback: (offer) => {
          asked[mode].push(offer);
          return offer.protocols.find((protocol) => protocol.startsWith('chat/'));
        },
      },
      [
        { ALPNProtocols: ['x', 'chat/2'] },
        { ALPNProtocols: ['chat/1', 'chat/2'] },
        { ALPNProtocols: ['x'] },
        {},
      ],
    ),
  );
  assert.deepEqual(
    views.map(({ alpn, error }) => error ?? alpn),
    ['chat/2', 'chat/1', 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL', false],
  );
  assert.deepEqual(asked.shared, asked.direct);
});

test('P4: client certificates, asked for and demanded', async (t) => {
  const clients = [
    { cert: pki.client.cert, key: pki.client.key },
    { cert: pki.strangeClient.cert, key: pki.strangeClient.key },
    {},
  ].map((client) => ({ ...client, maxVersion: 'TLSv1.2' }));
  for (const rejectUnauthorized of [true, false]) {
    const options = { ...own, ca: pki.ca.cert, requestCert: true, rejectUnauthorized };
    const { sessions, views } = await compare((mode) => visits(t, mode, options, clients.slice(0, 1)));
    assert.deepEqual(
      sessions.map((session) => (session as { certificate: string }).certificate),
      ['client'],
    );
    assert.equal(views[0]?.answer, 'word');
    if (!rejectUnauthorized) {
      const all = await compare((mode) => visits(t, mode, options, clients));
      assert.deepEqual(
        all.sessions.map((session) => (session as { authorizationError: unknown }).authorizationError),
        [null, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT'],
      );
    }
  }
});

test('P4: a client without a certificate that is demanded gets no session', async (t) => {
  for (const mode of MODES) {
    const options = { ...own, ca: pki.ca.cert, requestCert: true };
    const observed = await observedServer(t, mode, options);
    const view = await visit(observed.port, { ca: pki.ca.cert, servername: 'localhost' });
    assert.equal(view.answer, undefined, mode);
    assert.equal(observed.sessions.length, 0, mode);
    await observed.close();
  }
});

test('P4: the application staples responses of OCSP', async (t) => {
  const answers: Record<string, [Error | null, Buffer | null]> = {
    some: [null, Buffer.from('response')],
    none: [null, null],
  };
  for (const [name, answer] of Object.entries(answers)) {
    const certificates: Record<Mode, string[]> = { direct: [], shared: [] };
    const { views } = await compare((mode) =>
      visits(t, mode, own, [{ requestOCSP: true }, {}], (server) => {
        server.on('OCSPRequest', (certificate: Buffer, issuer: Buffer | null, callback) => {
          certificates[mode].push(`${certificate.toString('hex')} ${issuer?.toString('hex')}`);
          setImmediate(() => callback(...answer));
        });
      }),
    );
    assert.equal(views[0]?.ocsp, name === 'some' ? 'response' : null);
    assert.deepEqual(certificates.shared, certificates.direct);
  }
});

test('P4: versions and ciphers of the server decide', async (t) => {
  const options: ShareableServerOptions = {
    ...own,
    maxVersion: 'TLSv1.2',
    ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256',
  };
  const { views } = await compare((mode) =>
    visits(t, mode, options, [
      {},
      { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305' },
      { ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
      { minVersion: 'TLSv1.3' },
    ]),
  );
  assert.deepEqual(
    views.map(({ cipher, protocol, error }) =>
      error ? error.replace(/^ERR_SSL_.*_ALERT_/, '') : `${protocol} ${cipher}`,
    ),
    [
      'TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305',
      'TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305',
      'HANDSHAKE_FAILURE',
      'PROTOCOL_VERSION',
    ],
  );
});

test('P8: tlsClientError has the codes of node:tls, for whatever the client does', async (t) => {
  const failures = await compare(async (mode) => {
    const observed = await observedServer(t, mode, { ...own, handshakeTimeout: 300 });
    const after = (count: number) =>
      waitFor(() => observed.failures.length === count, { what: `failure ${count}` });
    await visitPlainly(observed.port, 'GET / HTTP/1.0\r\n\r\n');
    await after(1);
    await visitPlainly(observed.port, Buffer.from('16030100ff0100', 'hex'), true);
    await after(2);
    await visitPlainly(observed.port, '');
    await after(3);
    await visit(observed.port, { servername: 'localhost', ca: pki.strangeCa.cert });
    await after(4);
    await observed.close();
    return observed.failures;
  });
  assert.deepEqual(failures.slice(0, 3), ['ERR_SSL_HTTP_REQUEST', 'ECONNRESET', 'ERR_TLS_HANDSHAKE_TIMEOUT']);
});

test('issue 4: setSecureContext changes the certificate, and sessions that are open stay', async (t) => {
  for (const mode of MODES) {
    const observed = await observedServer(t, mode, own);
    const view = () => visit(observed.port, { ca: pki.ca.cert, servername: 'other.test' });
    assert.equal((await view()).error, 'ERR_TLS_CERT_ALTNAME_INVALID');
    observed.server.setSecureContext({ cert: pki.wrongName.cert, key: pki.wrongName.key });
    await waitFor(async () => (await view()).certificate === 'other.test', {
      what: `the certificate, ${mode}`,
    });
    await observed.close();
  }
});

test('issue 4: a certificate that is broken changes nothing, and throws what node:tls throws', async (t) => {
  const messages = await compare(async (mode) => {
    const observed = await observedServer(t, mode, own);
    let message = '';
    try {
      observed.server.setSecureContext({ cert: pki.good.cert, key: pki.wrongName.key });
    } catch (error) {
      message = String((error as Error).message);
    }
    const view = await visit(observed.port, { ca: pki.ca.cert, servername: 'localhost' });
    await observed.close();
    return [message, view.certificate];
  });
  assert.match(String(messages[0]), /key values mismatch/);
});

test('P3, issue 4: tls.Server understands `shared` as createServer does, and without it stays that of node:tls', async (t) => {
  for (const shared of [{ fallback: false }, false] as const) {
    const server = new tls.Server({ ...own, shared }, (socket) => {
      socket.pipe(socket);
    });
    t.after(() => void server.close());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    assert.equal(server.sharing?.shared, shared === false ? undefined : true);
    assert.ok(server instanceof nodeTls.Server);
    const { port } = server.address() as AddressInfo;
    assert.equal((await visit(port, { ca: pki.ca.cert, servername: 'localhost' })).answer, 'word');
  }
});

test('P7: release of a session on a raw lane of a server says that it is closed, and why', async (t) => {
  const observed = await observedServer(t, 'shared', own, undefined, { survive: false });
  const released = new Promise<string | null>((resolve, reject) => {
    observed.server.on('secureConnection', (socket) => {
      socket.release().then(() => resolve(socket.sharing.reason), reject);
    });
  });
  const { port } = observed;
  const client = nodeTls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca: pki.ca.cert });
  t.after(() => void client.destroy());
  await once(client.resume(), 'close');
  assert.match(String(await released), /not pooled/);
});
