// What the daemon is told of a server: walks the options that workers must have in common, and compares with what
// Node's own servers make of the same options.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import https from 'node:https';
import { describe, type TestContext, test } from 'node:test';
import tls from 'node:tls';
import * as v from 'valibot';
import { blobHash } from '#src/protocol/ca-blob.js';
import { type ServerKey, serverKeySchema } from '#src/protocol/server-key.js';
import { contextFields } from '#src/protocol/session-key.js';
import { describeContext, isUnshareable } from '#src/wrapper/context-key.js';
import { createSecureContext } from '#src/wrapper/secure-context.js';
import {
  type CrossingContext,
  describeContextOption,
  describeServerContext,
  resolveServer,
  type ServerSettings,
  type SharedServer,
} from '#src/wrapper/server/resolve-server.js';
import { clientA, clientB } from '../context-fixtures.js';
import { ODD_VALUES } from '../odd-values.js';
import { serverOptionsFor, serverSamples } from './server-samples.js';

type Options = Record<string, unknown>;

function shared(options: object, settings?: ServerSettings): SharedServer {
  const server = resolveServer(options, settings);
  assert.ok(server.shared, server.shared ? '' : server.reason);
  return server;
}

function reasonOf(options: object, settings?: ServerSettings): string {
  const server = resolveServer(options, settings);
  assert.ok(!server.shared, 'is shared');
  return server.reason;
}

function crossing(described: CrossingContext | { reason: string }): CrossingContext {
  assert.ok(!isUnshareable(described), 'reason' in described ? described.reason : '');
  return described;
}

function contextOf(key: ServerKey): object {
  return Object.fromEntries(Object.keys(contextFields).map((name) => [name, key[name as keyof ServerKey]]));
}

/** The options that Node's server makes its context of, while something is done. */
function nodesContext(t: TestContext, use: () => unknown): Options {
  let given: Options = {};
  const create = t.mock.method(tls, 'createSecureContext', (options: Options) => {
    given = options;
    return { context: {} };
  });
  try {
    use();
  } finally {
    create.mock.restore();
  }
  return given;
}

/** A context that tls.createSecureContext would make of these options, as it crosses. */
function described(options: Options): object {
  const description = describeContext(options);
  assert.ok(!isUnshareable(description));
  return { ca: description.ca.sha256, ...description.key };
}

describe('P2: options that the workers of a group have in common', () => {
  for (const [option, { meanings }] of Object.entries(serverSamples)) {
    test(`${option}: equal contents give equal keys, different ones different keys`, () => {
      const canonical = meanings.map((given) => {
        const keys = given.map((value) => JSON.stringify(shared(serverOptionsFor(option, value)).key));
        const unlike = keys.findIndex((key) => key !== keys[0]);
        assert.equal(unlike, -1, `value ${unlike} means something else than the first of its group`);
        return keys[0];
      });
      assert.equal(new Set(canonical).size, meanings.length);
    });

    test(`${option}: its keys fit the schema of the wire`, () => {
      for (const value of meanings.flat()) {
        const sent = JSON.parse(JSON.stringify(shared(serverOptionsFor(option, value)).key));
        assert.deepEqual(v.parse(serverKeySchema, sent), sent);
      }
    });

    test(`P4: ${option}: Node's server makes its context of the same`, (t) => {
      for (const value of meanings.flat()) {
        const options = serverOptionsFor(option, value);
        const nodes = nodesContext(t, () => tls.createServer(options));
        const sessionIdContext = options.sessionIdContext || shared({}).key.sessionIdContext;
        assert.deepEqual(contextOf(shared(options).key), described({ ...nodes, sessionIdContext }));
      }
    });
  }

  test('the command line, of which node:tls makes a sessionIdContext, makes no difference', (t) => {
    const { key } = shared({});
    assert.ok(key.sessionIdContext);
    const nodes = nodesContext(t, () => tls.createServer());
    process.argv.push('--worker=2');
    t.after(() => process.argv.pop());
    assert.notEqual(nodesContext(t, () => tls.createServer()).sessionIdContext, nodes.sessionIdContext);
    assert.deepEqual(shared({}).key, key);
  });

  test('settings of the process fill in what is not given', (t) => {
    const { DEFAULT_MIN_VERSION: before } = tls;
    t.after(() => {
      tls.DEFAULT_MIN_VERSION = before;
    });
    tls.DEFAULT_MIN_VERSION = 'TLSv1.3';
    assert.equal(shared({}).key.minVersion, 'TLSv1.3');
  });

  test('the CA list travels beside the key', () => {
    const { key, caBlob } = shared({ ca: [clientA.ca, Buffer.from(clientB.ca)] });
    assert.equal(key.ca, blobHash(caBlob() ?? ''));
  });
});

describe('P4: a server is what Node makes of the same options', () => {
  const servers: Readonly<Record<string, Options>> = {
    'no options': {},
    'truth that is not true': { requestCert: 1, rejectUnauthorized: 0, allowHalfOpen: 1, pauseOnConnect: 1 },
    'all of it': {
      ...{ requestCert: true, rejectUnauthorized: false, allowHalfOpen: true, pauseOnConnect: true },
      ...{ noDelay: true, keepAlive: true, keepAliveInitialDelay: 7000 },
    },
    'a negative delay': { keepAlive: true, keepAliveInitialDelay: -5, noDelay: 0 },
    'a list of protocols': { ALPNProtocols: ['h2', 'x'] },
    'a list of protocols as bytes': { ALPNProtocols: new Uint8Array([1, 0x78]) },
  };

  for (const [title, options] of Object.entries(servers)) {
    test(title, () => {
      const nodes = tls.createServer(options) as unknown as Options;
      const { key, local, socket } = shared(options);
      assert.deepEqual(
        {
          ...{ requestCert: key.requestCert, rejectUnauthorized: key.rejectUnauthorized },
          ALPNProtocols: key.ALPNProtocols,
          ...{ allowHalfOpen: local.allowHalfOpen, pauseOnConnect: local.pauseOnConnect },
          ...{ noDelay: socket.noDelay ?? false, keepAlive: socket.keepAlive ?? false },
          keepAliveInitialDelay: (socket.keepAliveInitialDelay ?? 0) / 1000,
        },
        {
          ...{ requestCert: nodes.requestCert, rejectUnauthorized: nodes.rejectUnauthorized },
          ALPNProtocols: (nodes.ALPNProtocols as Buffer | undefined)?.toString('base64') ?? null,
          ...{ allowHalfOpen: Boolean(nodes.allowHalfOpen), pauseOnConnect: nodes.pauseOnConnect },
          ...{ noDelay: nodes.noDelay, keepAlive: nodes.keepAlive },
          keepAliveInitialDelay: nodes.keepAliveInitialDelay,
        },
      );
    });
  }

  test('functions stay here, and the daemon knows that there are some', () => {
    const SNICallback = () => undefined;
    const ALPNCallback = () => 'x';
    const server = shared({ SNICallback, ALPNCallback }, { ocsp: true });
    assert.deepEqual(server.functions, { SNICallback, ALPNCallback });
    assert.deepEqual(server.key.asks, { sni: true, alpn: true, ocsp: true });
    assert.deepEqual(shared({}).functions, { SNICallback: undefined, ALPNCallback: undefined });
    assert.deepEqual(shared({}).key.asks, { sni: false, alpn: false, ocsp: false });
  });

  test('options that node:https and node:http2 hand on, with all that they add, can be shared', (t) => {
    for (const create of [
      () => https.createServer({ cert: clientA.cert, key: clientA.key, requestTimeout: 0 }),
      () => http2.createSecureServer({ cert: clientA.cert, key: clientA.key, allowHTTP1: true }),
    ]) {
      let handedOn: object = {};
      const before = Object.getOwnPropertyDescriptor(tls.Server.prototype, 'setSecureContext');
      const spy = t.mock.method(tls.Server.prototype, 'setSecureContext', (options: object) => {
        handedOn = options;
      });
      create();
      spy.mock.restore();
      assert.deepEqual(Object.getOwnPropertyDescriptor(tls.Server.prototype, 'setSecureContext'), before);
      assert.ok(shared(handedOn).key.ALPNProtocols);
    }
  });
});

describe('P4: nothing is shared that node:tls refuses', () => {
  const others = [
    ...['allowHalfOpen', 'highWaterMark', 'pauseOnConnect', 'noDelay', 'keepAlive', 'keepAliveInitialDelay'],
    ...['enableTrace', 'pskCallback', 'pskIdentityHint', 'blockList', 'allowPartialTrustChain'],
  ];
  for (const option of [...Object.keys(serverSamples), ...others]) {
    test(`${option} with values of all kinds`, () => {
      let left = 0;
      for (const value of ODD_VALUES) {
        const options = { [option]: value } as tls.TlsOptions;
        if (resolveServer(options).shared) tls.createServer(options);
        else left += 1;
      }
      const takesAnything =
        /^(allowHalfOpen|pauseOnConnect|noDelay|keepAlive|requestCert|rejectU.*|honor.*|allowP.*)$/;
      assert.equal(left === 0, takesAnything.test(option), `${left} of ${ODD_VALUES.length} were left`);
    });
  }
});

describe('servers that are left to node:tls, with a reason', () => {
  const ALPNCallback = () => 'x';
  for (const [title, options, reason] of [
    ['a key of another certificate', { cert: clientA.cert, key: clientB.key }, /^invalid options: /],
    ['a certificate that is none', { cert: 'x' }, /^invalid options: /],
    ['a method of clients', { secureProtocol: 'TLS_client_method' }, /"secureProtocol"/],
    ['a contradiction', { secureProtocol: 'TLS_method', minVersion: 'TLSv1.2' }, /protocol versions/],
    ['ALPNCallback beside ALPNProtocols', { ALPNCallback, ALPNProtocols: ['x'] }, /"ALPNCallback"/],
    ['options that are inherited', Object.create({ cert: clientA.cert }), /"cert" is inherited/],
    [
      'options that are hidden',
      Object.defineProperty({}, 'key', { value: clientA.key }),
      /"key" is inherited/,
    ],
    ['an endless handshake', { handshakeTimeout: -1 }, /"handshakeTimeout"/],
  ] as const) {
    test(title, () => assert.match(reasonOf(options), reason));
  }

  test('a getter that throws', () => {
    const options = {
      get cert(): string {
        throw new Error('no certificate today');
      },
    };
    assert.equal(reasonOf(options), 'the options cannot be read: no certificate today');
  });

  test('a tls.createSecureContext of the application', (t) => {
    t.mock.method(tls, 'createSecureContext', () => ({}));
    assert.match(reasonOf({}), /createSecureContext was replaced/);
  });

  test('P13: a private key or passphrase is never in the reason', () => {
    const reason = reasonOf({ cert: clientB.cert, key: clientA.encryptedKey, passphrase: 'geheim' });
    assert.doesNotMatch(reason, /geheim|PRIVATE|MI[A-Z]/);
  });
});

describe('P13: the name of a context of the daemon', () => {
  test('takes the place of all fields of a context', () => {
    const { key, caBlob } = shared({ requestCert: true, ALPNProtocols: ['x'] }, { context: 'www' });
    assert.equal(key.context, 'www');
    assert.equal(caBlob(), undefined);
    assert.equal(key.ca, blobHash(Buffer.alloc(0)));
    const { ca: _ca, ...others } = contextOf(key) as Options;
    assert.deepEqual(new Set(Object.values(others)), new Set([null]));
    assert.deepEqual([key.requestCert, key.ALPNProtocols], [true, 'AXg=']);
    assert.deepEqual(v.parse(serverKeySchema, key), key);
  });

  test('excludes options that a context is made of, but not undefined ones', () => {
    for (const [option, { base, meanings }] of Object.entries(serverSamples)) {
      if (!(option in contextFields)) continue;
      const value = meanings.flat().find((given) => given !== undefined && typeof given !== 'symbol');
      assert.match(reasonOf({ [option]: value }, { context: 'www' }), /"shared.context" exclude each other/);
      assert.equal(shared({ [option]: undefined }, { context: 'www' }).key.context, 'www', String(base));
    }
  });
});

describe('contexts that come later', () => {
  const options = { cert: clientA.cert, key: clientA.key, allowPartialTrustChain: true };

  test('addContext: plain options and a context made of them are equal, and as tls.createSecureContext has them', () => {
    const plain = crossing(describeContextOption(options));
    const { SecureContext } = tls as unknown as { SecureContext: new () => object };
    const made = createSecureContext(options);
    assert.ok(made instanceof SecureContext);
    assert.deepEqual(crossing(describeContextOption(made)).context, plain.context);
    assert.deepEqual(plain.context, described(options));
    assert.deepEqual([plain.context.honorCipherOrder, plain.context.sessionIdContext], [null, null]);
    assert.equal(plain.context.allowPartialTrustChain, true);
    assert.deepEqual(crossing(describeContextOption(undefined)).context, described({}));
  });

  for (const [title, context, reason] of [
    ['a foreign SecureContext', tls.createSecureContext(), /not made by createSecureContext of tlshub/],
    ['an option of no context', { handshakeTimeout: 5 }, /"handshakeTimeout" is not known/],
    ['an engine', { clientCertEngine: 'x' }, /cannot cross/],
    ['a certificate that is none', { cert: 'x' }, /^invalid options/],
    ['text', 'x', /no object/],
    ['a list', [], /no object/],
    ['inherited options', Object.create(options), /inherited/],
    [
      'a getter that throws',
      {
        get cert(): string {
          throw new Error('no certificate today');
        },
      },
      /no certificate today/,
    ],
  ] as const) {
    test(`addContext: ${title} has a reason`, () => {
      const description = describeContextOption(context);
      assert.ok(isUnshareable(description));
      assert.match(description.reason, reason);
    });
  }

  test('setSecureContext: by the rules of the server, with the ticket keys and times it had', (t) => {
    const first = {
      cert: clientA.cert,
      key: clientA.key,
      ticketKeys: Buffer.alloc(48, 1),
      sessionTimeout: 60,
    };
    for (const second of [
      { cert: clientB.cert, key: clientB.key },
      { cert: clientB.cert, key: clientB.key, ticketKeys: Buffer.alloc(48, 2), honorCipherOrder: false },
      { sessionTimeout: 70, sessionIdContext: 'one', allowPartialTrustChain: true },
      {},
    ]) {
      const server = tls.createServer(first);
      const nodes = nodesContext(t, () => server.setSecureContext(second));
      const { context } = crossing(describeServerContext(second, shared(first).key));
      const sessionIdContext =
        'sessionIdContext' in second ? second.sessionIdContext : shared({}).key.sessionIdContext;
      assert.deepEqual(context, described({ ...nodes, sessionIdContext }));
    }
  });
});
