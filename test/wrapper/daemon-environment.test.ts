// What a started daemon knows of its starter's environment.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { daemonEnvironment } from '#src/wrapper/daemon-environment.js';

test('the way around the host and the settings of tlshub are passed on', () => {
  const passed = {
    PATH: '/bin',
    HOME: '/home/u',
    USER: 'u',
    LOGNAME: 'u',
    LANG: 'C.UTF-8',
    LC_ALL: 'C',
    TZ: 'UTC',
    TMPDIR: '/var/tmp',
    XDG_RUNTIME_DIR: '/run/user/1',
    TLSHUB_DIR: '/d',
    TLSHUB_LOG: 'debug',
  };
  assert.deepEqual(daemonEnvironment(passed), passed);
});

test("the application's settings are not: its options for node, its trust, its sharing, its own variables", () => {
  const kept = {
    NODE_OPTIONS: '--require ./x.js',
    NODE_EXTRA_CA_CERTS: '/ca.pem',
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    NODE_CHANNEL_FD: '3',
    NODE_DEBUG: 'tls',
    NODE_V8_COVERAGE: '/c',
    SSL_CERT_FILE: '/ca.pem',
    SSL_CERT_DIR: '/ca',
    SSLKEYLOGFILE: '/keys',
    OPENSSL_CONF: '/openssl.cnf',
    LD_PRELOAD: '/x.so',
    HTTPS_PROXY: 'http://proxy',
    TLSHUB: 'off',
    TLSHUB_SHARE: '*',
    AWS_SECRET_ACCESS_KEY: 'secret',
  };
  assert.deepEqual(daemonEnvironment(kept), {});
});
