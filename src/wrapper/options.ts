// The classification of every option that tls.connect may be given: part of the session key, applied by the wrapper,
// or unable to cross to the daemon. An option that is not here makes a request unshareable. The predicates pass only
// what is plainly valid; everything else is left to node:tls, which throws as it always does. docs/options.md shows
// the same table, and a test compares the two. Options of HTTP libraries are in http-options.ts.

import { ADDRCONFIG, ALL, V4MAPPED } from 'node:dns';
import { isIPv4, isIPv6 } from 'node:net';
import { encodeAlpn, isAlpnWire } from '../protocol/alpn.ts';
import { TICKET_NAME_PREFIX } from '../protocol/session-key.ts';
import { httpOptions } from './http-options.ts';

/**
 * What becomes of an option: `key` is part of the session key, `local` is applied by the wrapper or has no effect on
 * the session, `cannot cross` makes the request unshareable.
 */
export type OptionClass = 'key' | 'local' | 'cannot cross';

/** One option. */
export interface OptionRule {
  readonly class: OptionClass;
  /** The function that documents it. */
  readonly of: string;
  /** What is done with it, or why it cannot cross. */
  readonly note: string;
  /** True when createSecureContext reads it: a `secureContext` takes its place. */
  readonly context?: true;
  /**
   * True when the value is plainly valid, or counts as absent. `undefined` is absent and not asked about.
   * @param value of the option
   * @param options all options
   */
  valid(value: unknown, options: Readonly<Record<string, unknown>>): boolean;
}

/** True for a session that a shared socket gave out. It means nothing to node:tls. */
export function isSessionToken(session: unknown): boolean {
  return (
    Buffer.isBuffer(session) &&
    session.toString('latin1', 0, TICKET_NAME_PREFIX.length) === TICKET_NAME_PREFIX
  );
}

/** Protocol versions of `minVersion` and `maxVersion`. */
export const TLS_VERSIONS: readonly unknown[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];

/** Values of `secureProtocol` that a client can use; SSLv23 is OpenSSL's old name of "TLS 1.2 at most". */
const CLIENT_METHODS: readonly unknown[] = [
  ...['TLS_method', 'TLS_client_method', 'SSLv23_method', 'SSLv23_client_method'],
  ...['TLSv1_method', 'TLSv1_client_method', 'TLSv1_1_method', 'TLSv1_1_client_method'],
  ...['TLSv1_2_method', 'TLSv1_2_client_method'],
];

const FAMILIES: readonly unknown[] = [0, 4, 6, 'IPv4', 'IPv6'];
const COMPRESSIONS: readonly unknown[] = ['zlib', 'brotli', 'zstd'];
const ALL_HINTS = ADDRCONFIG | V4MAPPED | ALL;

/** Tells whether a value is plainly valid, whatever the other options are. */
export type Check = (value: unknown) => boolean;

/** Passes every value. */
export const anything: Check = () => true;
/** Passes functions. */
export const isFunction: Check = (value) => typeof value === 'function';
/** Passes what counts as absent where node:tls asks for truth. */
export const isFalsy: Check = (value) => !value;
/** Passes `null`, which counts as absent where node:tls says so. */
export const isNull: Check = (value) => value === null;
const isFlag: Check = (value) => typeof value === 'boolean';
const isString: Check = (value) => typeof value === 'string';
const isText: Check = (value) => typeof value === 'string' && value.length > 0 && !value.includes('\0');
const isContents: Check = (value) => typeof value === 'string' || ArrayBuffer.isView(value);
const isObject: Check = (value) => typeof value === 'object' && value !== null;

/** Passes what one of the checks passes. */
export const either =
  (...checks: Check[]): Check =>
  (value) =>
    checks.some((check) => check(value));
/** Passes the given values. */
export const one =
  (values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);
const list =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
/** Passes whole numbers of a range, both ends included. */
export const integer =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && Number(value) >= least && Number(value) <= most;

/** Largest number that many of Node's options may be. */
export const INT32_MAX = 0x7fffffff;
const isContentsOrList = either(isContents, list(isContents));
/** Where an empty text is not the same as none. */
const isSomeContents: Check = (value) => isContents(value) && value !== '';

/** Keys take texts only. */
function isPassphrase(value: unknown, options: Readonly<Record<string, unknown>>): boolean {
  return value === null || typeof value === 'string' || (ArrayBuffer.isView(value) && !options.key);
}

/** Bytes are never the word `auto`. */
const isDhparam: Check = (value) =>
  ArrayBuffer.isView(value)
    ? Buffer.compare(bytesOf(value), Buffer.from('auto')) !== 0
    : isSomeContents(value);

/** `{ pem, passphrase }`, as only a list of keys may hold. */
const isProtectedKey: Check = (value) => {
  if (!isObject(value) || ArrayBuffer.isView(value)) return false;
  const { pem, passphrase } = value as { pem?: unknown; passphrase?: unknown };
  return isContents(pem) && (passphrase === undefined || typeof passphrase === 'string');
};

/** `{ buf, passphrase }`, as only a list of PFX archives may hold. */
const isProtectedPfx: Check = (value) => {
  if (!isObject(value) || ArrayBuffer.isView(value)) return false;
  const { buf, passphrase } = value as { buf?: unknown; passphrase?: unknown };
  return isContents(buf) && (!passphrase || isContents(passphrase));
};

/** A port, as a number or as text; a path takes its place. */
function isPort(value: unknown, options: Readonly<Record<string, unknown>>): boolean {
  if (options.path) return true;
  if (typeof value === 'string') return value.trim().length > 0 && integer(0, 0xffff)(Number(value));
  return integer(0, 0xffff)(value);
}

/** Passes lists of ALPN protocols, as names or in wire form. */
export const isAlpn: Check = (value) =>
  Array.isArray(value)
    ? value.every(isString) && encodeAlpn(value) !== undefined
    : ArrayBuffer.isView(value) && isAlpnWire(bytesOf(value));

/** An AbortSignal, as node:net recognises one. */
const isSignal: Check = (value) =>
  isObject(value) && 'aborted' in (value as object) && value instanceof EventTarget;

/**
 * `net.isIP`, but quick to say no: compiling its pattern for IPv6 takes Node 20 longer than all else here.
 */
export function isIpAddress(text: string): boolean {
  return text.includes(':') ? isIPv6(text) : /[0-9]$/.test(text) && isIPv4(text);
}

/** The bytes that a view shows, not copied. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** Name, note and check of an option. */
export type Row = [name: string, note: string, valid?: OptionRule['valid']];

/**
 * Rules of one kind, for a table.
 * @param fallback check of the rows that have none
 */
export function rows(
  kind: Pick<OptionRule, 'class' | 'of' | 'context'>,
  fallback: Check,
  ...list: Row[]
): [string, OptionRule][] {
  return list.map(([name, note, valid]) => [name, { ...kind, note, valid: valid ?? fallback }]);
}

const CONNECT = 'tls.connect';
const CONTEXT = 'tls.createSecureContext';
const SOCKET = 'net.connect';

/** Every option that is known, by name. */
export const OPTION_RULES: ReadonlyMap<string, OptionRule> = new Map<string, OptionRule>([
  ...rows(
    { class: 'key', of: CONNECT },
    anything,
    ['host', 'Default `localhost`.', either(isFalsy, isText)],
    ['port', 'Text is taken as a number.', isPort],
    ['path', 'Made absolute.', either(isFalsy, isString)],
    [
      'servername',
      'An IP address is left to node:tls.',
      either(isFalsy, (value) => isText(value) && !isIpAddress(String(value))),
    ],
    ['ALPNProtocols', 'A list and its wire form are equal.', either(isFalsy, isAlpn)],
    ['rejectUnauthorized', 'Default: `NODE_TLS_REJECT_UNAUTHORIZED` at the time of the call.'],
    [
      'checkServerIdentity',
      'Whether there is one; the function itself runs in the wrapper, before `secureConnect`.',
      isFunction,
    ],
    ['requestOCSP', 'True or not.'],
    ['minDHSize', 'Default 1024.', integer(1, INT32_MAX)],
    [
      'secureContext',
      'Crosses when it was made by `createSecureContext` of tlshub and not changed since; it takes the place of the options that it was made of.',
    ],
  ),
  ...rows(
    { class: 'key', of: CONTEXT, context: true },
    anything,
    [
      'ca',
      'By hash; the list itself travels once. Default: what this process trusts.',
      either(isFalsy, isContentsOrList),
    ],
    ['cert', 'Contents.', either(isFalsy, isContentsOrList)],
    ['key', 'Contents.', either(isFalsy, isContents, list(either(isContents, isProtectedKey)))],
    ['pfx', 'Contents.', either(isNull, isSomeContents, list(either(isContents, isProtectedPfx)))],
    ['passphrase', 'Text and bytes are equal.', isPassphrase],
    ['crl', 'Contents.', either(isNull, isSomeContents, list(isContents))],
    ['dhparam', 'Contents, or `auto`.', either(isNull, isDhparam)],
    ['ciphers', 'Default `tls.DEFAULT_CIPHERS`.', either(isNull, isString)],
    ['sigalgs', 'As given.', either(isNull, isText)],
    ['ecdhCurve', 'Default `tls.DEFAULT_ECDH_CURVE`.', isString],
    ['minVersion', 'Default `tls.DEFAULT_MIN_VERSION`.', either(isNull, one(TLS_VERSIONS))],
    ['maxVersion', 'Default `tls.DEFAULT_MAX_VERSION`.', either(isNull, one(TLS_VERSIONS))],
    ['secureProtocol', 'The methods of a client.', either(isNull, one(CLIENT_METHODS))],
    [
      'secureOptions',
      'As given; 0 is none.',
      either(isFalsy, integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)),
    ],
    ['honorCipherOrder', 'True or not.'],
    ['sessionIdContext', 'As given.', either(isNull, isString)],
    ['sessionTimeout', 'As given.', either(isNull, integer(0, INT32_MAX))],
    [
      'ticketKeys',
      'Contents.',
      either(isNull, (value) => ArrayBuffer.isView(value) && value.byteLength === 48),
    ],
    ['allowPartialTrustChain', 'True or not.'],
    [
      'certificateCompression',
      'Where Node knows it.',
      either(isNull, (value) => list(one(COMPRESSIONS))(value) && (value as unknown[]).length <= 3),
    ],
  ),
  ...rows(
    { class: 'key', of: SOCKET },
    anything,
    ['family', '`IPv4` is 4, `IPv6` is 6, absent is 0.', either(isNull, one(FAMILIES))],
    [
      'hints',
      'As given; 0 is none.',
      either(isFalsy, (value) => integer(0, ALL_HINTS)(value) && (Number(value) & ~ALL_HINTS) === 0),
    ],
    [
      'localAddress',
      'As given.',
      either(isFalsy, (value) => typeof value === 'string' && isIpAddress(value)),
    ],
    ['localPort', 'As given; 0 is none.', either(isFalsy, integer(1, 0xffff))],
    ['autoSelectFamily', 'Default `net.getDefaultAutoSelectFamily()`.', either(isNull, isFlag)],
    [
      'autoSelectFamilyAttemptTimeout',
      'Default `net.getDefaultAutoSelectFamilyAttemptTimeout()`; at least 10.',
      either(isNull, integer(1, INT32_MAX)),
    ],
  ),
  ...rows(
    { class: 'local', of: SOCKET },
    anything,
    ['allowHalfOpen', 'Of the socket that the application gets.'],
    [
      'highWaterMark',
      'Of the socket that the application gets.',
      either(isNull, integer(0, Number.MAX_SAFE_INTEGER)),
    ],
    ['onread', 'Called by the wrapper.'],
    ['signal', 'Ends the lease, not the session of others.', either(isFalsy, isSignal)],
    [
      'timeout',
      'Of the socket that the application gets.',
      either(isFalsy, (value) => Number.isFinite(value) && Number(value) > 0),
    ],
    ['noDelay', 'Set anew for each lease.'],
    ['keepAlive', 'Set anew for each lease.'],
    [
      'keepAliveInitialDelay',
      'Set anew for each lease.',
      (value) => Number.isSafeInteger(Math.trunc(Number(value))) && typeof value === 'number',
    ],
    ['readable', 'No effect on `tls.connect`.'],
    ['writable', 'No effect on `tls.connect`.'],
  ),
  ...rows(
    { class: 'local', of: CONNECT },
    anything,
    [
      'session',
      'One that a shared socket gave out is dropped: the daemon keeps the tickets. Any other cannot cross.',
      either(isFalsy, isSessionToken),
    ],
    ['requestCert', 'No effect on a client.'],
    ['SNICallback', 'No effect on a client.'],
    ['ALPNCallback', 'No effect on a client.'],
    ['shared', 'Says whether and how the session is shared.'],
  ),
  ...rows(
    { class: 'cannot cross', of: CONNECT },
    either(isFalsy),
    ['socket', 'A stream of the application cannot be used by the daemon.'],
    ['pskCallback', 'A function of the application cannot run in the daemon.'],
    [
      'enableTrace',
      'The trace is written by the process that holds the session.',
      either(isNull, one([false])),
    ],
  ),
  ...rows(
    { class: 'cannot cross', of: CONTEXT, context: true },
    isNull,
    ['clientCertEngine', 'OpenSSL engines are loaded into the process that holds the session.'],
    ['privateKeyEngine', 'OpenSSL engines are loaded into the process that holds the session.'],
    ['privateKeyIdentifier', 'OpenSSL engines are loaded into the process that holds the session.'],
  ),
  ...rows(
    { class: 'cannot cross', of: SOCKET },
    isFalsy,
    ['lookup', 'A function of the application cannot run in the daemon.', isNull],
    ['fd', 'A descriptor of the application is none of the daemon.', () => false],
    ['handle', 'A handle of the application is none of the daemon.'],
    ['blockList', 'The list is checked where the connection is made, and cannot be copied.'],
    ['typeOfService', 'Connections of one pool would differ in it.', () => false],
  ),
  ...httpOptions.map(([name, of, note]): [string, OptionRule] => [
    name,
    { class: 'local', of, note, valid: name === 'socketPath' ? isSocketPath : anything },
  ]),
]);

/** HTTP agents copy it to `path`; alone it would mean something else than node:tls makes of it. */
function isSocketPath(value: unknown, options: Readonly<Record<string, unknown>>): boolean {
  return !value || value === options.path;
}
