// Errors that node:tls leaves in OpenSSL's list for one connection must not end another one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, createSecureContext } from 'node:tls';
import { forkOrigin } from '#helpers/forked-origin.js';
import { exchange, opened } from '#helpers/streams.js';
import { createCa } from '#src/cli/demo/pki.js';
import { clearOpensslErrors } from '#src/daemon/openssl-errors.js';
import { makeArena } from '../fuzz/arena.ts';
import { leaseCall } from '../fuzz/wire-client.ts';

/** SNI of more bytes than OpenSSL takes; node:tls does not look whether it was taken. */
const LONG_NAME = 'x'.repeat(300);

test('P15: what one client asks for cannot fail the session of another', async (t) => {
  const arena = await makeArena(t);
  const leaving = [
    { servername: LONG_NAME },
    { ecdhCurve: 'x' },
    { sigalgs: 'x' },
    { crl: ['AA=='] },
    { dhparam: 'AA==' },
  ];
  for (let round = 0; round < 10; round += 1) {
    for (const change of leaving) {
      const client = await arena.open();
      client.send(leaseCall({ ...arena.key, ...change }));
      await client.message();
      client.socket.destroy();
    }
  }
  await arena.undisturbed();
});

test('the list is empty afterwards: a connection that reads next goes on', async (t) => {
  const ca = await createCa({ name: 'Test root' });
  const { cert, key } = await ca.issue({ names: ['localhost'] });
  // In another process: the server's own calls would empty the list of this one.
  const origin = await forkOrigin(t, { cert, key });
  const socket = await opened(connect({ port: origin.port, ca: ca.cert, servername: 'localhost' }));
  t.after(() => void socket.destroy());
  for (let round = 0; round < 10; round += 1) {
    const answer = exchange(socket, `round ${round}`);
    try {
      createSecureContext({ ecdhCurve: 'x' });
    } catch {
      // That it fails is known.
    }
    const other = connect({ port: origin.port, servername: LONG_NAME, rejectUnauthorized: false });
    other.on('error', () => undefined);
    clearOpensslErrors();
    assert.equal(await answer, `ok round ${round}`);
    other.destroy();
  }
});
