// Settings of the whole process count as options: each is set in a process of its own, by the command line, the
// environment or a call, and shows in the session key or keeps the request in the process.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { type RunOptions, runNode, runNodeForJson } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import type { SessionKey } from '#src/protocol/session-key.js';
import { clientA, clientB } from './context-fixtures.js';

/** This machine's own settings must not take part. */
const CLEAN = {
  ...{ NODE_EXTRA_CA_CERTS: undefined, NODE_OPTIONS: undefined, NODE_TLS_REJECT_UNAUTHORIZED: undefined },
  ...{ OPENSSL_CONF: undefined, SSL_CERT_DIR: undefined, SSL_CERT_FILE: undefined },
};

interface Answer {
  shared: boolean;
  reason?: string;
  key?: SessionKey;
  /** SHA-256 of the blob, and whether it holds the fixture's certificate. */
  blob?: { sha256: string; hasExtra: boolean };
}

/** What becomes of a request in a process that is set up like this. */
async function resolveIn(
  settings: RunOptions & { before?: string; after?: string; options?: string },
): Promise<Answer> {
  const { before = '', after = '', options = "{ host: 'a.example', port: 443 }", ...run } = settings;
  const script = `
    import { createHash } from 'node:crypto';
    import dns from 'node:dns';
    import net from 'node:net';
    import tls from 'node:tls';
    ${before}
    const { resolveRequest } = await import('./dist/wrapper/resolve-request.js');
    ${after}
    const request = resolveRequest(${options});
    const { shared, reason, key } = request;
    const blob = request.caBlob?.();
    console.log(JSON.stringify({ shared, reason, key, blob: blob && {
      sha256: createHash('sha256').update(blob).digest('hex'),
      hasExtra: blob.toString().includes(${JSON.stringify(clientA.ca.trim())}),
    } }));
  `;
  return (await runNodeForJson(script, { ...run, env: { ...CLEAN, ...run.env } })) as Answer;
}

function extraFile(t: TestContext): string {
  const file = join(tempDir(t), 'extra.pem');
  writeFileSync(file, clientA.ca);
  return file;
}

describe('P2: settings of the process fill in the options', () => {
  for (const [title, run, expected] of [
    ['nothing set', {}, { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', rejectUnauthorized: true }],
    ['--tls-min-v1.3', { nodeArguments: ['--tls-min-v1.3'] }, { minVersion: 'TLSv1.3' }],
    ['--tls-max-v1.2', { nodeArguments: ['--tls-max-v1.2'] }, { maxVersion: 'TLSv1.2' }],
    [
      '--tls-min-v1.3 in NODE_OPTIONS',
      { env: { NODE_OPTIONS: '--tls-min-v1.3' } },
      { minVersion: 'TLSv1.3' },
    ],
    [
      '--tls-cipher-list',
      { nodeArguments: ['--tls-cipher-list=ECDHE-ECDSA-AES256-GCM-SHA384'] },
      { ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
    ],
    ['tls.DEFAULT_MIN_VERSION', { after: "tls.DEFAULT_MIN_VERSION = 'TLSv1.1';" }, { minVersion: 'TLSv1.1' }],
    ['tls.DEFAULT_MAX_VERSION', { after: "tls.DEFAULT_MAX_VERSION = 'TLSv1.2';" }, { maxVersion: 'TLSv1.2' }],
    [
      'tls.DEFAULT_CIPHERS',
      { after: "tls.DEFAULT_CIPHERS = 'TLS_AES_128_GCM_SHA256';" },
      { ciphers: 'TLS_AES_128_GCM_SHA256' },
    ],
    [
      'tls.DEFAULT_ECDH_CURVE',
      { after: "tls.DEFAULT_ECDH_CURVE = 'prime256v1';" },
      { ecdhCurve: 'prime256v1' },
    ],
    [
      '--no-network-family-autoselection',
      { nodeArguments: ['--no-network-family-autoselection'] },
      { autoSelectFamily: false },
    ],
    [
      'net.setDefaultAutoSelectFamilyAttemptTimeout',
      { after: 'net.setDefaultAutoSelectFamilyAttemptTimeout(777);' },
      { autoSelectFamilyAttemptTimeout: 777 },
    ],
    [
      'NODE_TLS_REJECT_UNAUTHORIZED=0',
      { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } },
      { rejectUnauthorized: false },
    ],
    [
      'NODE_TLS_REJECT_UNAUTHORIZED=0 set at run time',
      { after: "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';" },
      { rejectUnauthorized: false },
    ],
    [
      'NODE_TLS_REJECT_UNAUTHORIZED=0 against the option',
      {
        env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
        options: "{ host: 'a.example', port: 443, rejectUnauthorized: true }",
      },
      { rejectUnauthorized: true },
    ],
    [
      'NODE_TLS_REJECT_UNAUTHORIZED=0 against the option given as undefined, as node:tls reads it',
      {
        env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
        options: "{ host: 'a.example', port: 443, rejectUnauthorized: undefined }",
      },
      { rejectUnauthorized: true },
    ],
    [
      'another value of NODE_TLS_REJECT_UNAUTHORIZED',
      { env: { NODE_TLS_REJECT_UNAUTHORIZED: 'false' } },
      { rejectUnauthorized: true },
    ],
    [
      'tls.checkServerIdentity replaced',
      { after: 'tls.checkServerIdentity = () => undefined;' },
      { checkServerIdentity: true },
    ],
    [
      'a secure context keeps the defaults of the time it was made',
      {
        after: `const { createSecureContext } = await import('./dist/wrapper/secure-context.js');
          const secureContext = createSecureContext();
          tls.DEFAULT_MIN_VERSION = 'TLSv1.1';`,
        options: "{ host: 'a.example', port: 443, secureContext }",
      },
      { minVersion: 'TLSv1.2' },
    ],
  ] as [string, Parameters<typeof resolveIn>[0], Partial<SessionKey>][]) {
    test(title, async () => {
      const { key, reason } = await resolveIn(run);
      assert.ok(key, reason ?? '');
      assert.deepEqual({ ...key, ...expected }, key);
    });
  }
});

describe('P2: settings that the daemon cannot take over keep requests in the process', () => {
  for (const [title, run, reason] of [
    ['--tls-keylog', { nodeArguments: ['--tls-keylog=/dev/null'] }, /--tls-keylog/],
    ['--tls_keylog, spelt with underscores', { nodeArguments: ['--tls_keylog=/dev/null'] }, /--tls-keylog/],
    ['--tls-keylog in NODE_OPTIONS', { env: { NODE_OPTIONS: '--tls-keylog=/dev/null' } }, /--tls-keylog/],
    [
      '--tls-keylog in NODE_OPTIONS, which the program has taken away since',
      { env: { NODE_OPTIONS: '--tls-keylog=/dev/null' }, before: 'delete process.env.NODE_OPTIONS;' },
      process.platform === 'linux' ? /--tls-keylog/ : undefined,
    ],
    ['--trace-tls', { nodeArguments: ['--trace-tls'] }, /--trace-tls/],
    ['--openssl-config', { nodeArguments: ['--openssl-config=/dev/null'] }, /--openssl-config/],
    ['--openssl-shared-config', { nodeArguments: ['--openssl-shared-config'] }, /--openssl-shared-config/],
    ['OPENSSL_CONF', { env: { OPENSSL_CONF: '/dev/null' } }, /OPENSSL_CONF/],
    ['--use-openssl-ca', { nodeArguments: ['--use-openssl-ca'] }, /--use-openssl-ca/],
    ['--dns-result-order', { nodeArguments: ['--dns-result-order=ipv4first'] }, /ipv4first/],
    ['dns.setDefaultResultOrder', { after: "dns.setDefaultResultOrder('ipv4first');" }, /ipv4first/],
    ['dns.lookup replaced', { after: 'dns.lookup = () => undefined;' }, /dns\.lookup/],
    [
      'tls.createSecureContext replaced',
      { after: 'tls.createSecureContext = () => undefined;' },
      /tls\.createSecureContext/,
    ],
    ['a default that is none', { after: "tls.DEFAULT_MIN_VERSION = 'TLSv9';" }, /protocol versions/],
    ['default ciphers that are none', { after: "tls.DEFAULT_CIPHERS = 'NONE-SUCH';" }, /^invalid options/],
  ] as [string, Parameters<typeof resolveIn>[0], RegExp | undefined][]) {
    test(title, async () => {
      const answer = await resolveIn(run);
      assert.equal(answer.shared, reason === undefined);
      if (reason !== undefined) assert.match(answer.reason ?? '', reason);
    });
  }

  test('but only where they matter', async () => {
    for (const run of [
      { nodeArguments: ['--use-openssl-ca'], options: "{ host: 'a.example', port: 443, ca: 'PEM' }" },
      { nodeArguments: ['--dns-result-order=ipv4first'], options: "{ host: '127.0.0.1', port: 443 }" },
      { nodeArguments: ['--dns-result-order=ipv4first'], options: "{ path: '/run/a.sock' }" },
      { nodeArguments: ['--title=--trace-tls'] },
    ]) {
      const answer = await resolveIn(run);
      assert.equal(answer.shared, true, answer.reason ?? '');
    }
  });
});

describe('P5: the warning of NODE_TLS_REJECT_UNAUTHORIZED=0', () => {
  const connectOnce = "tls.connect({ port: 1 }).on('error', () => undefined).destroy();";
  const warningsOf = async (script: string): Promise<string[]> => {
    const { stderr, code } = await runNode(`import tls from 'node:tls';\n${script}`, {
      env: { ...CLEAN, NODE_TLS_REJECT_UNAUTHORIZED: '0' },
    });
    assert.equal(code, 0, stderr);
    return stderr.split('\n').flatMap((line) => /^\(node:\d+\) (Warning: .*)/.exec(line)?.[1] ?? []);
  };

  test('is Node’s own, comes once, and is not repeated by node:tls afterwards', async () => {
    const nodes = await warningsOf(connectOnce);
    assert.equal(nodes.length, 1);
    const ours = await warningsOf(`
      const { resolveRequest } = await import('./dist/wrapper/resolve-request.js');
      for (let count = 0; count < 3; count++) resolveRequest({ port: 1 });
      ${connectOnce}`);
    assert.deepEqual(ours, nodes);
  });
});

describe('P2: what the process trusts counts as `ca`', () => {
  test('by default the bundled list', async () => {
    const { key, blob } = await resolveIn({});
    assert.equal(key?.ca, blob?.sha256);
    const expected = createHash('sha256').update(tls.rootCertificates.join('\0')).digest('hex');
    // Newer versions list the same certificates in this form, too.
    assert.equal(key?.ca, expected);
    assert.equal((await resolveIn({ nodeArguments: ['--use-bundled-ca'] })).key?.ca, expected);
  });

  test('with NODE_EXTRA_CA_CERTS', async (t) => {
    const env = { NODE_EXTRA_CA_CERTS: extraFile(t) };
    const plain = await resolveIn({});
    const extra = await resolveIn({ env });
    assert.notEqual(extra.key?.ca, plain.key?.ca);
    assert.deepEqual(extra.blob, { sha256: extra.key?.ca, hasExtra: true });
    assert.equal(plain.blob?.hasExtra, false);
  });

  test('with NODE_EXTRA_CA_CERTS set only at run time, which Node ignores', async (t) => {
    const before = `process.env.NODE_EXTRA_CA_CERTS = ${JSON.stringify(extraFile(t))};`;
    assert.equal((await resolveIn({ before })).key?.ca, (await resolveIn({})).key?.ca);
  });

  test('with NODE_EXTRA_CA_CERTS taken away at run time: never with less trust than node:tls has', async (t) => {
    const env = { NODE_EXTRA_CA_CERTS: extraFile(t) };
    const answer = await resolveIn({ env, before: 'delete process.env.NODE_EXTRA_CA_CERTS;' });
    assert.equal(answer.shared ? answer.blob?.hasExtra : /NODE_EXTRA/.test(answer.reason ?? ''), true);
  });

  test('with an unreadable NODE_EXTRA_CA_CERTS, which Node passes over with a warning', async () => {
    const env = { NODE_EXTRA_CA_CERTS: '/nowhere/extra.pem' };
    assert.equal((await resolveIn({ env })).key?.ca, (await resolveIn({})).key?.ca);
    const script =
      "(await import('./dist/wrapper/resolve-request.js')).resolveRequest({ host: 'a', port: 1 });";
    const { stderr } = await runNode(script, { env: { ...CLEAN, ...env } });
    assert.match(stderr, /Warning: Ignoring extra certs from `\/nowhere\/extra.pem`, load failed: /);
  });

  test('an own `ca` comes before all of them', async (t) => {
    const env = { NODE_EXTRA_CA_CERTS: extraFile(t) };
    const options = `{ host: 'a.example', port: 443, ca: ${JSON.stringify(clientB.ca)} }`;
    const { key } = await resolveIn({ env, options });
    assert.equal(key?.ca, createHash('sha256').update(clientB.ca).digest('hex'));
  });

  describe('on a Node that was built to trust OpenSSL’s store, as Debian builds it', () => {
    const before = `Object.defineProperty(process, 'config', {
      value: { target_defaults: { defines: ['NODE_OPENSSL_CERT_STORE'] } },
    });`;

    test('the store is named, not listed; a daemon knows the name when it runs with the same program', async () => {
      const { key, blob, shared } = await resolveIn({ before });
      assert.equal(shared, true);
      assert.equal(blob, undefined);
      assert.notEqual(key?.ca, (await resolveIn({})).key?.ca);
      const ask = `
        const { BlobStore } = await import('./dist/daemon/blob-store.js');
        console.log(JSON.stringify([new BlobStore().get(${JSON.stringify(key?.ca)}) ?? null]));`;
      assert.deepEqual(await runNodeForJson(`${before}${ask}`, { env: CLEAN }), ['bundled']);
      assert.deepEqual(await runNodeForJson(ask, { env: CLEAN }), [null]);
    });

    test('what the process adds to it, or reads in its place, cannot be told', async (t) => {
      const file = extraFile(t);
      for (const name of ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR']) {
        const { reason } = await resolveIn({ before, env: { [name]: file } });
        assert.match(reason ?? '', new RegExp(`cannot be listed with ${name}`));
      }
    });

    test('--use-bundled-ca is the bundled list again', async () => {
      const { key } = await resolveIn({ before, nodeArguments: ['--use-bundled-ca'] });
      assert.equal(key?.ca, (await resolveIn({})).key?.ca);
    });
  });

  if (typeof tls.getCACertificates === 'function') {
    test('with --use-system-ca', async (t) => {
      const env = { SSL_CERT_FILE: extraFile(t), SSL_CERT_DIR: tempDir(t) };
      const { blob } = await resolveIn({ env, nodeArguments: ['--use-system-ca'] });
      assert.equal(blob?.hasExtra, true);
    });
  }

  if (typeof tls.setDefaultCACertificates === 'function') {
    test('with tls.setDefaultCACertificates, also after a request', async () => {
      const setDefault = `tls.setDefaultCACertificates([${JSON.stringify(clientA.ca)}]);`;
      const { key, blob } = await resolveIn({
        after: `resolveRequest({ host: 'a.example', port: 443 });\n${setDefault}`,
      });
      assert.deepEqual(blob, { sha256: key?.ca, hasExtra: true });
      const none = await resolveIn({ after: 'tls.setDefaultCACertificates([]);' });
      assert.equal(none.blob?.sha256, createHash('sha256').digest('hex'));
    });
  }
});
