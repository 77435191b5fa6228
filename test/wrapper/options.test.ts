// The classification is complete: names from Node's documentation, its types and its own code, and docs/options.md.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import tls from 'node:tls';
import { PACKAGE_ROOT } from '#helpers/run-node.js';
import { OPTION_RULES } from '#src/wrapper/options.js';
import { resolveRequest } from '#src/wrapper/resolve-request.js';
import { keySamples } from './key-samples.js';
import { namesAsked, propertiesOf } from './option-names.js';

/** Names in the documentation of Node 20 to 26. */
const DOCUMENTED: Readonly<Record<string, string>> = {
  'tls.connect': `ALPNProtocols allowHalfOpen checkServerIdentity enableTrace highWaterMark host minDHSize onread path
    port pskCallback rejectUnauthorized requestOCSP secureContext servername session socket timeout lookup`,
  'tls.createSecureContext': `allowPartialTrustChain ca cert certificateCompression ciphers clientCertEngine crl dhparam
    ecdhCurve honorCipherOrder key maxVersion minVersion passphrase pfx privateKeyEngine privateKeyIdentifier
    secureOptions secureProtocol sessionIdContext sessionTimeout sigalgs ticketKeys`,
  'net.connect, new net.Socket, socket.connect': `allowHalfOpen autoSelectFamily autoSelectFamilyAttemptTimeout
    blockList family fd handle hints host keepAlive keepAliveInitialDelay localAddress localPort lookup noDelay onread
    path port readable signal timeout typeOfService writable`,
  'https.request': `agent auth createConnection defaultPort family headers hints host hostname httpValidation
    insecureHTTPParser joinDuplicateHeaders localAddress localPort lookup maxHeaderSize method path port protocol
    setDefaultHeaders setHost signal socketPath timeout uniqueHeaders`,
  'https.Agent': `agentKeepAliveTimeoutBuffer defaultPort keepAlive keepAliveMsecs maxCachedSessions maxFreeSockets
    maxSockets maxTotalSockets protocol proxyEnv scheduling servername timeout`,
  'http2.connect': `createConnection maxDeflateDynamicTableSize maxHeaderListPairs maxOriginSetSize maxOutstandingPings
    maxReservedRemoteStreams maxSendHeaderBlockLength maxSessionMemory maxSettings paddingStrategy
    peerMaxConcurrentStreams protocol remoteCustomSettings settings strictFieldWhitespaceValidation
    strictSingleValueFields unknownProtocolTimeout`,
};

function assertClassified(names: Iterable<string>, where: string): void {
  assert.deepEqual(
    [...names].filter((name) => !OPTION_RULES.has(name)),
    [],
    `options of ${where} without a class`,
  );
}

describe('P2: every option has a class', () => {
  for (const [where, names] of Object.entries(DOCUMENTED)) {
    test(`that the documentation of ${where} names`, () => assertClassified(names.split(/\s+/), where));
  }

  for (const [file, name] of [
    ['tls.d.ts', 'SecureContextOptions'],
    ['tls.d.ts', 'CommonConnectionOptions'],
    ['tls.d.ts', 'ConnectionOptions'],
    ['net.d.ts', 'SocketConstructorOpts'],
    ['net.d.ts', 'TcpSocketConnectOpts'],
    ['net.d.ts', 'IpcSocketConnectOpts'],
    ['net.d.ts', 'TcpNetConnectOpts'],
    ['http.d.ts', 'ClientRequestArgs'],
    ['http.d.ts', 'AgentOptions'],
    ['https.d.ts', 'RequestOptions'],
    ['https.d.ts', 'AgentOptions'],
    ['http2.d.ts', 'SessionOptions'],
    ['http2.d.ts', 'ClientSessionOptions'],
  ] as const) {
    test(`that the types know: ${name} in ${file}`, () => {
      const names = propertiesOf(file, name);
      assert.notEqual(names.length, 0);
      assertClassified(names, name);
    });
  }

  test('that this Node asks for in tls.createSecureContext, as one of a context', () => {
    const asked = namesAsked((options) => tls.createSecureContext(options));
    assert.ok(asked.has('ca') && asked.has('minVersion'));
    // Internal: set by tls.connect itself.
    asked.delete('singleUse');
    const unclassified = [...asked].filter((name) => OPTION_RULES.get(name)?.context !== true);
    assert.deepEqual(unclassified, []);
  });

  test('that this Node asks for in socket.connect, to a port and to a path', () => {
    for (const address of [{ port: 1, host: 'localhost' }, { path: '/nowhere' }]) {
      const asked = namesAsked((options) => {
        Object.assign(options, address, { lookup: () => undefined });
        new net.Socket().on('error', () => undefined).connect(options as net.SocketConnectOpts);
      });
      assert.ok(asked.has('path'));
      assertClassified(asked, 'socket.connect');
    }
  });

  test('that the code of this Node names in tls.connect', () => {
    const code = Function.prototype.toString.call(tls.connect);
    const names = new Set([...code.matchAll(/\boptions\.(\w+)/g)].map((match) => match[1] ?? ''));
    assert.ok(names.has('servername'));
    // Internal: set by tls.connect itself.
    names.delete('singleUse');
    assertClassified(names, 'tls.connect');
  });

  test('and the samples that the other tests walk have every option of the key', () => {
    const key = [...OPTION_RULES].filter(([, rule]) => rule.class === 'key').map(([name]) => name);
    assert.deepEqual(Object.keys(keySamples).sort(), key.sort());
  });
});

describe('P2: a request with an option that cannot cross is not shared', () => {
  test('an option without a class never shares, whatever its value', () => {
    for (const value of [1, null, false, '', () => undefined]) {
      const request = resolveRequest({
        host: 'a.example',
        port: 443,
        unheardOf: value,
      } as tls.ConnectionOptions);
      assert.deepEqual(request, { shared: false, reason: 'option "unheardOf" is not known to tlshub' });
    }
  });

  for (const [name, rule] of OPTION_RULES) {
    if (rule.class !== 'cannot cross') continue;
    test(`${name}: the reason names it; absent, it does not matter`, () => {
      const options = { host: 'a.example', port: 443 };
      const request = resolveRequest({ ...options, [name]: 'x' });
      assert.deepEqual(request, { shared: false, reason: `option "${name}" cannot cross: ${rule.note}` });
      assert.equal(resolveRequest({ ...options, [name]: undefined }).shared, true);
    });
  }

  for (const name of [
    'socket',
    'pskCallback',
    'lookup',
    'enableTrace',
    'clientCertEngine',
    'privateKeyEngine',
  ]) {
    test(`${name}: null counts as absent, as in node:tls`, () => {
      const request = resolveRequest({ host: 'a.example', port: 443, [name]: null });
      assert.equal(request.shared, true);
    });
  }
});

describe('options that do not concern the session', () => {
  test('make no difference to its key', () => {
    const plain = resolveRequest({ host: 'a.example', port: 443 });
    assert.ok(plain.shared);
    for (const [name, rule] of OPTION_RULES) {
      if (rule.class !== 'local') continue;
      const values: Record<string, unknown> = {
        highWaterMark: 1024,
        keepAliveInitialDelay: 1000,
        session: Buffer.from('tlshub-ticket:0123'),
        signal: AbortSignal.abort(),
        socketPath: '',
        timeout: 1000,
      };
      const request = resolveRequest({ host: 'a.example', port: 443, [name]: values[name] ?? true });
      assert.ok(request.shared, `${name}: ${request.shared ? '' : request.reason}`);
      assert.deepEqual(request.key, plain.key, name);
    }
  });

  test('but a session that no shared socket gave out, and a socketPath beside another path, are left to node:tls', () => {
    for (const wrong of [
      { session: Buffer.from('a ticket') },
      { session: 'tlshub-ticket:0123' },
      { socketPath: '/run/a.sock' },
      { socketPath: '/run/a.sock', path: '/run/b.sock' },
    ]) {
      assert.equal(resolveRequest({ host: 'a.example', port: 443, ...wrong } as object).shared, false);
    }
    const agents = { host: 'a.example', port: 443, socketPath: '/run/a.sock', path: '/run/a.sock' };
    assert.equal(resolveRequest(agents).shared, true);
  });
});

describe('docs/options.md', () => {
  const document = readFileSync(join(PACKAGE_ROOT, 'docs/options.md'), 'utf8');
  const start = document.indexOf('\n## Table\n');
  const text = document.slice(start, document.indexOf('\n## ', start + 1));
  const documented = new Map(
    [...text.matchAll(/^\| `(\w+)` \| (.+?) \| (.+?) \| (.*?) \|$/gm)].map(([, name, ...rest]) => [
      name ?? '',
      rest,
    ]),
  );

  test('has a row for every option of the table, with its class and what becomes of it', () => {
    for (const [name, rule] of OPTION_RULES) {
      assert.deepEqual(documented.get(name), [`\`${rule.of}\``, rule.class, rule.note], name);
    }
  });

  test('has no other rows', () => {
    const unknown = [...documented.keys()].filter((name) => !OPTION_RULES.has(name));
    assert.deepEqual(unknown, []);
    assert.equal(text.match(/^\| `/gm)?.length, OPTION_RULES.size);
  });
});
