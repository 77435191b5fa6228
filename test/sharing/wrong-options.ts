// Options of tls.connect with wrong types or values, each of which node:tls refuses.
import type { ConnectionOptions } from 'node:tls';
import type { TestPki } from './test-pki.ts';

/** Wrong on purpose, so the types are left behind here. */
function wrong(options: Record<string, unknown>): (pki: TestPki) => ConnectionOptions {
  return () => ({ host: '127.0.0.1', port: 1, ...options }) as ConnectionOptions;
}

/** By title; the rest of the options is a refused port, so that an option that is not refused still ends. */
export const wrongOptions: Record<string, (pki: TestPki) => ConnectionOptions> = {
  'port is a word': wrong({ port: 'https' }),
  'port is too large': wrong({ port: 65_536 }),
  'port is negative': wrong({ port: -1 }),
  'port is a fraction': wrong({ port: 1.5 }),
  'port is an object': wrong({ port: {} }),
  'host is a number': wrong({ host: 5 }),
  'host is an object': wrong({ host: {} }),
  'path is a number': wrong({ path: 5 }),
  'localAddress is a name': wrong({ localAddress: 'localhost' }),
  'localPort is a word': wrong({ localPort: 'x' }),
  'family is 9': wrong({ host: 'localhost', family: 9 }),
  'hints are wrong': wrong({ host: 'localhost', hints: 12_345 }),
  'lookup is no function': wrong({ host: 'localhost', lookup: 5 }),
  'autoSelectFamily is a word': wrong({ host: 'localhost', autoSelectFamily: 'yes' }),
  'autoSelectFamilyAttemptTimeout is negative': wrong({
    host: 'localhost',
    autoSelectFamilyAttemptTimeout: -1,
  }),
  'timeout is a word': wrong({ timeout: 'soon' }),
  'timeout is negative': wrong({ timeout: -1 }),
  'signal is no signal': wrong({ signal: 5 }),
  'highWaterMark is negative': wrong({ highWaterMark: -1 }),
  'checkServerIdentity is a word': wrong({ checkServerIdentity: 'x' }),
  'minDHSize is a word': wrong({ minDHSize: 'x' }),
  'minDHSize is zero': wrong({ minDHSize: 0 }),
  'minVersion is unknown': wrong({ minVersion: 'TLSv9' }),
  'maxVersion is unknown': wrong({ maxVersion: 'TLSv9' }),
  'secureProtocol is unknown': wrong({ secureProtocol: 'SSLv9_method' }),
  'secureProtocol conflicts with minVersion': wrong({ secureProtocol: 'TLS_method', minVersion: 'TLSv1.2' }),
  'ciphers is a number': wrong({ ciphers: 5 }),
  'ciphers match nothing': wrong({ ciphers: 'NO-SUCH-CIPHER' }),
  'sigalgs is a number': wrong({ sigalgs: 5 }),
  'sigalgs is empty': wrong({ sigalgs: '' }),
  'sigalgs is unknown': wrong({ sigalgs: 'no_such_algorithm' }),
  'ecdhCurve is a number': wrong({ ecdhCurve: 5 }),
  'ecdhCurve is unknown': wrong({ ecdhCurve: 'no-such-curve' }),
  'sessionIdContext is a number': wrong({ sessionIdContext: 5 }),
  'sessionTimeout is a word': wrong({ sessionTimeout: 'x' }),
  'ticketKeys is a word': wrong({ ticketKeys: 'x' }),
  'ticketKeys is too short': wrong({ ticketKeys: Buffer.alloc(5) }),
  'ca is a number': wrong({ ca: 5 }),
  'cert is a number': wrong({ cert: 5 }),
  'cert is no certificate': wrong({ cert: 'not a certificate' }),
  'key is a number': wrong({ key: 5 }),
  'key is no key': wrong({ key: 'not a key' }),
  'key is missing': (pki) => ({
    host: '127.0.0.1',
    port: 1,
    cert: pki.client.cert,
    key: 5 as unknown as string,
  }),
  'key belongs to another certificate': (pki) => ({
    host: '127.0.0.1',
    port: 1,
    cert: pki.client.cert,
    key: pki.good.key,
  }),
  'pfx is no pfx': wrong({ pfx: Buffer.from('not a pfx') }),
  'pfx is a number': wrong({ pfx: 5 }),
  'passphrase is a number': (pki) => ({
    host: '127.0.0.1',
    port: 1,
    key: pki.good.key,
    passphrase: 5 as unknown as string,
  }),
  'crl is no list': wrong({ crl: 'not a list' }),
  'ALPNProtocols has a name that is too long': wrong({ ALPNProtocols: ['x'.repeat(300)] }),
  'session is a number': wrong({ session: 5 }),
  'secureContext is no context': wrong({ secureContext: 5 }),
  'socket is no socket': wrong({ socket: 5 }),
  'pskCallback is no function': wrong({ pskCallback: 5 }),
};
