// The classification of every option that tls.createServer may be given, also through https.createServer and
// http2.createSecureServer, which hand theirs on: equal in all workers of a group, applied by the wrapper, or unable
// to cross to the daemon. The counterpart of options.ts, with the same rules: an option that is not here makes a
// server unshareable. docs/options.md shows the table, and a test compares the two.
import {
  anything,
  type Check,
  either,
  INT32_MAX,
  integer,
  isAlpn,
  isFalsy,
  isFunction,
  isNull,
  OPTION_RULES,
  type OptionRule,
  one,
  rows,
} from '../options.ts';

const SERVER = 'tls.createServer';
const SOCKET = 'net.createServer';

/** Values of `secureProtocol` that a server can use; SSLv23 is OpenSSL's old name of "TLS 1.2 at most". */
const SERVER_METHODS: readonly unknown[] = [
  ...['TLS_method', 'TLS_server_method', 'SSLv23_method', 'SSLv23_server_method'],
  ...['TLSv1_method', 'TLSv1_server_method', 'TLSv1_1_method', 'TLSv1_1_server_method'],
  ...['TLSv1_2_method', 'TLSv1_2_server_method'],
];

/** What differs between the context of a server and that of a client. */
const DIFFERENCES: Readonly<Record<string, Partial<OptionRule>>> = {
  secureProtocol: { note: 'The methods of a server.', valid: either(isNull, one(SERVER_METHODS)) },
};

/** Options of a secure context of a server (`addContext`, `SNICallback`), by name. */
export const SERVER_CONTEXT_RULES: ReadonlyMap<string, OptionRule> = new Map(
  [...OPTION_RULES]
    .filter(([, rule]) => rule.context === true)
    .map(([name, rule]): [string, OptionRule] => [name, { ...rule, ...DIFFERENCES[name] }]),
);

/** What tls.createServer makes of some of them. */
const NOTES: Readonly<Record<string, string>> = {
  ca: 'By hash; the list itself travels once. Default: what this process trusts.',
  honorCipherOrder: 'True or not; default true.',
  sessionIdContext: 'Default: one for all servers, where node:tls takes the hash of the command line.',
  sessionTimeout: 'As given; 0 is none.',
  ticketKeys: 'Contents. Default: keys of the daemon, which it renews.',
};

const HTTP = [
  ...['IncomingMessage', 'ServerResponse', 'connectionsCheckingInterval', 'headersTimeout', 'httpValidation'],
  ...['insecureHTTPParser', 'joinDuplicateHeaders', 'keepAliveTimeout', 'keepAliveTimeoutBuffer'],
  ...['maxHeaderSize', 'optimizeEmptyRequests', 'rejectNonStandardBodyWrites', 'requestTimeout'],
  ...['requireHostHeader', 'shouldUpgradeCallback', 'uniqueHeaders'],
];

const HTTP2 = [
  ...['Http1IncomingMessage', 'Http1ServerResponse', 'Http2ServerRequest', 'Http2ServerResponse'],
  ...['allowHTTP1', 'http1Options', 'maxDeflateDynamicTableSize', 'maxHeaderListPairs', 'maxOriginSetSize'],
  ...['maxOutstandingPings', 'maxOutstandingSettings', 'maxReservedRemoteStreams'],
  ...['maxSendHeaderBlockLength', 'maxSessionInvalidFrames', 'maxSessionMemory', 'maxSessionRejectedStreams'],
  ...['maxSettings', 'origins', 'paddingStrategy', 'peerMaxConcurrentStreams', 'remoteCustomSettings'],
  ...['settings', 'streamResetBurst', 'streamResetRate', 'strictFieldWhitespaceValidation'],
  ...['strictSingleValueFields', 'unknownProtocolTimeout'],
];

const noEffect = (names: readonly string[], of: string): [string, OptionRule][] =>
  rows(
    { class: 'local', of },
    anything,
    ...names.map((name): [string, string] => [name, 'No effect on TLS.']),
  );

const isDelay: Check = (value) => typeof value === 'number' && Number.isSafeInteger(Math.trunc(value));

/** Every option that is known, by name. */
export const SERVER_OPTION_RULES: ReadonlyMap<string, OptionRule> = new Map<string, OptionRule>([
  ...rows(
    { class: 'key', of: SERVER },
    anything,
    ['ALPNProtocols', 'A list and its wire form are equal.', either(isFalsy, isAlpn)],
    ['requestCert', 'Only `true` asks for a certificate.'],
    ['rejectUnauthorized', 'Only `false` takes clients that cannot be verified.'],
    ['handshakeTimeout', 'Milliseconds; default 120000, also for 0.', either(isFalsy, integer(1, INT32_MAX))],
    [
      'SNICallback',
      'Whether there is one; the function itself runs in a worker.',
      either(isFalsy, isFunction),
    ],
    [
      'ALPNCallback',
      'Whether there is one; the function itself runs in a worker. Together with `ALPNProtocols` it is left to node:tls.',
      (value, options) => !value || (isFunction(value) && !options.ALPNProtocols),
    ],
  ),
  ...[...SERVER_CONTEXT_RULES].map(([name, rule]): [string, OptionRule] => [
    name,
    { ...rule, note: NOTES[name] ?? rule.note },
  ]),
  ...rows(
    { class: 'local', of: SOCKET },
    anything,
    ['allowHalfOpen', 'Of the sockets that the application gets.'],
    ['pauseOnConnect', 'Of the sockets that the application gets.'],
    [
      'highWaterMark',
      'No effect on `tls.createServer`.',
      integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    ],
    ['noDelay', 'Set for each session.'],
    ['keepAlive', 'Set for each session.'],
    ['keepAliveInitialDelay', 'Set for each session.', isDelay],
  ),
  ...rows(
    { class: 'local', of: SERVER },
    anything,
    // The one option of a context that tls.Server does not hand on (Node 20 to 26).
    ['allowPartialTrustChain', 'No effect on `tls.createServer`; in a context for `addContext` it counts.'],
    ['requestOCSP', 'No effect on `tls.createServer`.'],
    ['secureContext', 'No effect on `tls.createServer`.'],
    ['servername', 'No effect on `tls.createServer`.'],
    ['shared', 'Says whether and how the server is shared.'],
  ),
  ...rows(
    { class: 'cannot cross', of: SERVER },
    isFalsy,
    ['pskCallback', 'A function of the application cannot run in the daemon.'],
    ['pskIdentityHint', 'It belongs to `pskCallback`.'],
    [
      'enableTrace',
      'The trace is written by the process that holds the session.',
      either(isNull, one([false])),
    ],
  ),
  ...rows({ class: 'cannot cross', of: SOCKET }, isFalsy, [
    'blockList',
    'The list is checked where the connection is taken, and cannot be copied.',
  ]),
  ...noEffect(HTTP, 'https.createServer'),
  ...noEffect(HTTP2, 'http2.createSecureServer'),
]);
