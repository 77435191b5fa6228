// Real clients and a real nginx through an endpoint of kind http: curl in the ways in which it is used, and Node's agent.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { listen } from '#helpers/listen.js';
import { startNginx } from '#helpers/nginx.js';
import { patternPieces, patternSha256 } from '#helpers/pattern.js';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import { openDoor } from './http-door.ts';

const run = promisify(execFile);

let ca: string;
let certificate: { cert: string; key: string };

before(async () => {
  const root = await createCa({ name: 'Test root' });
  const { cert, key } = await root.issue({ names: ['localhost', '127.0.0.1'] });
  ca = root.cert;
  certificate = { cert, key };
});

/** Runs curl, at most 20 seconds; answers what it wrote. */
async function curl(...args: readonly string[]): Promise<string> {
  const { stdout } = await run('curl', ['--silent', '--show-error', '--max-time', '20', ...args], {
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}

/** An origin that says what it got; `/empty` is answered with 204. */
async function echoOrigin(t: TestContext): Promise<number> {
  const server = createServer(certificate, async (request, response) => {
    const hash = createHash('sha256');
    for await (const part of request) hash.update(part as Buffer);
    if (request.url === '/empty') response.writeHead(204);
    const { method, httpVersion, headers } = request;
    response.end(
      request.url === '/empty'
        ? undefined
        : JSON.stringify({ method, httpVersion, host: headers.host, sha256: hash.digest('hex') }),
    );
  });
  const port = await listen(server);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return port;
}

test('P1: thirty runs of curl and nginx sees one connection with one handshake', async (t) => {
  const nginx = await startNginx(t, certificate);
  if (nginx === undefined) return;
  const door = await openDoor(t, { port: nginx.port, ca });
  const url = `http://127.0.0.1:${door.port}/`;
  for (let count = 0; count < 10; count += 1) {
    assert.equal(await curl(url), 'ok\n');
    assert.equal(await curl('--http1.0', url), 'ok\n');
    assert.match(await curl('--head', url), /^HTTP\/1\.1 200 OK\r\n[\s\S]*Content-Length: 3\r\n/);
  }
  // nginx writes its log behind the answer.
  await waitFor(() => nginx.requests().length === 30, { what: '30 requests in the log of nginx' });
  assert.equal(nginx.handshakes(), 1);
  assert.equal(new Set(nginx.requests().map(({ connection }) => connection)).size, 1);
});

test('curl sends bodies of a length, in chunks, after 100-continue and to a 204', async (t) => {
  const door = await openDoor(t, { port: await echoOrigin(t), ca });
  const url = `http://127.0.0.1:${door.port}`;
  const bytes = 3_000_000;
  const path = join(tempDir(t), 'body');
  writeFileSync(path, Buffer.concat([...patternPieces(bytes)]));
  const sent = { method: 'POST', httpVersion: '1.1', host: 'origin.test', sha256: patternSha256(bytes) };
  const post = ['--data-binary', `@${path}`];
  assert.deepEqual(JSON.parse(await curl(...post, url)), sent);
  assert.deepEqual(JSON.parse(await curl(...post, '-H', 'Transfer-Encoding: chunked', url)), sent);
  assert.deepEqual(JSON.parse(await curl(...post, '-H', 'Expect: 100-continue', url)), sent);
  assert.deepEqual(JSON.parse(await curl(...post, '--http1.0', url)), sent);
  assert.deepEqual(JSON.parse(await curl('--upload-file', path, url)), { ...sent, method: 'PUT' });
  const status = ['--output', '/dev/null', '--write-out', '%{http_code} %{num_connects} '];
  const both = await curl(...status, `${url}/empty`, '--next', '--silent', ...status, `${url}/empty`);
  assert.equal(both, '204 1 204 0 ', 'curl keeps its connection');
  assert.equal(door.pool.counters.handshakes, 1);
});

test("Node's agent keeps its connections, and requests at once have one session each", async (t) => {
  const door = await openDoor(t, { port: await echoOrigin(t), ca });
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  t.after(() => agent.destroy());
  const post = (body: string) =>
    new Promise<string>((resolve, reject) => {
      const sent = request({ agent, port: door.port, host: '127.0.0.1', method: 'POST' }, (response) => {
        readText(response).then(resolve, reject);
      });
      sent.on('error', reject).end(body);
    });
  const bodies = Array.from({ length: 200 }, (_, index) => 'x'.repeat(index * 37));
  const answers = await Promise.all(bodies.map(post));
  for (const [index, answer] of answers.entries()) {
    const wanted = createHash('sha256')
      .update(bodies[index] ?? '')
      .digest('hex');
    assert.equal((JSON.parse(answer) as { sha256: string }).sha256, wanted);
  }
  const { handshakes, resumptions } = door.pool.counters;
  assert.ok(handshakes + resumptions <= 4, 'no more sessions than connections');
  assert.equal(door.connections.size, 4);
});

async function readText(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += part;
  return text;
}
