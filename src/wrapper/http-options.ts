// Options that reach tls.connect only because https.Agent, http2.connect and HTTP libraries hand on everything they
// were given. node:tls reads none of them, so they do not concern the session. Part of the table in options.ts.

const REQUEST = [
  ...[
    '_defaultAgent',
    'agent',
    'auth',
    'createConnection',
    'defaultPort',
    'headers',
    'hostname',
    'httpValidation',
  ],
  ...[
    'insecureHTTPParser',
    'joinDuplicateHeaders',
    'maxHeaderSize',
    'method',
    'protocol',
    'setDefaultHeaders',
  ],
  ...['setHost', 'uniqueHeaders'],
  // Parts of a URL object (url.urlToHttpOptions, url.parse).
  ...[
    'hash',
    'href',
    'origin',
    'password',
    'pathname',
    'query',
    'search',
    'searchParams',
    'slashes',
    'username',
  ],
] as const;

const AGENT = [
  ...['_agentKey', 'agentKeepAliveTimeoutBuffer', 'encoding', 'keepAliveMsecs', 'maxCachedSessions'],
  ...['maxFreeSockets', 'maxSockets', 'maxTotalSockets', 'proxyEnv', 'scheduling'],
] as const;

const HTTP2 = [
  ...[
    'Http1IncomingMessage',
    'Http1ServerResponse',
    'Http2ServerRequest',
    'Http2ServerResponse',
    'allowHTTP1',
  ],
  ...[
    'http1Options',
    'maxDeflateDynamicTableSize',
    'maxHeaderListPairs',
    'maxOriginSetSize',
    'maxOutstandingPings',
  ],
  ...['maxReservedRemoteStreams', 'maxSendHeaderBlockLength', 'maxSessionInvalidFrames', 'maxSessionMemory'],
  ...['maxSessionRejectedStreams', 'maxSettings', 'paddingStrategy', 'peerMaxConcurrentStreams'],
  ...['remoteCustomSettings', 'settings', 'strictFieldWhitespaceValidation', 'strictSingleValueFields'],
  'unknownProtocolTimeout',
] as const;

/** axios and follow-redirects, got, agent-base and agentkeepalive, ws. */
const LIBRARIES = [
  ...['agents', 'beforeRedirect', 'beforeRedirects', 'followRedirects', 'maxBodyLength', 'maxRedirects'],
  ...['nativeProtocols', 'sensitiveHeaders', 'trackRedirects'],
  ...[
    'allowGetBody',
    'body',
    'cache',
    'cacheOptions',
    'context',
    'cookieJar',
    'copyPipedHeaders',
    'decompress',
  ],
  ...[
    'dnsCache',
    'dnsLookup',
    'dnsLookupIpVersion',
    'enableUnixSockets',
    'followRedirect',
    'form',
    'h2session',
  ],
  ...['hooks', 'http2', 'https', 'ignoreInvalidCookies', 'isStream', 'json', 'methodRewriting', 'pagination'],
  ...['parseJson', 'prefixUrl', 'preserveHooks', 'request', 'resolveBodyOnly', 'responseType', 'retry'],
  ...['strictContentLength', 'stringifyJson', 'throwHttpErrors', 'url'],
  ...['freeSocketTimeout', 'secureEndpoint', 'socketActiveTTL'],
  ...[
    'allowSynchronousEvents',
    'autoPong',
    'closeTimeout',
    'finishRequest',
    'generateMask',
    'handshakeTimeout',
  ],
  ...['maxBufferedChunks', 'maxFragments', 'maxPayload', 'perMessageDeflate', 'protocolVersion'],
  'skipUTF8Validation',
] as const;

const NO_EFFECT = 'No effect on TLS.';

const of = (names: readonly string[], where: string): [string, string, string][] =>
  names.map((name) => [name, where, NO_EFFECT]);

/** Name, where it comes from, and what is done with it. */
export const httpOptions: readonly (readonly [name: string, of: string, note: string])[] = [
  ...of(REQUEST, 'https.request'),
  ['socketPath', 'https.request', 'No effect on TLS; only together with the same `path`, as agents give it.'],
  ...of(AGENT, 'https.Agent'),
  ...of(HTTP2, 'http2.connect'),
  ...of(LIBRARIES, 'HTTP libraries'),
];
