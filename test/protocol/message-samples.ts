// One valid message of each name, written out: the tests of the schemas and of the wire start from these.
import { listenFields, secureContext, sessionKey } from '../fuzz/wire-client.ts';

const PROCESS = '0123456789abcdef0123456789abcdef';
const SHA256 = 'ab'.repeat(32);

/** Calls that open a lane, or a trunk. */
export const LANE_CALL_SAMPLES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  lease: {
    call: 'lease',
    protocol: 1,
    process: PROCESS,
    lane: 1,
    pid: 4711,
    key: sessionKey(443, ''),
    wait: 30_000,
    socket: { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1_000 },
    named: { name: 'billing', mode: 'turn', commit: 'auto', messages: { delimiter: '\n' }, linger: 60_000 },
  },
  attach: {
    call: 'attach',
    protocol: 1,
    process: PROCESS,
    lane: 2,
    pid: 4711,
    handle: `tlshub1.${'0'.repeat(16)}.${'1'.repeat(32)}`,
    wait: 0,
    socket: {},
    commit: 'manual',
  },
  trunk: { call: 'trunk', protocol: 1, process: PROCESS },
};

/** Calls on a link. */
export const LINK_CALL_SAMPLES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  hello: { call: 'hello', id: 1, protocol: 1, process: PROCESS, pid: 4711, version: '0.1.0' },
  release: { call: 'release', id: 2, lane: 1, sent: 10, received: 20 },
  detach: { call: 'detach', id: 3, lane: 1, sent: 10, received: 20 },
  detached: { call: 'detached', id: 4, lane: 1, unread: 5 },
  commit: { call: 'commit', id: 15, lane: 1, offset: 5 },
  setState: { call: 'setState', id: 16, lane: 1, state: 'Zm9v' },
  setName: { call: 'setName', id: 17, lane: 1, name: 'billing', linger: 60_000 },
  park: {
    call: 'park',
    id: 18,
    handle: 'no-such-name',
    lane: 999,
    sent: 0,
    received: 0,
    run: ['/nowhere/at/all', 'argument'],
    cwd: '/nowhere',
    stdio: true,
    timeout: 1_000,
    state: 'Zm9v',
  },
  refuse: { call: 'refuse', id: 5, lane: 1 },
  put: { call: 'put', id: 6, sha256: SHA256, offset: 0, data: 'Zm9v', last: true },
  set: {
    call: 'set',
    id: 7,
    lane: 1,
    noDelay: true,
    keepAlive: false,
    keepAliveInitialDelay: 0,
    maxSendFragment: 512,
    disableRenegotiation: true,
  },
  renegotiate: { call: 'renegotiate', id: 8, lane: 1, rejectUnauthorized: true, requestCert: false },
  export: { call: 'export', id: 9, process: PROCESS, lane: 1, length: 32, label: 'label', context: 'Zm9v' },
  listen: {
    call: 'listen',
    id: 19,
    ...listenFields({
      // A list that no daemon has, so that a changed message never opens a port.
      server: { ca: SHA256 },
      address: { host: '127.0.0.1' },
      contexts: [{ servername: '*.example', context: { ...secureContext(''), ca: SHA256 } }],
      ticketKeys: 'Zm9v',
      socket: { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1_000 },
    }),
  },
  unlisten: { call: 'unlisten', id: 20, listener: 1, linger: true },
  setAdopts: { call: 'setAdopts', id: 21, listener: 1, adopts: true },
  setContext: { call: 'setContext', id: 22, listener: 1, context: secureContext('') },
  addContext: {
    call: 'addContext',
    id: 23,
    listener: 1,
    servername: 'localhost',
    context: secureContext(''),
  },
  setTicketKeys: { call: 'setTicketKeys', id: 24, listener: 1, keys: 'Zm9v' },
  endpoint: {
    call: 'endpoint',
    id: 27,
    endpoint: 1,
    listen: { host: null, port: null, path: '/nowhere/at/all' },
    kind: 'raw',
    key: sessionKey(443, ''),
    keepHost: false,
    unsafeListen: false,
  },
  closeEndpoint: { call: 'closeEndpoint', id: 28, endpoint: 1, deadline: 1_000 },
  decline: { call: 'decline', id: 25, handle: `tlshub1.${'0'.repeat(16)}.${'1'.repeat(32)}` },
  handOff: { call: 'handOff', id: 26, lane: 1, sent: 10, received: 20 },
  sessions: { call: 'sessions', id: 10 },
  inspect: { call: 'inspect', id: 11, session: 's1' },
  close: { call: 'close', id: 12, session: 's1' },
  status: { call: 'status', id: 13 },
  reload: { call: 'reload', id: 19 },
  drain: { call: 'drain', id: 14, deadline: 1_000 },
  supervise: { call: 'supervise', id: 30, shards: 3, version: '0.1.0' },
  claimName: { call: 'claimName', id: 31, name: 'billing', shard: 2 },
  disclaimName: { call: 'disclaimName', id: 32, name: 'billing' },
};

/** Events. */
export const EVENT_SAMPLES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'lane-end': {
    event: 'lane-end',
    lane: 1,
    rc: -1,
    bytes: 12,
    error: { code: 'ECONNRESET', message: 'read ECONNRESET' },
  },
  ticket: { event: 'ticket', lane: 1, ticket: 'Zm9v' },
  offer: {
    event: 'offer',
    listener: 1,
    handle: `tlshub1.${'0'.repeat(16)}.${'1'.repeat(32)}`,
    adopted: false,
  },
  question: {
    event: 'question',
    listener: 1,
    question: 1,
    kind: 'alpn',
    servername: 'localhost',
    protocols: ['h2', 'http/1.1'],
    certificate: 'Zm9v',
    issuer: 'Zm9v',
  },
  answer: {
    event: 'answer',
    question: 1,
    context: secureContext(''),
    protocol: 'h2',
    response: 'Zm9v',
    error: { message: 'why' },
  },
  'client-error': {
    event: 'client-error',
    listener: 1,
    error: { code: 'ERR_SSL_HTTP_REQUEST', message: 'http request' },
    remoteAddress: '127.0.0.1',
    remotePort: 443,
    remoteFamily: 'IPv4',
  },
  'endpoint-end': { event: 'endpoint-end', endpoint: 1, error: { code: 'EIO', message: 'why' } },
  'listener-end': { event: 'listener-end', listener: 1, error: { code: 'EIO', message: 'why' } },
  drain: { event: 'drain', deadline: 1_000 },
};

/** Events of the daemon on a lane before its reply. */
export const LANE_EVENT_SAMPLES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  open: { event: 'open', name: 'connectionAttempt', args: ['127.0.0.1', 443, 4] },
};
