// Every way in which a TLS connection fails or ends, as data: a fresh origin that makes it happen and the options of
// the client that meets it. return-codes.test.ts runs each twice and compares; others may run them too.
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { countingOrigin, type OriginOptions, type Step } from '#helpers/counting-origin.js';
import { unusedPort } from '#helpers/listen.js';
import { startProxy, type TcpProxy } from '#helpers/proxy.js';
import { hangingPort, type RawOriginOptions, rawOrigin } from '#helpers/raw-origin.js';
import type { Scope } from '#helpers/scope.js';
import { TWO_ADDRESSES } from '#helpers/two-addresses.js';
import { waitFor } from '#helpers/wait-for.js';
import type { TestPki } from './test-pki.ts';
import type { Recorder } from './trace.ts';

/** An origin of a scenario that is ready, and how to meet it. */
export interface Stage {
  options: ConnectionOptions;
  /** What the client does besides reading; by default nothing, it ends when the peer does. */
  play?: (socket: TLSSocket, recorder: Recorder) => void;
}

/** One row of the table. */
export interface Scenario {
  title: string;
  /** Starts a fresh origin; everything is gone after the test. */
  prepare(scope: Scope, pki: TestPki): Promise<Stage> | Stage;
}

type MadeOptions = ConnectionOptions | ((pki: TestPki) => ConnectionOptions);
type MadeOrigin = (pki: TestPki) => OriginOptions;

/** A row whose origin is a TLS server. */
function tlsScenario(
  title: string,
  origin: MadeOrigin,
  options: MadeOptions = {},
  play?: Stage['play'],
): Scenario {
  return {
    title,
    prepare: async (scope, pki) => {
      const { port } = await countingOrigin(scope, origin(pki));
      const own = typeof options === 'function' ? options(pki) : options;
      return { options: { host: '127.0.0.1', port, ca: pki.ca.cert, ...own }, play };
    },
  };
}

/** A row whose origin is no TLS server. */
function rawScenario(title: string, origin: RawOriginOptions, options: ConnectionOptions = {}): Scenario {
  return {
    title,
    prepare: async (scope, pki) => {
      const { port } = await rawOrigin(scope, origin);
      return { options: { host: '127.0.0.1', port, ca: pki.ca.cert, ...options } };
    },
  };
}

/** A row without any origin. */
function portScenario(
  title: string,
  options: (port: number) => ConnectionOptions,
  play?: Stage['play'],
): Scenario {
  return { title, prepare: async () => ({ options: options(await unusedPort()), play }) };
}

/** The origin greets, so that the client need not write, and does the steps. */
function script(...steps: Step[]): OriginOptions['behaviour'] {
  return { kind: 'script', steps };
}

function both(row: (version: 'TLSv1.2' | 'TLSv1.3') => Scenario): Scenario[] {
  return [row('TLSv1.2'), row('TLSv1.3')];
}

/** Ends the connection as soon as it is there. */
function endWhenSecure(socket: TLSSocket): void {
  socket.on('secureConnect', () => socket.end());
}

function fatalAlert(description: number): Buffer {
  return Buffer.from([21, 3, 3, 0, 2, 2, description]);
}

/** A record that no peer can decrypt; whoever gets it answers with a fatal alert. */
const FORGED_RECORD = Buffer.concat([Buffer.from([23, 3, 3, 0, 40]), Buffer.alloc(40, 0x5a)]);

/** Failures before TLS begins. */
export const connectScenarios: Scenario[] = [
  portScenario('refused port', (port) => ({ host: '127.0.0.1', port })),
  portScenario('refused port of localhost', (port) => ({ host: 'localhost', port })),
  portScenario('refused port, options without a host', (port) => ({ port })),
  portScenario('refused port of a host with two addresses', (port) => ({ host: TWO_ADDRESSES, port })),
  portScenario('refused port of a host with two addresses, first only', (port) => ({
    host: TWO_ADDRESSES,
    port,
    autoSelectFamily: false,
  })),
  portScenario('refused port of an IPv6 address', (port) => ({ host: '::1', port })),
  portScenario('port 0', () => ({ host: '127.0.0.1', port: 0 })),
  portScenario('unknown host', (port) => ({ host: 'no-such-host.invalid', port })),
  portScenario('unknown host, no family selection', (port) => ({
    host: 'no-such-host.invalid',
    port,
    autoSelectFamily: false,
  })),
  portScenario('host name that cannot exist', (port) => ({ host: 'no such host', port })),
  portScenario('family without an address', (port) => ({ host: '127.0.0.1', family: 6, port })),
  portScenario('local address that is not ours', (port) => ({
    host: '127.0.0.1',
    port,
    localAddress: '192.0.2.1',
  })),
  portScenario('path of a Unix socket that does not exist', () => ({
    path: '/nonexistent/tlshub-test.sock',
  })),
  {
    title: 'connect timeout',
    prepare: async (scope) => ({
      options: { host: '127.0.0.1', port: await hangingPort(scope), timeout: 150 },
      play: (socket) => {
        socket.on('timeout', () => socket.destroy(new Error('too slow')));
      },
    }),
  },
  {
    title: 'connect timeout without an error of the application',
    prepare: async (scope) => ({
      options: { host: '127.0.0.1', port: await hangingPort(scope), timeout: 150 },
      play: (socket) => {
        socket.on('timeout', () => socket.destroy());
      },
    }),
  },
];

/** Failures of the handshake and of the certificate. */
export const handshakeScenarios: Scenario[] = [
  rawScenario('close on connect', { on: 'connect', finally: 'end' }),
  rawScenario('close before the handshake', { on: 'data', finally: 'end' }),
  rawScenario('RST in the handshake', { on: 'data', finally: 'reset' }),
  rawScenario('alert handshake_failure in the handshake', {
    on: 'data',
    send: fatalAlert(40),
    finally: 'end',
  }),
  rawScenario('alert internal_error in the handshake', { on: 'data', send: fatalAlert(80), finally: 'end' }),
  rawScenario('alert unrecognized_name in the handshake', {
    on: 'data',
    send: fatalAlert(112),
    finally: 'end',
  }),
  rawScenario('alert protocol_version in the handshake', {
    on: 'data',
    send: fatalAlert(70),
    finally: 'hold',
  }),
  rawScenario('plain-text server that answers', {
    on: 'data',
    send: 'HTTP/1.1 400 Bad Request\r\n\r\n',
    finally: 'end',
  }),
  rawScenario('plain-text server that speaks first', {
    on: 'connect',
    send: 'SSH-2.0-Test\r\n',
    finally: 'hold',
  }),
  rawScenario('half a record and FIN', {
    on: 'data',
    send: Buffer.from([22, 3, 3, 0, 80, 2, 0]),
    finally: 'end',
  }),
  {
    title: 'timeout in the handshake',
    prepare: async (scope) => {
      const { port } = await rawOrigin(scope, { on: 'data', finally: 'hold' });
      return {
        options: { host: '127.0.0.1', port, timeout: 150 },
        play: (socket) => {
          socket.on('timeout', () => socket.destroy(new Error('too slow')));
        },
      };
    },
  },
  tlsScenario('self-signed', (pki) => pki.selfSigned),
  tlsScenario(
    'self-signed, trusted',
    (pki) => pki.selfSigned,
    (pki) => ({ ca: pki.selfSigned.cert }),
    endWhenSecure,
  ),
  tlsScenario(
    'unknown CA',
    (pki) => pki.good,
    (pki) => ({ ca: pki.strangeCa.cert }),
  ),
  tlsScenario('unknown CA, default list', (pki) => pki.good, { ca: undefined }),
  tlsScenario(
    'unknown CA in the chain',
    (pki) => ({ ...pki.good, cert: pki.good.cert + pki.ca.cert }),
    (pki) => ({
      ca: pki.strangeCa.cert,
    }),
  ),
  tlsScenario('missing intermediate', (pki) => ({ ...pki.intermediate, cert: pki.intermediate.cert })),
  tlsScenario(
    'missing root',
    (pki) => ({ ...pki.intermediate, cert: pki.intermediate.chain }),
    (pki) => ({
      ca: pki.strangeCa.cert,
    }),
  ),
  tlsScenario('expired', (pki) => pki.expired),
  tlsScenario('not yet valid', (pki) => pki.notYetValid),
  tlsScenario('client certificate for a server', (pki) => pki.client),
  tlsScenario('wrong host name', (pki) => pki.wrongName),
  tlsScenario('wrong host name, name given', (pki) => pki.good, { servername: 'elsewhere.test' }),
  tlsScenario('wrong host name, host is a name', (pki) => pki.wrongName, { host: 'localhost' }),
  tlsScenario('expired and wrong host name', (pki) => pki.expired, { servername: 'elsewhere.test' }),
  tlsScenario(
    'protocol version too old for the client',
    (pki) => ({ ...pki.good, tls: { maxVersion: 'TLSv1.2' } }),
    { minVersion: 'TLSv1.3' },
  ),
  tlsScenario(
    'protocol version too new for the client',
    (pki) => ({ ...pki.good, tls: { minVersion: 'TLSv1.3' } }),
    { maxVersion: 'TLSv1.2' },
  ),
  tlsScenario(
    'no common cipher (TLSv1.2)',
    (pki) => ({ ...pki.good, tls: { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' } }),
    { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' },
  ),
  tlsScenario(
    'no common cipher (TLSv1.3)',
    (pki) => ({ ...pki.good, tls: { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_256_GCM_SHA384' } }),
    { ciphers: 'TLS_AES_128_GCM_SHA256', minVersion: 'TLSv1.3' },
  ),
  ...both((version) =>
    tlsScenario(
      `no common curve (${version})`,
      (pki) => ({ ...pki.good, tls: { maxVersion: version, ecdhCurve: 'P-384' } }),
      { ecdhCurve: 'P-521' },
    ),
  ),
  ...both((version) =>
    tlsScenario(
      `no common signature algorithm (${version})`,
      (pki) => ({ ...pki.good, tls: { maxVersion: version } }),
      { sigalgs: 'rsa_pss_rsae_sha256' },
    ),
  ),
  ...both((version) =>
    tlsScenario(
      `no common ALPN (${version})`,
      (pki) => ({ ...pki.good, tls: { maxVersion: version, ALPNProtocols: ['one'] } }),
      { ALPNProtocols: ['two', 'three'] },
    ),
  ),
  ...both((version) =>
    tlsScenario(`client certificate required and missing (${version})`, (pki) => ({
      ...pki.good,
      behaviour: script({ text: 'hello' }),
      tls: { maxVersion: version, requestCert: true, rejectUnauthorized: true, ca: pki.ca.cert },
    })),
  ),
  ...both((version) =>
    tlsScenario(
      `client certificate required and given (${version})`,
      (pki) => ({
        ...pki.good,
        behaviour: script({ text: 'hello' }, { close: 'close_notify' }),
        tls: { maxVersion: version, requestCert: true, rejectUnauthorized: true, ca: pki.ca.cert },
      }),
      (pki) => ({ cert: pki.client.cert, key: pki.client.key }),
    ),
  ),
  tlsScenario('own check refuses', (pki) => pki.good, {
    checkServerIdentity: () =>
      Object.assign(new Error('not the one I know'), { code: 'ERR_OWN', pin: 'abc' }),
  }),
  tlsScenario(
    'own check accepts what node:tls would refuse',
    (pki) => pki.wrongName,
    { checkServerIdentity: () => undefined },
    endWhenSecure,
  ),
  tlsScenario('own check is not asked about an expired certificate', (pki) => pki.expired, {
    checkServerIdentity: () => new Error('must not be asked'),
  }),
];

/** What the peer does after the handshake. */
export const streamScenarios: Scenario[] = [
  ...both((version) =>
    tlsScenario(`clean close_notify (${version})`, (pki) => ({
      ...pki.good,
      tls: { maxVersion: version },
      behaviour: script({ text: 'hello' }, { close: 'close_notify' }),
    })),
  ),
  ...both((version) =>
    tlsScenario(`FIN without close_notify (${version})`, (pki) => ({
      ...pki.good,
      tls: { maxVersion: version },
      behaviour: script({ text: 'hello' }, { close: 'fin' }),
    })),
  ),
  ...both((version) =>
    tlsScenario(
      `RST mid-stream (${version})`,
      (pki) => ({
        ...pki.good,
        tls: { maxVersion: version },
        behaviour: script({ text: 'hello' }, { receiveLine: true }, { close: 'reset' }),
      }),
      {},
      (socket) => {
        // The data must have been read: a reset may overtake bytes on their way.
        socket.once('data', () => socket.write('now\n'));
      },
    ),
  ),
  ...both((version) => alertScenario(version, 'the peer closes')),
  ...both((version) => alertScenario(version, 'we destroy')),
  tlsScenario('large answer, then close_notify', (pki) => ({
    ...pki.good,
    behaviour: script({ send: 300_000 }, { close: 'close_notify' }),
  })),
  tlsScenario('large answer, then FIN without close_notify', (pki) => ({
    ...pki.good,
    behaviour: script({ send: 300_000 }, { close: 'fin' }),
  })),
];

/** The peer sends a fatal alert between two records: it was given one that it cannot decrypt. */
function alertScenario(version: 'TLSv1.2' | 'TLSv1.3', ending: 'the peer closes' | 'we destroy'): Scenario {
  return {
    title: `alert mid-stream, ${ending} (${version})`,
    prepare: async (scope, pki) => {
      const origin = await countingOrigin(scope, {
        ...pki.good,
        tls: { maxVersion: version },
        behaviour: script({ text: 'hello' }),
      });
      const proxy = await startProxy(scope, { targetPort: origin.port });
      return {
        options: { host: '127.0.0.1', port: proxy.port, ca: pki.ca.cert },
        play: (socket) => {
          socket.once('data', () => void injectForged(proxy));
          if (ending === 'we destroy') socket.on('error', () => socket.destroy());
        },
      };
    },
  };
}

async function injectForged(proxy: TcpProxy): Promise<void> {
  const connection = await waitFor(() => proxy.connections.at(-1), { what: 'a connection' });
  connection.injectToOrigin(FORGED_RECORD);
}

/** A certificate's faults, met with `rejectUnauthorized: false`: the connection stands and says what is wrong. */
export const toleratedScenarios: Scenario[] = (
  [
    ['self-signed', (pki) => pki.selfSigned, {}],
    ['unknown CA', (pki) => pki.good, (pki) => ({ ca: pki.strangeCa.cert })],
    ['expired', (pki) => pki.expired, {}],
    ['not yet valid', (pki) => pki.notYetValid, {}],
    ['wrong host name', (pki) => pki.wrongName, {}],
    ['own check refuses', (pki) => pki.good, { checkServerIdentity: () => new Error('not the one I know') }],
    ['nothing wrong', (pki) => pki.good, {}],
  ] satisfies [string, MadeOrigin, MadeOptions][]
).map(([title, origin, options]) =>
  tlsScenario(
    `${title}, tolerated`,
    (pki) => ({ ...origin(pki), behaviour: script({ text: 'hello' }, { close: 'close_notify' }) }),
    (pki) => ({ ...(typeof options === 'function' ? options(pki) : options), rejectUnauthorized: false }),
  ),
);
