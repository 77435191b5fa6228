// Values of every option that the workers of a group must have in common: spellings that mean the same. Groups of one
// option mean different things. Used wherever the table is walked.
import type tls from 'node:tls';
import { ABSENT, type KeySample, keySamples } from '../key-samples.js';

const anyFunction = () => undefined;
const otherFunction = () => 'x';
const NOT_GIVEN = [ABSENT, undefined, null];

/** What differs from a client's values. */
const DIFFERENCES: Readonly<Record<string, readonly (readonly unknown[])[]>> = {
  requestCert: [[true], [...NOT_GIVEN, false, 1]],
  rejectUnauthorized: [[false], [...NOT_GIVEN, true, 0]],
  handshakeTimeout: [[5000], [6000], [...NOT_GIVEN, 0, 120_000]],
  SNICallback: [[anyFunction, otherFunction], NOT_GIVEN],
  ALPNCallback: [[anyFunction, otherFunction], NOT_GIVEN],
  secureProtocol: [
    ['TLSv1_2_server_method'],
    ['TLS_method'],
    ['SSLv23_method', 'SSLv23_server_method'],
    [...NOT_GIVEN, ''],
  ],
  honorCipherOrder: [
    [ABSENT, undefined, true, 1],
    [false, null, 0],
  ],
  sessionIdContext: [['one'], ['two'], [...NOT_GIVEN, '']],
  sessionTimeout: [[60], [70], [...NOT_GIVEN, 0]],
  minVersion: [['TLSv1.3'], ['TLSv1.1'], [...NOT_GIVEN, '', 'TLSv1.2']],
  maxVersion: [['TLSv1.2'], [...NOT_GIVEN, '', 'TLSv1.3']],
};

/** Options of a context that tls.createServer takes. */
const CONTEXT = [
  ...['ALPNProtocols', 'ca', 'cert', 'key', 'pfx', 'passphrase', 'crl', 'dhparam', 'ciphers', 'sigalgs'],
  ...['ecdhCurve', 'secureOptions', 'ticketKeys', 'certificateCompression'],
];

/** By option: other options that must be given, and groups of values with one meaning. */
export const serverSamples: Readonly<
  Record<string, { base: Record<string, unknown>; meanings: readonly (readonly unknown[])[] }>
> = {
  ...Object.fromEntries(
    CONTEXT.map((name) => {
      const { base = {}, meanings } = keySamples[name] as KeySample;
      const { host: _host, port: _port, ...rest } = base;
      return [name, { base: rest, meanings: meanings.map(({ given }) => given) }];
    }),
  ),
  ...Object.fromEntries(
    Object.entries(DIFFERENCES).map(([name, meanings]) => [name, { base: {}, meanings }]),
  ),
};

/** Options of tls.createServer for one spelling. */
export function serverOptionsFor(option: string, value: unknown): tls.TlsOptions {
  const base = serverSamples[option]?.base ?? {};
  return value === ABSENT ? { ...base } : { ...base, [option]: value };
}
