// What the configuration names: files are read, checked for who may read and write them, and tried.
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import tls from 'node:tls';
import * as v from 'valibot';
import { CAN_BECOME_OTHERS, OTHER_UID } from '#helpers/other-user.js';
import { spawnProcess } from '#helpers/run-node.js';
import { loadConfiguration } from '#src/daemon/contexts/load-configuration.js';
import { ownUid } from '#src/link/socket-path.js';
import { blobHash } from '#src/protocol/ca-blob.js';
import { type ContextKey, contextSchema } from '#src/protocol/session-key.js';
import {
  type ContextDirectory,
  type ContextPki,
  clientSection,
  contextDirectory,
  makeContextPki,
  serverSection,
} from './context-files.ts';

let pki: ContextPki;
before(async () => {
  pki = await makeContextPki();
});

const base64 = (text: string) => Buffer.from(text).toString('base64');

test('a context has the contents of its files, Node’s defaults for the rest, and is one of the wire', (t) => {
  const directory = contextDirectory(t, pki);
  directory.configure(clientSection('api', 'alpn = ["h2", "http/1.1"]', 'uids = [7]'));
  const api = loadConfiguration(directory.file).contexts.get('api');
  assert.deepEqual(api?.context.cert, [base64(pki.client.chain)]);
  assert.deepEqual(api?.context.key, [{ data: base64(pki.client.key), passphrase: null }]);
  assert.equal(String(api?.ca), pki.ca.cert);
  assert.equal(api?.context.ca, blobHash(pki.ca.cert));
  assert.equal(api?.context.minVersion, tls.DEFAULT_MIN_VERSION);
  assert.equal(api?.context.ciphers, tls.DEFAULT_CIPHERS);
  assert.deepEqual([api?.side, api?.uids], ['client', [7]]);
  assert.equal(api?.ALPNProtocols, base64('\x02h2\x08http/1.1'));
  assert.deepEqual(v.parse(contextSchema, api?.context), api?.context);
});

test('without "ca" a client trusts what Node trusts, and a server no client', (t) => {
  const directory = contextDirectory(t, pki);
  directory.configure('[context.plain]\nside = "client"\n', serverSection('www'));
  const contexts = loadConfiguration(directory.file).contexts;
  assert.equal(contexts.get('plain')?.ca, 'bundled');
  assert.deepEqual(contexts.get('www')?.ca, Buffer.alloc(0));
  assert.equal(contexts.get('www')?.context.ca, blobHash(''));
});

test('several files of "ca" are all trusted, and several certificates in one', (t) => {
  const directory = contextDirectory(t, pki);
  directory.write({ 'both.pem': pki.ca.cert + pki.server.cert });
  directory.configure('[context.api]\nside = "client"\nca = ["both.pem", "ca.pem"]\n');
  const ca = loadConfiguration(directory.file).contexts.get('api')?.ca;
  assert.equal(String(ca), `${pki.ca.cert}${pki.server.cert}\0${pki.ca.cert}`);
});

test('an encrypted key is taken with its passphrase; the newline at its end does not count', (t) => {
  const directory = contextDirectory(t, pki);
  const key = createPrivateKey(pki.client.key);
  const cipher = { cipher: 'aes-256-cbc', passphrase: 'open sesame' };
  directory.write({
    'client.key': key.export({ type: 'pkcs8', format: 'pem', ...cipher }),
    'client.pass': 'open sesame\n',
    'other.pass': 'open barley\n',
  });
  directory.configure(clientSection('api', 'passphrase_file = "client.pass"'));
  const context = loadConfiguration(directory.file).contexts.get('api')?.context as ContextKey;
  assert.equal(context.key?.[0]?.passphrase, base64('open sesame'));
  directory.configure(clientSection('api'));
  refuses(directory, /context\.api: key: it is encrypted, and there is no "passphrase_file"$/);
  directory.configure(clientSection('api', 'passphrase_file = "other.pass"'));
  refuses(
    directory,
    /context\.api: key: it is not a private key in PEM form, or its passphrase is another one/,
  );
});

function refuses({ file }: ContextDirectory, message: RegExp): void {
  assert.throws(
    () => loadConfiguration(file),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'ERR_TLSHUB_CONFIG');
      assert.match(error.message, message);
      assert.ok(error.message.includes(file), error.message);
      assert.doesNotMatch(error.message, /PRIVATE KEY|open (sesame|barley)/);
      return true;
    },
  );
}

describe('contents that are wrong', () => {
  const CERTIFICATE_ENDS_EARLY =
    /context\.api: .*(a certificate in it has no end|no certificate in PEM form)/;
  const CASES: Readonly<Record<string, readonly [change: (directory: ContextDirectory) => void, RegExp]>> = {
    'a certificate of another key': [
      (directory) => directory.write({ 'client.key': pki.server.key }),
      /context\.api: the key in client\.key is not the one of the certificate in client\.pem$/,
    ],
    'a key in place of the certificate': [
      (directory) => directory.write({ 'client.pem': pki.client.key }),
      /context\.api: certificate: there is no certificate in PEM form in it$/,
    ],
    'a certificate in place of the key': [
      (directory) => directory.write({ 'client.key': pki.client.cert }),
      /context\.api: key: it is not a private key in PEM form \(/,
    ],
    'a chain that breaks off': [
      (directory) => directory.write({ 'client.pem': pki.client.cert + pki.ca.cert.slice(0, 200) }),
      CERTIFICATE_ENDS_EARLY,
    ],
    'an empty ca': [
      (directory) => directory.write({ 'ca.pem': '' }),
      /context\.api: ca: ca\.pem: there is no certificate in PEM form in it$/,
    ],
    'a ca whose second certificate is none': [
      (directory) =>
        directory.write({
          'ca.pem': `${pki.ca.cert}-----BEGIN CERTIFICATE-----\nTm90IG9uZQ==\n-----END CERTIFICATE-----\n`,
        }),
      /context\.api: ca: ca\.pem: its certificate 2 is not one/,
    ],
    'ciphers that there are not': [
      (directory) => directory.configure(clientSection('api', 'ciphers = "no-such-cipher"')),
      /context\.api: .*no cipher match/i,
    ],
    'versions that leave none': [
      (directory) => directory.configure(clientSection('api', 'max_version = "TLSv1.1"')),
      /context\.api: no version is left between TLSv1\.2 and TLSv1\.1/,
    ],
    'a file that is missing': [
      ({ configure }) => configure('[context.api]\nside = "client"\nca = ["gone.pem"]\n'),
      /context\.api: cannot use .*\/gone\.pem: there is no such file$/,
    ],
    'a directory in place of a file': [
      (directory) => {
        mkdirSync(join(directory.path, 'd'));
        directory.configure('[context.api]\nside = "client"\nca = ["d"]\n');
      },
      /context\.api: cannot use .*\/d: it is not a file$/,
    ],
    'a wrong key of the file itself': [
      (directory) => directory.configure(clientSection('api', 'nonsense = 1')),
      /tlshub\.toml: line \d+: context\.api\.nonsense is not a known key/,
    ],
  };
  for (const [title, [change, message]] of Object.entries(CASES)) {
    test(title, (t) => {
      const directory = contextDirectory(t, pki);
      directory.configure(clientSection('api'));
      loadConfiguration(directory.file).contexts;
      change(directory);
      refuses(directory, message);
    });
  }

  test('a named pipe in place of a file does not hold the daemon up', async (t) => {
    const directory = contextDirectory(t, pki);
    const { code } = await spawnProcess('mkfifo', ['-m', '600', join(directory.path, 'pipe')], {}).result;
    assert.equal(code, 0);
    directory.configure('[context.api]\nside = "client"\nca = ["pipe"]\n');
    refuses(directory, /cannot use .*\/pipe: it is not a file$/);
  });
});

describe('P13: who may read and write the files', () => {
  const modes = (name: string, mode: number, message: RegExp) =>
    test(`${name} with mode ${mode.toString(8)}`, (t) => {
      const directory = contextDirectory(t, pki);
      directory.configure(clientSection('api'));
      // A group of another number than ours, where we may choose; our own group counts as we do.
      if (CAN_BECOME_OTHERS) chownSync(join(directory.path, name), 0, OTHER_UID);
      else mode &= ~0o070;
      chmodSync(join(directory.path, name), mode);
      refuses(directory, message);
    });
  for (const name of ['tlshub.toml', 'client.pem', 'ca.pem', 'client.key']) {
    modes(name, 0o606, /other users may write to it \(mode 0606\); run: chmod go-w /);
    modes(name, 0o622, /other users may write to it \(mode 06[02]2\); run: chmod go-w /);
  }
  modes('client.key', 0o604, /other users may read it \(mode 0604\); run: chmod go= /);
  modes('client.key', 0o601, /other users may read it \(mode 0601\); run: chmod go= /);

  test('certificates and the file itself may be read by all, a key of root by its group', (t) => {
    const directory = contextDirectory(t, pki);
    directory.configure(clientSection('api'));
    for (const name of ['tlshub.toml', 'client.pem', 'ca.pem']) chmodSync(join(directory.path, name), 0o644);
    if (CAN_BECOME_OTHERS) {
      chownSync(join(directory.path, 'client.key'), 0, OTHER_UID);
      chmodSync(join(directory.path, 'client.key'), 0o640);
    }
    assert.equal(loadConfiguration(directory.file).contexts.size, 1);
  });

  test('symbolic links are followed, and what they lead to is checked', (t) => {
    const directory = contextDirectory(t, pki);
    symlinkSync('client.key', join(directory.path, 'link.key'));
    directory.configure(clientSection('api').replace('client.key', 'link.key'));
    assert.equal(loadConfiguration(directory.file).contexts.size, 1);
    chmodSync(join(directory.path, 'client.key'), 0o604);
    refuses(directory, /link\.key: other users may read it/);
  });

  test('a file of another user is refused, whatever its mode', (t) => {
    const directory = contextDirectory(t, pki);
    directory.configure(clientSection('api'));
    if (CAN_BECOME_OTHERS) {
      for (const name of ['tlshub.toml', 'client.pem', 'client.key', 'ca.pem']) {
        chownSync(join(directory.path, name), OTHER_UID, OTHER_UID);
        refuses(directory, new RegExp(`${name}: it belongs to uid ${OTHER_UID}, not to 0 or root`));
        chownSync(join(directory.path, name), 0, 0);
      }
    }
    // Only root could make one here; that this user cannot is the other half of the promise.
    else assert.throws(() => chownSync(directory.file, ownUid() + 1, -1), { code: 'EPERM' });
  });
});

test('a file that is too long is not read', (t) => {
  const directory = contextDirectory(t, pki);
  directory.configure(clientSection('api'));
  writeFileSync(join(directory.path, 'ca.pem'), Buffer.alloc(8 * 1024 * 1024 + 1, 10));
  refuses(directory, /ca\.pem: it is longer than 8388608 bytes$/);
});
