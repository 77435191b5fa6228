// The classification of a server's options is complete: names from Node's documentation, its types and its own code,
// and docs/options.md.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import tls from 'node:tls';
import { PACKAGE_ROOT } from '#helpers/run-node.js';
import { resolveServer } from '#src/wrapper/server/resolve-server.js';
import { SERVER_CONTEXT_RULES, SERVER_OPTION_RULES } from '#src/wrapper/server/server-options.js';
import { namesAsked, propertiesOf } from '../option-names.js';
import { serverSamples } from './server-samples.js';

/** Names in the documentation of Node 20 to 26. */
const DOCUMENTED: Readonly<Record<string, string>> = {
  'tls.createServer': `ALPNCallback ALPNProtocols SNICallback clientCertEngine enableTrace handshakeTimeout pskCallback
    pskIdentityHint rejectUnauthorized requestCert sessionTimeout ticketKeys`,
  'tls.createSecureContext': `allowPartialTrustChain ca cert certificateCompression ciphers clientCertEngine crl dhparam
    ecdhCurve honorCipherOrder key maxVersion minVersion passphrase pfx privateKeyEngine privateKeyIdentifier
    secureOptions secureProtocol sessionIdContext sessionTimeout sigalgs ticketKeys`,
  'net.createServer': `allowHalfOpen blockList highWaterMark keepAlive keepAliveInitialDelay noDelay pauseOnConnect`,
  'http.createServer': `IncomingMessage ServerResponse connectionsCheckingInterval headersTimeout highWaterMark
    httpValidation insecureHTTPParser joinDuplicateHeaders keepAlive keepAliveInitialDelay keepAliveTimeout
    keepAliveTimeoutBuffer maxHeaderSize noDelay optimizeEmptyRequests rejectNonStandardBodyWrites requestTimeout
    requireHostHeader shouldUpgradeCallback uniqueHeaders`,
  'http2.createSecureServer': `allowHTTP1 http1Options maxDeflateDynamicTableSize maxHeaderListPairs
    maxOutstandingPings maxSendHeaderBlockLength maxSessionInvalidFrames maxSessionMemory maxSessionRejectedStreams
    maxSettings origins paddingStrategy peerMaxConcurrentStreams remoteCustomSettings settings streamResetBurst
    streamResetRate strictFieldWhitespaceValidation strictSingleValueFields unknownProtocolTimeout`,
};

function assertClassified(names: Iterable<string>, where: string): void {
  assert.deepEqual(
    [...names].filter((name) => !SERVER_OPTION_RULES.has(name)),
    [],
    `options of ${where} without a class`,
  );
}

describe('P2: every option of a server has a class', () => {
  for (const [where, names] of Object.entries(DOCUMENTED)) {
    test(`that the documentation of ${where} names`, () => assertClassified(names.split(/\s+/), where));
  }

  for (const [file, name] of [
    ['tls.d.ts', 'SecureContextOptions'],
    ['tls.d.ts', 'CommonConnectionOptions'],
    ['tls.d.ts', 'TlsOptions'],
    ['net.d.ts', 'ServerOpts'],
    ['http.d.ts', 'ServerOptions'],
    ['http2.d.ts', 'SessionOptions'],
    ['http2.d.ts', 'ServerSessionOptions'],
    ['http2.d.ts', 'SecureServerOptions'],
  ] as const) {
    test(`that the types know: ${name} in ${file}`, () => {
      const names = propertiesOf(file, name);
      assert.notEqual(names.length, 0);
      assertClassified(names, name);
    });
  }

  for (const [where, create, expected] of [
    ['tls.createServer', (options: object) => tls.createServer(options), 'handshakeTimeout'],
    ['https.createServer', (options: object) => https.createServer(options), 'requestTimeout'],
  ] as const) {
    test(`that this Node asks for in ${where}`, () => {
      const asked = namesAsked((options) => void create(options));
      assert.ok(asked.has(expected));
      assertClassified(asked, where);
    });
  }

  test('that this Node asks for in createSecureContext, for addContext', () => {
    const asked = namesAsked((options) => tls.createSecureContext(options));
    asked.delete('singleUse');
    assert.deepEqual(
      [...asked].filter((name) => !SERVER_CONTEXT_RULES.has(name)),
      [],
    );
  });

  test('and the samples that the other tests walk have every option of the key', () => {
    const key = [...SERVER_OPTION_RULES].filter(([, rule]) => rule.class === 'key').map(([name]) => name);
    assert.deepEqual(Object.keys(serverSamples).sort(), key.sort());
  });
});

describe('P2: a server with an option that cannot cross is not shared', () => {
  test('an option without a class never shares, whatever its value', () => {
    for (const unheardOf of [1, null, false, '', () => undefined]) {
      assert.deepEqual(resolveServer({ unheardOf }), {
        shared: false,
        reason: 'option "unheardOf" is not known to tlshub',
      });
    }
  });

  for (const [name, rule] of SERVER_OPTION_RULES) {
    if (rule.class !== 'cannot cross') continue;
    test(`${name}: the reason names it; absent, it does not matter`, () => {
      assert.deepEqual(resolveServer({ [name]: 'x' }), {
        shared: false,
        reason: `option "${name}" cannot cross: ${rule.note}`,
      });
      assert.equal(resolveServer({ [name]: undefined }).shared, true);
      assert.equal(resolveServer({ [name]: null }).shared, true);
    });
  }
});

describe('docs/options.md, section of servers', () => {
  const document = readFileSync(join(PACKAGE_ROOT, 'docs/options.md'), 'utf8');
  const start = document.indexOf('\n## Options of a server\n');
  assert.notEqual(start, -1);
  const text = document.slice(start);
  const documented = new Map(
    [...text.matchAll(/^\| `(\w+)` \| (.+?) \| (.+?) \| (.*?) \|$/gm)].map(([, name, ...rest]) => [
      name ?? '',
      rest,
    ]),
  );

  test('has a row for every option of the table, with its class and what becomes of it', () => {
    for (const [name, rule] of SERVER_OPTION_RULES) {
      assert.deepEqual(documented.get(name), [`\`${rule.of}\``, rule.class, rule.note], name);
    }
  });

  test('has no other rows', () => {
    const unknown = [...documented.keys()].filter((name) => !SERVER_OPTION_RULES.has(name));
    assert.deepEqual(unknown, []);
    assert.equal(text.match(/^\| `/gm)?.length, SERVER_OPTION_RULES.size);
  });
});
