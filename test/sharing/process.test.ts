// What a socket does to its process: it keeps it alive or not, as the application says, and every overload of connect
// is there for it. Each program is run as a real process, once in each way.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { runNode } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import type { TestDaemon } from '#helpers/test-daemon.js';
import { MODES, type Mode, useTestDaemon } from './both-ways.ts';
import { makeTestPki, type TestPki } from './test-pki.ts';

let pki: TestPki;
let daemon: TestDaemon;
let origin: CountingOrigin;
const file = fileScope();
before(async () => {
  pki = await makeTestPki();
  daemon = await useTestDaemon(file);
  origin = await countingOrigin(file, pki.good);
});

/** What every program begins with: `connect` and `log`, and `port`, `ca` and `shared` for it. */
const PROLOGUE = `
  import tls from 'tlshub';
  const port = Number(process.env.PORT);
  const ca = process.env.CA;
  const shared = process.env.MODE === 'shared' ? { fallback: false } : false;
  const log = (...words) => console.log(...words);
  const connect = (options = {}) => tls.connect({ host: '127.0.0.1', port, ca, shared, ...options });
`;

async function run(mode: Mode, program: string): Promise<unknown> {
  const env = { PORT: String(origin.port), CA: pki.ca.cert, MODE: mode, TLSHUB_DIR: daemon.directory };
  const { code, signal, stdout, stderr } = await runNode(PROLOGUE + program, { env });
  return { code, signal, stdout, stderr: stderr.replaceAll(/at .*|\d+/g, '') };
}

function sameBothWays(title: string, program: string, expected: string): void {
  test(title, async () => {
    const results: unknown[] = [];
    for (const mode of MODES) results.push(await run(mode, program));
    assert.deepEqual(results[0], { code: 0, signal: null, stdout: expected, stderr: '' });
    assert.deepEqual(results[1], results[0]);
  });
}

describe('P4: ref and unref', () => {
  sameBothWays(
    'an idle socket keeps its process alive',
    `const socket = connect();
     socket.on('secureConnect', () => setTimeout(() => { log('still here'); socket.destroy(); }, 200).unref());`,
    'still here\n',
  );

  sameBothWays(
    'an idle socket that is not referenced does not',
    `const socket = connect();
     socket.on('secureConnect', () => {
       socket.unref();
       log('secure');
       setTimeout(() => log('too long'), 5000).unref();
     });`,
    'secure\n',
  );

  sameBothWays(
    'ref after unref keeps it alive again',
    `const socket = connect();
     socket.on('secureConnect', () => {
       socket.unref().ref();
       setTimeout(() => { log('still here'); socket.destroy(); }, 200).unref();
     });`,
    'still here\n',
  );

  sameBothWays(
    'an exchange, then the process ends by itself when the socket is ended',
    `const socket = connect();
     socket.on('secureConnect', () => socket.write('hello\\n'));
     socket.on('data', (chunk) => { log(String(chunk).trim()); socket.end(); });
     socket.on('close', () => log('closed'));`,
    'ok hello\nclosed\n',
  );

  sameBothWays(
    'a refused connection ends the process too',
    `const socket = connect({ port: 1 });
     socket.on('error', (error) => log(error.code));
     socket.on('close', () => log('closed'));`,
    'ECONNREFUSED\nclosed\n',
  );
});

describe('P4: an error that nobody listens to', () => {
  test('ends the process as with node:tls', async () => {
    const program = `connect({ port: 1 });`;
    const results = (await Promise.all(MODES.map((mode) => run(mode, program)))) as {
      code: number;
      stderr: string;
    }[];
    for (const { code, stderr } of results) {
      assert.equal(code, 1);
      assert.match(stderr, /Unhandled 'error' event/);
      assert.match(stderr, /ECONNREFUSED/);
    }
  });
});

describe('P4: the overloads of connect', () => {
  const finish = `socket.on('secureConnect', () => { log('event'); socket.destroy(); });`;
  const options = '{ ca, shared }';
  const forms: Record<string, string> = {
    'options and listener': `tls.connect({ host: '127.0.0.1', port, ca, shared }, listener)`,
    'port, host, options and listener': `tls.connect(port, '127.0.0.1', ${options}, listener)`,
    'port, options and listener': `tls.connect(port, { ...${options}, host: '127.0.0.1' }, listener)`,
    'port as text': `tls.connect({ host: '127.0.0.1', port: String(port), ca, shared }, listener)`,
  };
  for (const [title, call] of Object.entries(forms)) {
    sameBothWays(
      title,
      `const listener = () => log('listener', socket.authorized, socket.remoteAddress);
       const socket = ${call};
       ${finish}`,
      'listener true 127.0.0.1\nevent\n',
    );
  }
});
