// The session key: everything that must be equal before two requests may share a session (with the uid, which the
// daemon adds from the peer's credentials). The wrapper fills in every field, so the daemon never has a default of
// its own. `null` means: the application did not set it and node:tls has no process-wide default for it.
import * as v from 'valibot';
import { sessionNameSchema } from './session-name.ts';

const base64 = v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]*={0,2}$/, 'is not base64'));
const text = v.nullable(v.string());
const integer = v.nullable(v.pipe(v.number(), v.safeInteger()));
const flag = v.nullable(v.boolean());
const contents = v.nullable(v.array(base64));
const protectedContents = v.nullable(
  v.array(v.strictObject({ data: base64, passphrase: v.nullable(base64) })),
);

/** A SHA-256 in lower-case hexadecimal; names a blob that travels once (`put`). */
export const sha256Schema = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'is not a SHA-256 in hexadecimal'));

/** What a secure context is made of, on either side of a connection; names are Node's, contents are base64. */
export const contextFields = {
  /** SHA-256 of the trusted CA certificates (see ca-blob.ts). */
  ca: sha256Schema,
  cert: contents,
  key: protectedContents,
  pfx: protectedContents,
  passphrase: v.nullable(base64),
  crl: contents,
  dhparam: v.nullable(base64),
  ciphers: text,
  sigalgs: text,
  ecdhCurve: text,
  minVersion: text,
  maxVersion: text,
  secureProtocol: text,
  secureOptions: integer,
  honorCipherOrder: flag,
  sessionIdContext: text,
  /** Seconds. */
  sessionTimeout: integer,
  ticketKeys: v.nullable(base64),
  allowPartialTrustChain: flag,
  /** In order of preference (RFC 8879); a daemon whose Node knows no such option offers none. */
  certificateCompression: v.nullable(v.array(v.picklist(['zlib', 'brotli', 'zstd']))),
} as const;

/** Schema of a secure context. */
export const contextSchema = v.strictObject(contextFields);

/** What a secure context is made of. */
export type ContextKey = v.InferOutput<typeof contextSchema>;

/** Fields of the session key as they travel; names are Node's where Node has one, contents are base64. */
export const sessionKeyFields = {
  /** Host to connect to; with `path` only the name that the certificate is checked against, or `null`. */
  host: text,
  /** TCP port, 0–65535; `null` with `path`. */
  port: v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535))),
  /** Path of a Unix socket to connect to instead of host and port. */
  path: text,
  /** Address family for the look-up: 0 any, 4 or 6. */
  family: v.picklist([0, 4, 6]),
  /** `dns.lookup` hints. */
  hints: integer,
  localAddress: text,
  localPort: integer,
  autoSelectFamily: v.boolean(),
  /** Milliseconds per address. */
  autoSelectFamilyAttemptTimeout: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** SNI; `null` sends none, and the certificate is checked against the host. */
  servername: text,
  /** ALPN list in wire form (RFC 7301 §3.1). */
  ALPNProtocols: v.nullable(base64),
  rejectUnauthorized: v.boolean(),
  /** True when the application checks the peer's name itself (in the wrapper), instead of node:tls. */
  checkServerIdentity: v.boolean(),
  requestOCSP: v.boolean(),
  /** Least size of a Diffie-Hellman prime, in bits. */
  minDHSize: integer,
  /** Name of a context of the daemon's configuration; the fields below are `null` then, and `ca` names the empty list. */
  context: v.nullable(sessionNameSchema),
  ...contextFields,
} as const;

/** Schema of a session key: every field present, none unknown. */
export const sessionKeySchema = v.strictObject(sessionKeyFields);

/** Everything that must be equal before two requests may share a session. */
export type SessionKey = v.InferOutput<typeof sessionKeySchema>;

/** Fields whose contents are secret; never logged and never shown. */
export const SECRET_KEY_FIELDS: readonly (keyof SessionKey)[] = ['key', 'pfx', 'passphrase', 'ticketKeys'];

/**
 * The one text of a session key: equal texts mean equal keys, field by field, whatever order they came in.
 * @param key a valid session key
 */
export function canonicalSessionKey(key: SessionKey): string {
  return canonicalTexts.get(key) ?? textOf(key);
}

/** Texts of keys that are asked for again and again; these do not change any more. */
const canonicalTexts = new WeakMap<SessionKey, string>();

/** Remembers the text of a key, and freezes it. */
export function rememberCanonical(key: SessionKey): void {
  canonicalTexts.set(Object.freeze(key), textOf(key));
}

function textOf(key: SessionKey): string {
  return JSON.stringify(Object.keys(sessionKeyFields).map((field) => key[field as keyof SessionKey]));
}

/** Beginning of the opaque name that stands for a session ticket outside the daemon. */
export const TICKET_NAME_PREFIX = 'tlshub-ticket:';
