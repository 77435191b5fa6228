// What an unchanged program may use for its requests, under tlshub/register: each way reaches the daemon, works as it
// does without, and leaves nothing behind. The oracle is the daemon's count of leases beside the origin's of
// connections: a connection that no lease made would be one of the program's own.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { leaseCount } from '#helpers/agent-client.js';
import { type CountingOrigin, countingOrigin } from '#helpers/counting-origin.js';
import { httpOrigin } from '#helpers/http-origin.js';
import { runNode } from '#helpers/run-node.js';
import { fileScope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';

const scope = fileScope();
let ca: Authority;
let leaf: Certificate;
let daemon: TestDaemon;
/** fetch takes no CA of its own. */
let caFile: string;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost'] });
  daemon = await startTestDaemon(scope);
  caFile = join(tempDir(scope), 'ca.pem');
  writeFileSync(caFile, ca.cert);
});

interface Way {
  title: string;
  script: string;
  /** Default `http`. */
  origin?: 'http' | 'http2';
  prints: string;
  /** Leases that it takes; default 1. */
  leases?: number;
}

const WAYS: readonly Way[] = [
  {
    title: 'https.request with a body',
    script: `
      import https from 'node:https';
      const request = https.request(process.env.URL, { method: 'POST', ca: process.env.CA }, async (response) => {
        console.log(JSON.parse(Buffer.concat(await response.toArray())).bodyBytes);
      });
      request.end(Buffer.alloc(100_000));
    `,
    prints: '100000\n',
  },
  {
    title: 'https.request by require',
    script: `
      import { createRequire } from 'node:module';
      const { request } = createRequire(process.cwd() + '/x.js')('https');
      request(process.env.URL, { ca: process.env.CA }, (response) => {
        response.resume().on('end', () => console.log(response.statusCode));
      }).end();
    `,
    prints: '200\n',
  },
  {
    title: 'all that a library hands on to https.request (axios)',
    script: `
      import https from 'node:https';
      const { protocol, hostname, port } = new URL(process.env.URL);
      const options = {
        path: '/', method: 'GET', headers: { Accept: 'application/json, text/plain, */*' },
        agents: { http: undefined, https: undefined }, auth: undefined, family: undefined, lookup: undefined,
        beforeRedirect: () => {}, beforeRedirects: {}, protocol, hostname, port, agent: undefined,
        maxRedirects: 21, maxBodyLength: Infinity, insecureHTTPParser: false, sensitiveHeaders: [],
        nativeProtocols: { 'https:': https }, trackRedirects: false, ca: process.env.CA,
      };
      https.request(options, (response) => {
        response.resume().on('end', () => console.log(response.statusCode));
      }).end();
    `,
    prints: '200\n',
  },
  {
    title: 'several requests one after another',
    script: `
      import https from 'node:https';
      const get = () => new Promise((resolve, reject) => {
        const request = https.get(process.env.URL, { ca: process.env.CA }, (response) => {
          response.resume().on('end', () => resolve(request.reusedSocket));
        }).on('error', reject);
      });
      await get();
      console.log(await get(), await get());
    `,
    prints: 'true true\n',
  },
  {
    title: 'fetch',
    script: `const response = await fetch(process.env.URL); console.log((await response.json()).url);`,
    prints: '/\n',
  },
  {
    title: 'fetch, several times at once',
    script: `
      const all = await Promise.all([1, 2, 3].map(async () => (await (await fetch(process.env.URL)).json()).url));
      console.log(all.join());
    `,
    prints: '/,/,/\n',
    leases: 3,
  },
  {
    title: 'fetch, a body that is not read',
    script: `const response = await fetch(process.env.URL + 'bytes/1000000'); console.log(response.status);`,
    prints: '200\n',
  },
  {
    title: 'undici',
    script: `
      import { Agent, request } from 'undici';
      const dispatcher = new Agent({ connect: { ca: process.env.CA } });
      const { statusCode, body } = await request(process.env.URL, { dispatcher });
      console.log(statusCode, (await body.json()).url);
      await dispatcher.close();
    `,
    prints: '200 /\n',
  },
  {
    title: 'http2.connect',
    origin: 'http2',
    script: `
      import http2 from 'node:http2';
      const session = http2.connect(process.env.URL, { ca: process.env.CA });
      const urls = await Promise.all(['/a', '/b'].map(async (path) => {
        const stream = session.request({ ':path': path });
        return JSON.parse(Buffer.concat(await stream.toArray())).url;
      }));
      console.log(urls.join(), session.encrypted, session.alpnProtocol, session.socket.authorized);
      session.close();
    `,
    prints: '/a,/b true h2 true\n',
  },
  {
    title: 'tls.connect',
    script: `
      import { connect } from 'node:tls';
      const { hostname, port } = new URL(process.env.URL);
      const socket = connect(port, hostname, { ca: process.env.CA }, () => {
        socket.end('GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n');
      });
      let text = '';
      for await (const chunk of socket) text += chunk;
      console.log(text.split('\\r\\n')[0], socket.authorized);
    `,
    prints: 'HTTP/1.1 200 OK true\n',
  },
  {
    title: 'tls.TLSSocket over a socket of the application, in the process',
    script: `
      import net from 'node:net';
      import tls from 'node:tls';
      const { hostname, port } = new URL(process.env.URL);
      const carrier = net.connect(port, hostname);
      const socket = tls.connect({ socket: carrier, servername: hostname, ca: process.env.CA }, () => {
        console.log(socket.authorized, socket.sharing.shared, socket.sharing.reason);
        socket.destroy();
      });
    `,
    prints:
      'true false option "socket" cannot cross: A stream of the application cannot be used by the daemon.\n',
    leases: 0,
  },
];

for (const { title, script, origin: kind = 'http', prints, leases = 1 } of WAYS) {
  test(`P1: ${title}`, async (t) => {
    const origin = await countingOrigin(t, { ...leaf, behaviour: { kind } });
    const before = await leaseCount(daemon);
    await runUnder(script, origin.port, prints);
    assert.equal((await leaseCount(daemon)) - before, leases);
    assert.equal(origin.counts.connections, Math.max(leases, 1));
    await onlyIdleAreOpen(origin);
  });
}

test('fetch holds a session for its process, and the next process resumes it', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  const script = `const response = await fetch(process.env.URL); console.log(response.status); await response.text();`;
  for (let count = 0; count < 3; count += 1) await runUnder(script, origin.port, '200\n');
  await waitFor(() => origin.counts.open === 0, { what: 'the close of all sessions' });
  assert.deepEqual([origin.counts.handshakes, origin.counts.resumptions], [1, 2]);
});

test('P8: fetch sees a peer that closes, as without tlshub', async (t) => {
  const origin = await httpOrigin(t, leaf, ({ socket }) =>
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'),
  );
  const script = `
    const response = await fetch(process.env.URL);
    try { await response.text(); } catch (error) { console.log(error.name, error.message, error.cause?.code); }
  `;
  const environment = environmentOf(origin.port);
  const direct = await runNode(script, { env: environment });
  assert.match(direct.stdout, /TypeError terminated/);
  assert.deepEqual(
    await runNode(script, { nodeArguments: ['--import', 'tlshub/register'], env: environment }),
    direct,
  );
});

test('P1: WebSocket', async (t) => {
  const origin = await httpOrigin(t, leaf, ({ head, socket }) => {
    const key = /sec-websocket-key: *(\S+)/i.exec(head)?.[1];
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    const headers = ['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`];
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headers.join('\r\n')}\r\n\r\n`);
    // Text "hi", and a close with code 1000.
    socket.write(Buffer.from('81026869880203e8', 'hex'));
    socket.once('data', () => socket.end());
  });
  const script = `
    const WebSocket = globalThis.WebSocket ?? (await import('undici')).WebSocket;
    const socket = new WebSocket(process.env.URL.replace('https', 'wss'));
    socket.onmessage = ({ data }) => console.log(data);
    socket.onclose = ({ code }) => console.log(code);
  `;
  const before = await leaseCount(daemon);
  await runUnder(script, origin.port, 'hi\n1000\n');
  assert.deepEqual([(await leaseCount(daemon)) - before, origin.connections], [1, 1]);
});

/** Runs a program under register, and expects what it prints. */
async function runUnder(script: string, port: number, prints: string): Promise<void> {
  const result = await runNode(script, {
    nodeArguments: ['--import', 'tlshub/register'],
    env: environmentOf(port),
  });
  assert.deepEqual(result, { code: 0, signal: null, stdout: prints, stderr: '' });
}

function environmentOf(port: number): Record<string, string> {
  return {
    TLSHUB_DIR: daemon.directory,
    URL: `https://localhost:${port}/`,
    CA: ca.cert,
    NODE_EXTRA_CA_CERTS: caFile,
  };
}

/** What is still open at the origin waits in the pool. */
async function onlyIdleAreOpen(origin: CountingOrigin): Promise<void> {
  await waitFor(
    async () => {
      const sessions = await daemon.sessions();
      const own = sessions.filter(({ peer }) => peer === `localhost:${origin.port}`);
      return own.length === origin.counts.open && own.every(({ state }) => state === 'idle');
    },
    { what: 'the end of all leases' },
  );
}
