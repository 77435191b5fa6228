// The session key: every field counts, none may be missing, and equal keys have one text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as v from 'valibot';
import {
  canonicalSessionKey,
  SECRET_KEY_FIELDS,
  type SessionKey,
  sessionKeyFields,
  sessionKeySchema,
} from '#src/protocol/session-key.js';
import { sessionKey } from '../fuzz/wire-client.ts';

const PLAIN = sessionKey(443, 'a CA');
const FIELDS = Object.keys(sessionKeyFields) as (keyof SessionKey)[];

/** For each field two or more values that fit and differ from each other and from the plain key's. */
const VALUES: { readonly [Field in keyof SessionKey]: readonly SessionKey[Field][] } = {
  host: ['localhost', '::1', ''],
  port: [0, 65_535],
  path: ['/run/a', '/run/a ', ''],
  family: [4, 6],
  hints: [0, 32],
  localAddress: ['127.0.0.2', ''],
  localPort: [0, 1],
  autoSelectFamily: [false],
  autoSelectFamilyAttemptTimeout: [1, 10],
  servername: ['a.test', 'b.test', ''],
  ALPNProtocols: ['', 'Amgy', 'AmgyCGh0dHAvMS4x'],
  rejectUnauthorized: [false],
  checkServerIdentity: [true],
  requestOCSP: [true],
  minDHSize: [2_048],
  context: ['api', 'another one'],
  ca: ['0'.repeat(64), 'f'.repeat(64)],
  cert: [[], ['Zm9v'], ['Zm9v', 'Zm9v']],
  key: [[], [{ data: 'Zm9v', passphrase: null }], [{ data: 'Zm9v', passphrase: '' }]],
  pfx: [[], [{ data: 'Zm9v', passphrase: 'Zm9v' }]],
  passphrase: ['', 'Zm9v'],
  crl: [[], ['Zm9v']],
  dhparam: ['', 'YXV0bw=='],
  ciphers: ['', 'TLS_AES_128_GCM_SHA256'],
  sigalgs: ['', 'ed25519'],
  ecdhCurve: ['', 'auto'],
  minVersion: ['TLSv1.2', 'TLSv1.3'],
  maxVersion: ['TLSv1.2', 'TLSv1.3'],
  secureProtocol: ['TLS_method', ''],
  secureOptions: [0, 4],
  honorCipherOrder: [true, false],
  sessionIdContext: ['', 'a'],
  sessionTimeout: [0, 300],
  ticketKeys: ['', 'Zm9v'],
  allowPartialTrustChain: [true, false],
  certificateCompression: [[], ['zlib'], ['zlib', 'brotli'], ['brotli', 'zlib']],
};

const fits = (key: unknown) => v.is(sessionKeySchema, key);

test('every field may have each of its values', () => {
  assert.deepEqual(Object.keys(VALUES).sort(), [...FIELDS].sort());
  assert.ok(fits(PLAIN));
  for (const field of FIELDS) {
    for (const value of VALUES[field])
      assert.ok(fits({ ...PLAIN, [field]: value }), `${field} ${JSON.stringify(value)}`);
  }
});

test('P2: a key with a field missing or one too many is no key', () => {
  for (const field of FIELDS) {
    const { [field]: _left, ...rest } = PLAIN;
    assert.ok(!fits(rest), field);
    assert.ok(!fits({ ...PLAIN, [field]: undefined }), field);
  }
  assert.ok(!fits({ ...PLAIN, newOption: null }));
});

test('a field of a wrong type makes no key', () => {
  for (const field of FIELDS) {
    for (const value of [Symbol.iterator.toString, 0.5, Number.NaN, { a: 1 }, [[]], [{ data: 1 }], [1]]) {
      assert.ok(!fits({ ...PLAIN, [field]: value }), `${field} ${String(value)}`);
    }
  }
  assert.ok(!fits({ ...PLAIN, port: 65_536 }));
  assert.ok(!fits({ ...PLAIN, family: 5 }));
  assert.ok(!fits({ ...PLAIN, autoSelectFamilyAttemptTimeout: 0 }));
  assert.ok(!fits({ ...PLAIN, ca: 'F'.repeat(64) }));
  assert.ok(!fits({ ...PLAIN, cert: ['not base64!'] }));
});

test('P2: keys that differ in one field have different texts', () => {
  const texts = new Map<string, string>([[canonicalSessionKey(PLAIN), 'plain']]);
  for (const field of FIELDS) {
    for (const value of VALUES[field]) {
      const text = canonicalSessionKey({ ...PLAIN, [field]: value });
      const shown = `${field} ${JSON.stringify(value)}`;
      assert.equal(texts.get(text), undefined, `${shown} has the text of ${texts.get(text)}`);
      texts.set(text, shown);
    }
  }
});

test('P2: two keys have one text exactly when they are equal field by field, in whatever order these came', () => {
  const anyKey = fc.record(
    Object.fromEntries(
      FIELDS.map((field) => [field, fc.constantFrom<unknown>(PLAIN[field], ...VALUES[field].slice(0, 1))]),
    ),
  ) as unknown as fc.Arbitrary<SessionKey>;
  const order = fc.shuffledSubarray(FIELDS, { minLength: FIELDS.length, maxLength: FIELDS.length });
  fc.assert(
    fc.property(anyKey, anyKey, order, (one, other, fields) => {
      const shuffled = Object.fromEntries(
        fields.map((field) => [field, one[field]]),
      ) as unknown as SessionKey;
      assert.equal(canonicalSessionKey(shuffled), canonicalSessionKey(one));
      const equal = FIELDS.every((field) => JSON.stringify(one[field]) === JSON.stringify(other[field]));
      assert.equal(canonicalSessionKey(one) === canonicalSessionKey(other), equal);
    }),
    { numRuns: 500 },
  );
});

test('P13: the fields that hold secrets are named', () => {
  assert.deepEqual([...SECRET_KEY_FIELDS].sort(), ['key', 'passphrase', 'pfx', 'ticketKeys']);
});
