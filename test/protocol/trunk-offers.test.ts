import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TlsInfo } from '#src/protocol/messages.js';
import { completeInfo, shortenInfo } from '#src/protocol/trunk-offers.js';

const INFO: TlsInfo = {
  protocol: 'TLSv1.3',
  cipher: { name: 'TLS_AES_128_GCM_SHA256', standardName: 'TLS_AES_128_GCM_SHA256', version: 'TLSv1.3' },
  alpnProtocol: false,
  servername: 'one.example',
  authorized: false,
  authorizationError: null,
  peerChain: ['AAAA', 'BBBB'],
  peerChainRooted: false,
  peerSent: 2,
  certificate: 'CCCC',
  ephemeralKeyInfo: {},
  finished: 'DDDD',
  peerFinished: 'EEEE',
  exporter: null,
  sharedSigalgs: ['ECDSA+SHA256', 'RSA-PSS+SHA256'],
  resumed: false,
  ticket: null,
  localAddress: '127.0.0.1',
  localPort: 443,
  localFamily: 'IPv4',
  remoteAddress: '127.0.0.1',
  remotePort: 50_000,
  remoteFamily: 'IPv4',
};

/** A copy that shares nothing, as the next session's description does not. */
function changed(changes: Partial<TlsInfo>): TlsInfo {
  return { ...structuredClone(INFO), ...changes };
}

test('the first offer says everything', () => {
  assert.deepEqual(shortenInfo(INFO, undefined), INFO);
  assert.deepEqual(completeInfo(INFO, undefined), INFO);
});

test('what is as before is left out, and only that', () => {
  assert.deepEqual(shortenInfo(changed({}), INFO), {});
  const changes: Partial<TlsInfo>[] = [
    { remotePort: 50_001, finished: 'FFFF' },
    { servername: false },
    { alpnProtocol: null },
    { peerChain: ['AAAA'], peerSent: 1 },
    { peerChain: ['AAAA', 'CCCC'] },
    { peerChain: [] },
    { sharedSigalgs: ['RSA-PSS+SHA256', 'ECDSA+SHA256'] },
    { cipher: null },
    { cipher: { name: 'other', standardName: 'other', version: 'TLSv1.3' } },
    { ephemeralKeyInfo: { type: 'ECDH', size: 253 } },
    { ephemeralKeyInfo: null, authorized: true, remoteAddress: null },
  ];
  for (const change of changes) {
    assert.deepEqual(shortenInfo(changed(change), INFO), change);
    assert.deepEqual(
      shortenInfo(INFO, changed(change)),
      Object.fromEntries(Object.keys(change).map((field) => [field, INFO[field as keyof TlsInfo]])),
    );
  }
});

test('a line of offers is whole again at the other end, after a way through JSON', () => {
  const line = [INFO, changed({ remotePort: 1 }), changed({ servername: 'two.example' }), INFO];
  let [sent, received]: [TlsInfo | undefined, TlsInfo | undefined] = [undefined, undefined];
  for (const info of line) {
    const wire = JSON.parse(JSON.stringify(shortenInfo(info, sent))) as Partial<TlsInfo>;
    sent = info;
    received = completeInfo(wire, received);
    assert.deepEqual(received, info);
  }
});
