// Reply lines that are known already: the same reply, of which nobody can change what the next one gets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeLine, lineText } from '#src/protocol/line-codec.js';
import { knownReply, readReply } from '#src/wrapper/known-replies.js';

function lineOf(session: string, more: object = {}): Buffer {
  const tls = {
    ...{ protocol: 'TLSv1.3', cipher: { name: 'a', standardName: 'b', version: 'c' }, alpnProtocol: false },
    ...{ servername: 'localhost', authorized: true, authorizationError: null, peerChain: ['AAAA'] },
    ...{ peerChainRooted: true, peerSent: 1, certificate: null, ephemeralKeyInfo: { type: 'ECDH' } },
    ...{
      finished: null,
      peerFinished: null,
      exporter: null,
      sharedSigalgs: [],
      resumed: false,
      ticket: null,
    },
    ...{ localAddress: null, localPort: null, localFamily: null },
    ...{ remoteAddress: null, remotePort: null, remoteFamily: null },
  };
  const text = lineText({ rc: 1, session, reused: true, events: [], tls, ...more });
  return Buffer.from(text.slice(0, -1));
}

test('an equal line gives an equal reply; changes of the one before do not show', () => {
  const line = lineOf('s1');
  assert.equal(knownReply(line), undefined);
  const first = readReply(line, decodeLine(line));
  assert.ok(first.rc === 1);
  first.tls.ticket = 'AAAA';
  Object.assign(first.tls.cipher ?? {}, { name: 'changed' });
  Object.assign(first.tls.ephemeralKeyInfo ?? {}, { type: 'changed' });
  assert.deepEqual(knownReply(Buffer.from(line)), decodeLine(line));
});

test('another line is not known: not of another session, not with another byte, not a refusal', () => {
  const line = lineOf('s2');
  readReply(line, decodeLine(line));
  assert.equal(knownReply(lineOf('s22')), undefined);
  assert.equal(knownReply(lineOf('s2', { reused: false })), undefined);
  const refusal = Buffer.from(JSON.stringify({ rc: -1, error: { message: 'no' } }));
  readReply(refusal, decodeLine(refusal));
  assert.equal(knownReply(refusal), undefined);
});

test('a line that does not fit is refused, and not known afterwards', () => {
  const line = lineOf('s3', { reused: 'yes' });
  for (let round = 0; round < 2; round += 1) {
    assert.equal(knownReply(line), undefined);
    assert.throws(() => readReply(line, decodeLine(line)), { code: 'ERR_TLSHUB_PROTOCOL' });
  }
});

test('the lines used last stay known', () => {
  for (let index = 100; index < 140; index += 1) {
    const line = lineOf(`s${index}`);
    readReply(line, decodeLine(line));
    assert.notEqual(knownReply(lineOf('s100')), undefined);
  }
  assert.equal(knownReply(lineOf('s101')), undefined);
});
