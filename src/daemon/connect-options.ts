// The inverse of wrapper/resolve-request.ts: a session key as options of tls.connect. Everything is explicit, so that
// no setting of the daemon's own process takes part. Called by upstream.ts.
import {
  type ConnectionOptions,
  checkServerIdentity,
  type SecureContextOptions,
  type SecureVersion,
} from 'node:tls';
import { TlshubError } from '../errors.ts';
import { isAlpnWire } from '../protocol/alpn.ts';
import { splitCa } from '../protocol/ca-blob.ts';
import type { ContextKey, SessionKey } from '../protocol/session-key.ts';
import { fitsUnixSocket } from '../protocol/unix-path.ts';

/** node:tls warns of short primes, but takes this word for "the default ones". */
const AUTO_DHPARAM = 'auto';

/**
 * Options of tls.connect for a session key, without those of its secure context, which node:tls would keep as long as the
 * connection lives. Throws ERR_TLSHUB_INVALID_CALL for a key that would end the process; anything else that is wrong with
 * it, node:tls answers.
 * @param key what a client asked for
 */
export function toConnectOptions(key: SessionKey): ConnectionOptions & { allowHalfOpen: true } {
  if (key.path !== null && !fitsUnixSocket(key.path)) throw invalid('"key.path" does not fit a Unix socket');
  return {
    ...present({
      host: key.host,
      port: key.port,
      path: key.path,
      hints: key.hints,
      localAddress: key.localAddress,
      localPort: key.localPort,
      servername: key.servername,
      minDHSize: key.minDHSize,
      ALPNProtocols: alpnProtocols(key.ALPNProtocols),
    }),
    ...{ family: key.family, autoSelectFamily: key.autoSelectFamily },
    ...{ autoSelectFamilyAttemptTimeout: key.autoSelectFamilyAttemptTimeout },
    rejectUnauthorized: key.rejectUnauthorized,
    checkServerIdentity: key.checkServerIdentity ? acceptAnyName : checkServerIdentity,
    requestOCSP: key.requestOCSP,
    allowHalfOpen: true,
  };
}

/** The application's own check runs in its process. */
const acceptAnyName = (): undefined => undefined;

/**
 * Options of the secure context for a session key.
 * @param key what a client asked for, or a context
 * @param ca the certificates named by `key.ca`; `bundled` when the daemon trusts the same by default
 */
export function toSecureContextOptions(key: ContextKey, ca: Buffer | 'bundled'): SecureContextOptions {
  const options = present({
    ca: ca === 'bundled' ? null : splitCa(ca),
    cert: key.cert?.map(decode) ?? null,
    key: key.key?.map((entry) => ({
      pem: decode(entry.data),
      ...(entry.passphrase !== null && { passphrase: decode(entry.passphrase).toString() }),
    })),
    pfx: key.pfx?.map((entry) => ({
      buf: decode(entry.data),
      ...(entry.passphrase !== null && { passphrase: decode(entry.passphrase) }),
    })),
    passphrase: passphrase(key),
    crl: key.crl?.map(decode) ?? null,
    dhparam: dhparam(key.dhparam),
    ciphers: key.ciphers,
    sigalgs: key.sigalgs,
    ecdhCurve: key.ecdhCurve,
    minVersion: key.minVersion,
    maxVersion: key.maxVersion,
    secureProtocol: key.secureProtocol,
    secureOptions: key.secureOptions,
    honorCipherOrder: key.honorCipherOrder,
    sessionIdContext: key.sessionIdContext,
    sessionTimeout: key.sessionTimeout,
    ticketKeys: key.ticketKeys === null ? null : decode(key.ticketKeys),
    allowPartialTrustChain: key.allowPartialTrustChain,
    certificateCompression: key.certificateCompression,
  });
  return options as SecureContextOptions & { minVersion?: SecureVersion };
}

type Present<Values> = { [Name in keyof Values]?: Exclude<Values[Name], null | undefined> };

/** The values that are there; node:tls does not take `null` for absent everywhere. */
function present<Values extends object>(values: Values): Present<Values> {
  const entries = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(entries) as Present<Values>;
}

function decode(base64: string): Buffer {
  return Buffer.from(base64, 'base64');
}

/** Keys take a passphrase only as text; PFX archives also take bytes that are none. */
function passphrase(key: ContextKey): string | Buffer | null {
  if (key.passphrase === null) return null;
  const bytes = decode(key.passphrase);
  return key.key === null ? bytes : bytes.toString();
}

function dhparam(base64: string | null): string | Buffer | null {
  if (base64 === null) return null;
  const bytes = decode(base64);
  return bytes.toString('latin1') === AUTO_DHPARAM ? AUTO_DHPARAM : bytes;
}

function alpnProtocols(base64: string | null): Buffer | null {
  if (base64 === null) return null;
  const list = decode(base64);
  if (!isAlpnWire(list)) {
    throw invalid('"key.ALPNProtocols" is not a list in wire form');
  }
  return list;
}

function invalid(message: string): TlshubError {
  return new TlshubError('ERR_TLSHUB_INVALID_CALL', message);
}
