// The `ca` option as a blob with a hash: equal contents, equal hash; what is trusted stays the same on the way.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { splitCa } from '#src/protocol/ca-blob.js';
import type { TrustedCa } from '#src/protocol/default-ca.js';
import { trustedCa } from '#src/wrapper/trusted-ca.js';
import { clientA, clientB } from './context-fixtures.js';

function trust(ca: unknown): TrustedCa {
  const trusted = trustedCa(ca);
  assert.ok(!('reason' in trusted));
  return trusted;
}

function entriesOf(ca: unknown): string[] {
  return splitCa(trust(ca).blob() ?? assert.fail()).map(String);
}

test('the hash is that of the blob', () => {
  for (const ca of [clientA.ca, [clientA.ca, Buffer.from(clientB.ca)], []]) {
    const { sha256, blob } = trust(ca);
    assert.equal(
      createHash('sha256')
        .update(blob() ?? assert.fail())
        .digest('hex'),
      sha256,
    );
  }
});

test('a single PEM file is its own blob, as other programs would name it', () => {
  const bundle = `${clientA.ca}${clientB.ca}`;
  assert.equal(trust(bundle).sha256, createHash('sha256').update(bundle).digest('hex'));
});

test('entries stay apart: node:tls reads each until its first flaw', () => {
  const broken = clientA.ca.replace('MII', '!!!');
  assert.deepEqual(entriesOf([broken, clientB.ca]), [broken, clientB.ca]);
  assert.notEqual(trust([broken, clientB.ca]).sha256, trust(`${broken}${clientB.ca}`).sha256);
});

test('a list seen before is known again by its contents, not by its identity', () => {
  const list = [Buffer.from(clientA.ca), clientB.ca];
  const first = trust(list);
  assert.equal(trust([Buffer.from(clientA.ca), clientB.ca]), first);
  list[0]?.toString();
  (list[0] as Buffer).fill(0x20);
  assert.notEqual(trust(list).sha256, first.sha256);
  assert.deepEqual(entriesOf([Buffer.from(clientA.ca), clientB.ca]), [clientA.ca, clientB.ca]);
});

test('more lists than are remembered are still told apart', () => {
  const hashes = Array.from({ length: 40 }, (_, index) => trust(`${clientA.ca}# ${index % 20}\n`).sha256);
  assert.equal(new Set(hashes).size, 20);
  assert.deepEqual(hashes.slice(0, 20), hashes.slice(20));
});

test('contents with the separator are no PEM text, and do not cross', () => {
  for (const ca of ['a\0b', Buffer.from([1, 0]), [clientA.ca, 'a\0b'], [clientA.ca, Buffer.from([0])]]) {
    assert.deepEqual(trustedCa(ca), { reason: 'a CA certificate is not a PEM text' });
  }
});
