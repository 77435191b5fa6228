// Values of every option that is part of the session key: spellings that mean the same, and what the daemon's
// tls.connect must get for them. Groups of one option mean different things. Used wherever the table is walked.
import { constants } from 'node:crypto';
import { ADDRCONFIG, V4MAPPED } from 'node:dns';
import net from 'node:net';
import { resolve } from 'node:path';
import tls from 'node:tls';
import { createSecureContext } from '#src/wrapper/secure-context.js';
import { clientA, clientB, dhparam, openPfx } from './context-fixtures.js';

/** Stands for an option that is not given at all. */
export const ABSENT = Symbol('absent');

/** Spellings of one meaning. */
export interface Meaning {
  given: readonly unknown[];
  /** The daemon's option of the same name; `undefined` when it must not have one. */
  daemon: unknown;
}

/** Values of one option. */
export interface KeySample {
  /** What else must be given; default a host and a port. */
  base?: Record<string, unknown>;
  meanings: readonly Meaning[];
}

const bytes = (text: string): Buffer => Buffer.from(text);

/** The same contents as every type that node:tls takes. */
function spellings(text: string): unknown[] {
  const padded = Buffer.concat([Buffer.from('??'), bytes(text), Buffer.from('??')]);
  const { buffer, byteOffset } = padded;
  const length = padded.length - 4;
  return [
    text,
    bytes(text),
    new Uint8Array(buffer, byteOffset + 2, length),
    new DataView(buffer, byteOffset + 2, length),
  ];
}

const lists = (values: readonly unknown[]): unknown[] => values.map((value) => [value]);
const eitherWay = (text: string): unknown[] => [...spellings(text), ...lists(spellings(text))];

const NOT_GIVEN = [ABSENT, undefined, null];
const anyName = () => undefined;
const noName = () => new Error('refused');

/** Whether this Node knows the option at all; where it does not, node:tls ignores it. */
const compresses = 'getCertificateCompressionAlgorithms' in tls;

/** By option. */
export const keySamples: Readonly<Record<string, KeySample>> = {
  host: {
    base: { port: 443 },
    meanings: [
      { given: ['a.example'], daemon: 'a.example' },
      { given: ['127.0.0.1'], daemon: '127.0.0.1' },
      { given: [...NOT_GIVEN, '', 'localhost'], daemon: 'localhost' },
    ],
  },
  port: {
    base: { host: 'a.example' },
    meanings: [
      { given: [443, '443', ' 443 ', '0x1bb'], daemon: 443 },
      { given: [8443], daemon: 8443 },
      { given: [0, '0'], daemon: 0 },
    ],
  },
  path: {
    base: {},
    meanings: [
      { given: ['/run/a.sock', '/run/b/../a.sock'], daemon: '/run/a.sock' },
      { given: ['a.sock', './a.sock', resolve('a.sock')], daemon: resolve('a.sock') },
      { given: ['\0abstract'], daemon: '\0abstract' },
    ],
  },
  servername: {
    meanings: [
      { given: ['one.example'], daemon: 'one.example' },
      { given: ['two.example'], daemon: 'two.example' },
      { given: [...NOT_GIVEN, ''], daemon: undefined },
    ],
  },
  ALPNProtocols: {
    meanings: [
      { given: [['h2'], ...spellings('\x02h2').slice(1)], daemon: bytes('\x02h2') },
      { given: [['h2', 'x'], bytes('\x02h2\x01x')], daemon: bytes('\x02h2\x01x') },
      { given: [['x', 'h2']], daemon: bytes('\x01x\x02h2') },
      { given: [...NOT_GIVEN, [], Buffer.alloc(0), '', false], daemon: undefined },
    ],
  },
  rejectUnauthorized: {
    meanings: [
      { given: [...NOT_GIVEN, true, 0, ''], daemon: true },
      { given: [false], daemon: false },
    ],
  },
  checkServerIdentity: {
    meanings: [
      { given: [ABSENT, tls.checkServerIdentity], daemon: tls.checkServerIdentity },
      { given: [anyName, noName], daemon: anyName },
    ],
  },
  requestOCSP: {
    meanings: [
      { given: [true, 1], daemon: true },
      { given: [...NOT_GIVEN, false, 0], daemon: false },
    ],
  },
  minDHSize: {
    meanings: [
      { given: [ABSENT, 1024], daemon: 1024 },
      { given: [2048], daemon: 2048 },
    ],
  },
  secureContext: {
    meanings: [
      { given: [createSecureContext({ cert: clientA.cert, key: clientA.key })], daemon: undefined },
      { given: [createSecureContext({ cert: clientB.cert, key: clientB.key })], daemon: undefined },
      { given: [...NOT_GIVEN, createSecureContext(), createSecureContext({})], daemon: undefined },
    ],
  },
  ca: {
    meanings: [
      { given: eitherWay(clientA.ca), daemon: [bytes(clientA.ca)] },
      { given: eitherWay(clientB.ca), daemon: [bytes(clientB.ca)] },
      {
        given: [
          [clientA.ca, clientB.ca],
          [bytes(clientA.ca), clientB.ca],
          [bytes(clientA.ca), bytes(clientB.ca)],
        ],
        daemon: [bytes(clientA.ca), bytes(clientB.ca)],
      },
      { given: [[clientB.ca, clientA.ca]], daemon: [bytes(clientB.ca), bytes(clientA.ca)] },
      { given: [[], [''], Buffer.alloc(0)], daemon: [] },
      { given: [...NOT_GIVEN, '', false], daemon: undefined },
    ],
  },
  cert: {
    meanings: [
      { given: eitherWay(clientA.cert), daemon: [bytes(clientA.cert)] },
      { given: eitherWay(clientB.cert), daemon: [bytes(clientB.cert)] },
      { given: [[clientA.cert, clientB.cert]], daemon: [bytes(clientA.cert), bytes(clientB.cert)] },
      { given: [...NOT_GIVEN, '', []], daemon: undefined },
    ],
  },
  key: {
    meanings: [
      {
        given: [
          ...eitherWay(clientA.key),
          [{ pem: clientA.key }],
          [{ pem: bytes(clientA.key), passphrase: undefined }],
        ],
        daemon: [{ pem: bytes(clientA.key) }],
      },
      { given: eitherWay(clientB.key), daemon: [{ pem: bytes(clientB.key) }] },
      {
        given: [[{ pem: clientA.encryptedKey, passphrase: clientA.passphrase }]],
        daemon: [{ pem: bytes(clientA.encryptedKey), passphrase: clientA.passphrase }],
      },
      { given: [...NOT_GIVEN, '', []], daemon: undefined },
    ],
  },
  pfx: {
    base: { host: 'a.example', port: 443, passphrase: clientA.passphrase },
    meanings: [
      { given: [clientA.pfx, [clientA.pfx], [{ buf: clientA.pfx }]], daemon: [{ buf: clientA.pfx }] },
      {
        given: [
          [{ buf: clientB.pfx, passphrase: clientB.passphrase }],
          [{ buf: clientB.pfx, passphrase: bytes(clientB.passphrase) }],
        ],
        daemon: [{ buf: clientB.pfx, passphrase: bytes(clientB.passphrase) }],
      },
      { given: [...NOT_GIVEN, []], daemon: undefined },
    ],
  },
  passphrase: {
    meanings: [
      { given: spellings('one'), daemon: bytes('one') },
      { given: spellings('two'), daemon: bytes('two') },
      { given: NOT_GIVEN, daemon: undefined },
    ],
  },
  crl: {
    base: { host: 'a.example', port: 443, ca: [clientA.ca, clientB.ca] },
    meanings: [
      { given: eitherWay(clientA.crl), daemon: [bytes(clientA.crl)] },
      { given: eitherWay(clientB.crl), daemon: [bytes(clientB.crl)] },
      { given: [...NOT_GIVEN, []], daemon: undefined },
    ],
  },
  dhparam: {
    meanings: [
      { given: spellings(dhparam), daemon: bytes(dhparam) },
      { given: ['auto'], daemon: 'auto' },
      { given: NOT_GIVEN, daemon: undefined },
    ],
  },
  ciphers: {
    meanings: [
      { given: ['ECDHE-ECDSA-AES256-GCM-SHA384'], daemon: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
      { given: ['TLS_AES_128_GCM_SHA256'], daemon: 'TLS_AES_128_GCM_SHA256' },
      { given: [...NOT_GIVEN, '', tls.DEFAULT_CIPHERS], daemon: tls.DEFAULT_CIPHERS },
    ],
  },
  sigalgs: {
    meanings: [
      { given: ['ecdsa_secp256r1_sha256'], daemon: 'ecdsa_secp256r1_sha256' },
      { given: ['rsa_pss_rsae_sha256'], daemon: 'rsa_pss_rsae_sha256' },
      { given: NOT_GIVEN, daemon: undefined },
    ],
  },
  ecdhCurve: {
    meanings: [
      { given: ['prime256v1'], daemon: 'prime256v1' },
      { given: ['secp384r1'], daemon: 'secp384r1' },
      { given: [ABSENT, undefined, 'auto'], daemon: 'auto' },
    ],
  },
  minVersion: {
    meanings: [
      { given: ['TLSv1.3'], daemon: 'TLSv1.3' },
      { given: ['TLSv1.1'], daemon: 'TLSv1.1' },
      { given: [...NOT_GIVEN, 'TLSv1.2'], daemon: 'TLSv1.2' },
    ],
  },
  maxVersion: {
    meanings: [
      { given: ['TLSv1.2'], daemon: 'TLSv1.2' },
      { given: [...NOT_GIVEN, 'TLSv1.3'], daemon: 'TLSv1.3' },
    ],
  },
  secureProtocol: {
    meanings: [
      { given: ['TLSv1_2_method'], daemon: 'TLSv1_2_method' },
      { given: ['TLS_method'], daemon: 'TLS_method' },
      // Node's own translation: TLS 1.2 at most, from the default for the least version on.
      { given: ['SSLv23_method', 'SSLv23_client_method'], daemon: undefined },
      { given: NOT_GIVEN, daemon: undefined },
    ],
  },
  secureOptions: {
    meanings: [
      { given: [constants.SSL_OP_NO_TICKET], daemon: constants.SSL_OP_NO_TICKET },
      { given: [constants.SSL_OP_NO_TLSv1_3], daemon: constants.SSL_OP_NO_TLSv1_3 },
      { given: [...NOT_GIVEN, 0], daemon: undefined },
    ],
  },
  honorCipherOrder: {
    meanings: [
      { given: [true, 1], daemon: true },
      { given: [...NOT_GIVEN, false], daemon: undefined },
    ],
  },
  sessionIdContext: {
    meanings: [
      { given: ['one'], daemon: 'one' },
      { given: ['two'], daemon: 'two' },
      { given: NOT_GIVEN, daemon: undefined },
    ],
  },
  sessionTimeout: {
    meanings: [
      { given: [60], daemon: 60 },
      { given: [0], daemon: 0 },
      { given: NOT_GIVEN, daemon: undefined },
    ],
  },
  ticketKeys: {
    meanings: [
      { given: [Buffer.alloc(48, 1), new Uint8Array(48).fill(1)], daemon: Buffer.alloc(48, 1) },
      { given: [Buffer.alloc(48, 2)], daemon: Buffer.alloc(48, 2) },
      { given: NOT_GIVEN, daemon: undefined },
    ],
  },
  allowPartialTrustChain: {
    meanings: [
      { given: [true, 1], daemon: true },
      { given: [...NOT_GIVEN, false], daemon: undefined },
    ],
  },
  certificateCompression: {
    meanings: compresses
      ? [
          { given: [['zlib', 'brotli']], daemon: ['zlib', 'brotli'] },
          { given: [['brotli', 'zlib']], daemon: ['brotli', 'zlib'] },
          { given: [...NOT_GIVEN, []], daemon: undefined },
        ]
      : [{ given: [...NOT_GIVEN, [], ['zlib']], daemon: undefined }],
  },
  family: {
    meanings: [
      { given: [4, 'IPv4'], daemon: 4 },
      { given: [6, 'IPv6'], daemon: 6 },
      { given: [...NOT_GIVEN, 0], daemon: 0 },
    ],
  },
  hints: {
    meanings: [
      { given: [ADDRCONFIG], daemon: ADDRCONFIG },
      { given: [ADDRCONFIG | V4MAPPED], daemon: ADDRCONFIG | V4MAPPED },
      { given: [...NOT_GIVEN, 0], daemon: undefined },
    ],
  },
  localAddress: {
    meanings: [
      { given: ['127.0.0.2'], daemon: '127.0.0.2' },
      { given: ['::1'], daemon: '::1' },
      { given: [...NOT_GIVEN, ''], daemon: undefined },
    ],
  },
  localPort: {
    meanings: [
      { given: [5001], daemon: 5001 },
      { given: [5002], daemon: 5002 },
      { given: [...NOT_GIVEN, 0], daemon: undefined },
    ],
  },
  autoSelectFamily: {
    meanings: [
      { given: [...NOT_GIVEN, net.getDefaultAutoSelectFamily()], daemon: net.getDefaultAutoSelectFamily() },
      { given: [!net.getDefaultAutoSelectFamily()], daemon: !net.getDefaultAutoSelectFamily() },
    ],
  },
  autoSelectFamilyAttemptTimeout: {
    meanings: [
      {
        given: [...NOT_GIVEN, net.getDefaultAutoSelectFamilyAttemptTimeout()],
        daemon: net.getDefaultAutoSelectFamilyAttemptTimeout(),
      },
      { given: [1, 9, 10], daemon: 10 },
      { given: [70], daemon: 70 },
    ],
  },
};

/** Archives without a passphrase, which no group above has. */
export const pfxWithoutPassphrase: readonly unknown[] = [openPfx, [openPfx], [{ buf: openPfx }]];

/** Options of tls.connect for one spelling. */
export function optionsFor(option: string, sample: KeySample, value: unknown): Record<string, unknown> {
  const base = sample.base ?? { host: 'a.example', port: 443 };
  return value === ABSENT ? { ...base } : { ...base, [option]: value };
}
