// The demo's certificates are ones that OpenSSL accepts: chain, names, validity, purpose, key types.
import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { countingOrigin } from '#helpers/counting-origin.js';
import { exchange, opened } from '#helpers/streams.js';
import { createCa } from '#src/cli/demo/pki.js';

for (const keyType of ['ec', 'rsa'] as const) {
  test(`a leaf below an intermediate authority serves a verified handshake (${keyType})`, async (t) => {
    const root = await createCa({ name: 'Root', keyType });
    const middle = await root.createIntermediate({ name: 'Middle', keyType });
    const leaf = await middle.issue({ names: ['localhost', '127.0.0.1', '::1'], keyType });
    const origin = await countingOrigin(t, { cert: leaf.chain, key: leaf.key });
    const socket = await opened(connect({ host: '127.0.0.1', port: origin.port, ca: root.cert }));
    t.after(() => socket.destroy());
    assert.equal(socket.authorized, true);
    assert.equal(socket.getPeerCertificate(true).issuerCertificate.issuerCertificate.subject.CN, 'Root');
    assert.equal(await exchange(socket, 'hello'), 'ok hello');
    assert.deepEqual(origin.counts, {
      connections: 1,
      handshakes: 1,
      resumptions: 0,
      failures: 0,
      requests: 1,
      open: 1,
    });
  });
}

test('names, validity, purpose and key are as asked', async () => {
  const root = await createCa({ name: 'Root' });
  const notBefore = new Date('2030-01-01T00:00:00Z');
  const notAfter = new Date('2031-01-01T00:00:00Z');
  const leaf = await root.issue({ names: ['a.test', '127.0.0.1'], notBefore, notAfter, clientAuth: true });
  const parsed = new X509Certificate(leaf.cert);
  assert.equal(parsed.subject, 'CN=a.test');
  assert.equal(parsed.issuer, 'CN=Root');
  assert.equal(parsed.subjectAltName, 'DNS:a.test, IP Address:127.0.0.1');
  assert.equal(Date.parse(parsed.validFrom), notBefore.getTime());
  assert.equal(Date.parse(parsed.validTo), notAfter.getTime());
  assert.deepEqual(parsed.keyUsage, ['1.3.6.1.5.5.7.3.2']);
  assert.equal(parsed.ca, false);
  assert.ok(parsed.checkPrivateKey(createPrivateKey(leaf.key)));
  assert.ok(parsed.verify(new X509Certificate(root.cert).publicKey));
});

test('a self-signed leaf is signed by its own key and has no chain', async () => {
  const root = await createCa({ name: 'Root' });
  const leaf = await root.issue({ names: ['localhost'], selfSigned: true });
  const parsed = new X509Certificate(leaf.cert);
  assert.ok(parsed.verify(parsed.publicKey));
  assert.equal(parsed.issuer, parsed.subject);
  assert.equal(leaf.chain, leaf.cert);
});
