// The part of the session key that tls.createSecureContext decides: certificates, keys, ciphers, versions, trust.
// Used for the options of a connection and, by secure-context.ts, for those of a SecureContext. Never throws.
import tls from 'node:tls';
import { TlshubError } from '../errors.ts';
import { blobHash, NO_CA_SHA256 } from '../protocol/ca-blob.ts';
import type { TrustedCa } from '../protocol/default-ca.ts';
import type { SessionKey } from '../protocol/session-key.ts';
import { bytesOf, OPTION_RULES, type OptionRule, TLS_VERSIONS } from './options.ts';
import { NODE_CIPHERS, nodeFunctions } from './process-settings.ts';
import { trustedCa } from './trusted-ca.ts';

/** Options by name; absent ones are left out or `undefined`. */
export type Options = Readonly<Record<string, unknown>>;

/** Why a request cannot be shared, for `socket.sharing.reason`. */
export interface Unshareable {
  readonly reason: string;
}

/** Fields of the session key that come from a secure context, all but `ca`. */
export type ContextKey = Pick<
  SessionKey,
  | 'cert'
  | 'key'
  | 'pfx'
  | 'passphrase'
  | 'crl'
  | 'dhparam'
  | 'ciphers'
  | 'sigalgs'
  | 'ecdhCurve'
  | 'minVersion'
  | 'maxVersion'
  | 'secureProtocol'
  | 'secureOptions'
  | 'honorCipherOrder'
  | 'sessionIdContext'
  | 'sessionTimeout'
  | 'ticketKeys'
  | 'allowPartialTrustChain'
  | 'certificateCompression'
>;

/** A secure context in a form that crosses to the daemon. */
export interface ContextDescription {
  readonly key: ContextKey;
  readonly ca: TrustedCa;
}

/** What is sent in place of a context that the daemon has: nothing, and trust in nobody. */
export const EMPTY_CONTEXT: ContextDescription = {
  ca: { sha256: NO_CA_SHA256, blob: () => undefined },
  key: {
    ...{ cert: null, key: null, pfx: null, passphrase: null, crl: null, dhparam: null, ciphers: null },
    ...{ sigalgs: null, ecdhCurve: null, minVersion: null, maxVersion: null, secureProtocol: null },
    ...{ secureOptions: null, honorCipherOrder: null, sessionIdContext: null, sessionTimeout: null },
    ...{ ticketKeys: null, allowPartialTrustChain: null, certificateCompression: null },
  },
};

/** True for a reason instead of a result. */
export function isUnshareable(value: object): value is Unshareable {
  return 'reason' in value;
}

/**
 * The first option that cannot cross or whose value is not plainly valid, as a reason; `undefined` when all may.
 * @param options own enumerable options
 * @param concerns which options matter; the values of others are not looked at, but their names must be known
 * @param rules the table that says so, default that of tls.connect
 */
export function refuseOptions(
  options: Options,
  concerns: 'all' | 'context' | 'not context',
  rules: ReadonlyMap<string, OptionRule> = OPTION_RULES,
): string | undefined {
  for (const name of Object.keys(options)) {
    const rule = rules.get(name);
    if (rule === undefined) return `option "${name}" is not known to tlshub`;
    const value = options[name];
    if (value === undefined) continue;
    if (concerns !== 'all' && (concerns === 'context') !== (rule.context === true)) continue;
    if (rule.valid(value, options)) continue;
    if (rule.class === 'cannot cross') return `option "${name}" cannot cross: ${rule.note}`;
    return name === 'session'
      ? 'option "session" is not one of a shared socket'
      : `option "${name}" has a value that is left to node:tls`;
  }
  return undefined;
}

/**
 * Throws ERR_TLSHUB_INVALID_OPTION for an option whose place a context of the daemon takes: what it says would not be
 * done.
 * @param options as the application gave them
 * @param rules the table that knows them, default that of tls.connect
 */
export function refuseOwnContext(
  options: object,
  rules: ReadonlyMap<string, OptionRule> = OPTION_RULES,
): void {
  const own = Object.entries(options).find(([name, value]) => {
    const isOfContext = name === 'secureContext' || rules.get(name)?.context === true;
    return isOfContext && value !== undefined && value !== null;
  });
  if (own === undefined) return;
  throw new TlshubError(
    'ERR_TLSHUB_INVALID_OPTION',
    `"${own[0]}" and "shared.context" exclude each other: the context of the daemon decides it`,
  );
}

/**
 * What a secure context made of these options would be; the defaults of the process are filled in.
 * @param options already passed by {@link refuseOptions}
 */
export function describeContext(options: Options): ContextDescription | Unshareable {
  const ca = trustedCa(options.ca);
  if ('reason' in ca) return ca;
  const versions = protocolVersions(options);
  if (versions === undefined) return { reason: 'the protocol versions are left to node:tls' };
  const key: ContextKey = {
    cert: contentsList(options.cert),
    key: protectedList(options.key, 'pem'),
    pfx: protectedList(options.pfx, 'buf'),
    passphrase: contents(options.passphrase),
    crl: contentsList(options.crl),
    dhparam: contents(options.dhparam),
    ciphers: text(options.ciphers) || tls.DEFAULT_CIPHERS,
    sigalgs: text(options.sigalgs),
    ecdhCurve: text(options.ecdhCurve) ?? (tls.DEFAULT_ECDH_CURVE || 'auto'),
    minVersion: versions.minVersion,
    maxVersion: versions.maxVersion,
    secureProtocol: versions.secureProtocol,
    secureOptions: Number(options.secureOptions) || null,
    honorCipherOrder: options.honorCipherOrder ? true : null,
    sessionIdContext: text(options.sessionIdContext),
    sessionTimeout: (options.sessionTimeout as number | undefined) ?? null,
    ticketKeys: contents(options.ticketKeys),
    allowPartialTrustChain: options.allowPartialTrustChain ? true : null,
    certificateCompression: compression(options.certificateCompression),
  };
  const flaw = findFlaw(options, key);
  return flaw === undefined ? { key, ca } : { reason: flaw };
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function contents(value: unknown): string | null {
  if (typeof value === 'string') return Buffer.from(value).toString('base64');
  return ArrayBuffer.isView(value) ? Buffer.from(bytesOf(value)).toString('base64') : null;
}

/** The entries of a value that may be one or a list; an empty list is as good as none. */
function entriesOf(value: unknown): unknown[] | null {
  if (Array.isArray(value)) return value.length === 0 ? null : value;
  return contents(value) === null || value === '' ? null : [value];
}

function contentsList(value: unknown): string[] | null {
  return entriesOf(value)?.map((entry) => contents(entry) ?? '') ?? null;
}

function protectedList(value: unknown, property: 'pem' | 'buf'): SessionKey['key'] {
  return (
    entriesOf(value)?.map((entry) => {
      const plain = contents(entry);
      if (plain !== null) return { data: plain, passphrase: null };
      const { [property]: data, passphrase } = entry as Record<string, unknown>;
      const ownWord = property === 'buf' ? passphrase || null : passphrase;
      return { data: contents(data) ?? '', passphrase: contents(ownWord) };
    }) ?? null
  );
}

/** The option means nothing to a Node without the feature, and so must not cross to one that has it. */
function compression(value: unknown): ContextKey['certificateCompression'] {
  if (!('getCertificateCompressionAlgorithms' in tls) || !Array.isArray(value) || value.length === 0)
    return null;
  return [...(value as NonNullable<ContextKey['certificateCompression']>)];
}

type Versions = Pick<ContextKey, 'minVersion' | 'maxVersion' | 'secureProtocol'>;

/** `undefined` when the options contradict each other, or the defaults are none. */
function protocolVersions(options: Options): Versions | undefined {
  const { secureProtocol: method, minVersion, maxVersion } = options;
  const least = tls.DEFAULT_MIN_VERSION;
  const most = tls.DEFAULT_MAX_VERSION;
  if (!TLS_VERSIONS.includes(least) || !TLS_VERSIONS.includes(most)) return undefined;
  if (typeof method !== 'string') {
    return {
      minVersion: text(minVersion) ?? least,
      maxVersion: text(maxVersion) ?? most,
      secureProtocol: null,
    };
  }
  if ((minVersion ?? maxVersion ?? null) !== null) return undefined;
  // Of all methods of a client only this one takes the process's default for the least version.
  if (method.startsWith('SSLv23')) return { minVersion: least, maxVersion: 'TLSv1.2', secureProtocol: null };
  return { minVersion: null, maxVersion: null, secureProtocol: method };
}

/** Options whose contents node:tls parses at once, and may throw for. */
const PARSED: readonly (keyof ContextKey)[] = [
  ...(['cert', 'key', 'pfx', 'passphrase', 'crl', 'dhparam', 'ciphers', 'sigalgs', 'ecdhCurve'] as const),
  ...(['sessionIdContext', 'ticketKeys'] as const),
];

/** Most contents remembered; more than an application has. */
const MAX_REMEMBERED = 64;
/** Hashes of what was parsed well before; never the contents, which are secret. */
const parsedWell = new Set<string>();

/** Tries what node:tls would throw for, once per contents, so that it can throw it itself. */
function findFlaw(options: Options, key: ContextKey): string | undefined {
  const isPlain =
    key.ciphers === NODE_CIPHERS &&
    key.ecdhCurve === 'auto' &&
    !PARSED.some((name) => options[name] !== undefined && options[name] !== null);
  if (isPlain) return undefined;
  const canonical = blobHash(JSON.stringify(key));
  if (parsedWell.has(canonical)) return undefined;
  try {
    nodeFunctions.createSecureContext({ ...options, ca: [] });
  } catch (error) {
    return `invalid options: ${(error as Error).message}`;
  }
  if (parsedWell.size >= MAX_REMEMBERED) parsedWell.clear();
  parsedWell.add(canonical);
  return undefined;
}
