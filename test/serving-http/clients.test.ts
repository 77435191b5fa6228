// Served HTTP as real clients meet it: curl, undici, node:http2 and ws, on servers of tlshub/https and tlshub/http2,
// bare and under express and fastify.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Server as HttpServer } from 'node:http';
import { connect, constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import tls from 'node:tls';
import express from 'express';
import fastify from 'fastify';
import { Agent, request } from 'undici';
import { WebSocket, WebSocketServer } from 'ws';
import { spawnProcess } from '#helpers/run-node.js';
import type { Scope } from '#helpers/scope.js';
import { tempDir } from '#helpers/temp-dir.js';
import { waitFor, within } from '#helpers/wait-for.js';
import http2 from '#src/http2.js';
import https from '#src/https.js';
import { listening, serving, WAYS } from './serving.ts';

const prepared = serving();

/** Runs curl, which knows the test's root, and answers what it printed. */
async function curl(scope: Scope, args: readonly string[]): Promise<string> {
  const ca = join(tempDir(scope), 'ca.pem');
  writeFileSync(ca, prepared.ca);
  const result = await spawnProcess('curl', ['-sS', '--cacert', ca, ...args], {}).result;
  assert.equal(result.code, 0, result.stderr);
  return result.stdout;
}

/** An agent of undici that knows the test's root. */
function undiciAgent(scope: Scope, options: Agent.Options = {}): Agent {
  const agent = new Agent({ connect: { ca: prepared.ca }, ...options });
  scope.after(() => agent.destroy());
  return agent;
}

for (const [way, shared] of Object.entries(WAYS) as [string, boolean][]) {
  describe(`tlshub/https, ${way}`, () => {
    test('curl: two requests on one connection, and a megabyte up and down', async (t) => {
      const server = https.createServer({ ...prepared.leaf, shared }, (req, res) => {
        req.pipe(res.setHeader('Content-Type', 'text/plain'));
      });
      const port = await listening(t, server);
      const file = join(tempDir(t), 'body');
      writeFileSync(file, 'x'.repeat(1_000_000));
      const url = `https://localhost:${port}/`;
      const [first, second] = ['-w', '%{num_connects} %{http_version} %{size_download}\n'];
      const args = ['--http1.1', '--data-binary', `@${file}`, first ?? '', second ?? '', '-o', '/dev/null'];
      assert.equal(await curl(t, [...args, url, '-o', '/dev/null', url]), '1 1.1 1000000\n0 1.1 1000000\n');
    });

    test('undici: many requests at once over few connections', async (t) => {
      const connections = new Set<unknown>();
      const server = https.createServer({ ...prepared.leaf, shared }, (req, res) => {
        connections.add(req.socket);
        res.end(req.url);
      });
      const port = await listening(t, server);
      const dispatcher = undiciAgent(t, { connections: 4, pipelining: 4 });
      const answers = await Promise.all(
        Array.from({ length: 200 }, async (_none, index) => {
          const { body } = await request(`https://localhost:${port}/${index}`, { dispatcher });
          return body.text();
        }),
      );
      assert.deepEqual(
        answers,
        Array.from({ length: 200 }, (_none, index) => `/${index}`),
      );
      assert.ok(connections.size <= 4);
    });

    test('ws: messages of a megabyte, pings, and the end with its code', async (t) => {
      const server = https.createServer({ ...prepared.leaf, shared });
      const port = await listening(t, server);
      const sockets = new WebSocketServer({ server, maxPayload: 4_000_000 });
      const codes: number[] = [];
      sockets.on('connection', (socket) => {
        socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
        socket.on('close', (code) => codes.push(code));
      });
      const client = new WebSocket(`wss://localhost:${port}/`, { ca: prepared.ca, maxPayload: 4_000_000 });
      await within(once(client, 'open'), { what: 'open' });
      for (const size of [0, 1, 65_536, 1_000_000, 1_000_000]) {
        const message = randomBytes(size);
        client.send(message);
        const [answer] = await within(once(client, 'message'), { what: `the echo of ${size}` });
        assert.ok(message.equals(answer as Buffer), `${size} bytes came back changed`);
      }
      client.ping('are you there');
      const [pong] = await within(once(client, 'pong'), { what: 'pong' });
      assert.equal(String(pong), 'are you there');
      client.close(4000, 'enough');
      const [code, reason] = await within(once(client, 'close'), { what: 'close' });
      assert.deepEqual([code, String(reason)], [4000, 'enough']);
      await waitFor(() => codes[0] === 4000, { what: 'the code at the server' });
    });

    test('express: routes, a body, and what it knows of the connection', async (t) => {
      const app = express();
      app.use(express.json({ limit: '2mb' }));
      app.post('/sum', (req, res) => {
        const numbers = req.body as number[];
        res.json({ sum: numbers.reduce((sum, number) => sum + number, 0), secure: req.secure, ip: req.ip });
      });
      app.get('/broken', () => {
        throw new Error('broken');
      });
      app.use((error: Error, _req: express.Request, res: express.Response, _next: express.NextFunction) => {
        res.status(500).send(error.message);
      });
      const port = await listening(t, https.createServer({ ...prepared.leaf, shared }, app));
      const dispatcher = undiciAgent(t);
      const origin = `https://127.0.0.1:${port}`;
      const numbers = JSON.stringify(Array.from({ length: 100_000 }, (_none, index) => index));
      const headers = { 'content-type': 'application/json' };
      const sum = await request(`${origin}/sum`, { dispatcher, method: 'POST', headers, body: numbers });
      assert.deepEqual(await sum.body.json(), { sum: 4_999_950_000, secure: true, ip: '127.0.0.1' });
      const broken = await request(`${origin}/broken`, { dispatcher });
      assert.deepEqual([broken.statusCode, await broken.body.text()], [500, 'broken']);
    });

    test('fastify by serverFactory: routes, a stream, and its close', async (t) => {
      const app = fastify({
        serverFactory: (handler) =>
          https.createServer({ ...prepared.leaf, shared }, handler) as unknown as HttpServer,
      });
      app.get('/who/:name', async (req) => ({
        name: (req.params as { name: string }).name,
        by: req.protocol,
      }));
      app.post('/hash', async (req) => ({
        hash: createHash('sha256')
          .update(req.body as string)
          .digest('hex'),
      }));
      const address = await app.listen({ port: 0, host: '127.0.0.1' });
      t.after(() => app.close());
      const origin = address.replace(/^http:/, 'https:');
      const dispatcher = undiciAgent(t);
      const who = await request(`${origin}/who/me`, { dispatcher });
      assert.deepEqual(await who.body.json(), { name: 'me', by: 'https' });
      const body = 'x'.repeat(1_000_000);
      const headers = { 'content-type': 'text/plain' };
      const hash = await request(`${origin}/hash`, { dispatcher, method: 'POST', headers, body });
      assert.deepEqual(await hash.body.json(), { hash: createHash('sha256').update(body).digest('hex') });
      await within(app.close(), { what: 'the close of fastify' });
      assert.equal(app.server.listening, false);
    });
  });
}

const HTTP2_WAYS = { 'in the process': false, shared: true } as const;

for (const [way, shared] of Object.entries(HTTP2_WAYS) as [string, boolean][]) {
  describe(`tlshub/http2, ${way}`, () => {
    test('what a session and a request know of their connection', async (t) => {
      const server = http2.createSecureServer({
        ...prepared.leaf,
        shared,
        requestCert: true,
        ca: prepared.ca,
      });
      const seen: unknown[] = [];
      server.on('session', (session) => {
        session.once('localSettings', () => {
          seen.push([session.encrypted, session.alpnProtocol, session.type, session.connecting]);
        });
      });
      server.on('request', (req, res) => {
        const { socket } = req;
        const certificate = (socket as tls.TLSSocket).getPeerCertificate();
        const { encrypted, authorized, remoteAddress } = socket as tls.TLSSocket;
        res.end(
          JSON.stringify([encrypted, authorized, remoteAddress, certificate.subject.CN, req.httpVersion]),
        );
      });
      const port = await listening(t, server);
      const client = connect(`https://localhost:${port}`, { ca: prepared.ca, ...prepared.client });
      t.after(() => client.close());
      let text = '';
      for await (const chunk of client.request({ ':path': '/' })) text += String(chunk);
      assert.deepEqual(JSON.parse(text), [true, true, '127.0.0.1', 'client', '2.0']);
      await waitFor(() => seen.length > 0, { what: 'the settings' });
      assert.deepEqual(seen, [[true, 'h2', 0, false]]);
      assert.equal(server.sharing?.shared, shared || undefined);
    });

    test('streams: a hundred at once, trailers, a megabyte both ways, a reset', async (t) => {
      const server = http2.createSecureServer({ ...prepared.leaf, shared });
      server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
        stream.on('error', () => {});
        if (headers[':path'] === '/reset') {
          stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
          return;
        }
        stream.respond({ ':status': 200 }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-path': String(headers[':path']) }));
        stream.pipe(stream);
      });
      const port = await listening(t, server);
      const client = connect(`https://localhost:${port}`, { ca: prepared.ca });
      t.after(() => client.close());
      const ask = async (path: string, body: Buffer): Promise<[Buffer, unknown]> => {
        const stream = client.request({ ':path': path, ':method': 'POST' });
        let trailers: unknown;
        stream.on('trailers', (given) => {
          trailers = given['x-path'];
        });
        stream.end(body);
        const parts: Buffer[] = [];
        for await (const chunk of stream) parts.push(chunk as Buffer);
        return [Buffer.concat(parts), trailers];
      };
      const bodies = Array.from({ length: 100 }, () => randomBytes(10_000));
      const answers = await Promise.all(bodies.map((body, index) => ask(`/${index}`, body)));
      for (const [index, [body, path]] of answers.entries()) {
        assert.ok(bodies[index]?.equals(body), `stream ${index} came back changed`);
        assert.equal(path, `/${index}`);
      }
      const megabyte = randomBytes(1_000_000);
      assert.ok((await ask('/megabyte', megabyte))[0].equals(megabyte));
      const reset = client.request({ ':path': '/reset' });
      const [error] = (await within(once(reset, 'error'), { what: 'the reset' })) as [NodeJS.ErrnoException];
      assert.match(error.message, /NGHTTP2_ENHANCE_YOUR_CALM/);
    });

    test('allowHTTP1: curl by either protocol; without it HTTP/1.1 is told so', async (t) => {
      const answer = (req: { httpVersion: string }, res: { end(text: string): void }) =>
        res.end(req.httpVersion);
      const both = http2.createSecureServer({ ...prepared.leaf, shared, allowHTTP1: true }, answer as never);
      const url = `https://localhost:${await listening(t, both)}/`;
      assert.equal(await curl(t, ['--http2', url]), '2.0');
      assert.equal(await curl(t, ['--http1.1', url]), '1.1');
      const dispatcher = undiciAgent(t, { allowH2: true });
      assert.equal(await (await request(url, { dispatcher })).body.text(), '2.0');
      const only = http2.createSecureServer({ ...prepared.leaf, shared }, answer as never);
      const old = tls.connect({ port: await listening(t, only), host: '127.0.0.1', ca: prepared.ca });
      t.after(() => void old.destroy());
      old.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
      let text = '';
      for await (const chunk of old) text += String(chunk);
      assert.match(text, /^HTTP\/1\.0 403 Forbidden/);
    });

    test('close of the server: a session ends by GOAWAY when its streams are done', async (t) => {
      const server = http2.createSecureServer(
        { ...prepared.leaf, shared },
        (_req, res) => void res.end('ok'),
      );
      const port = await listening(t, server);
      const client = connect(`https://localhost:${port}`, { ca: prepared.ca });
      for await (const _chunk of client.request({ ':path': '/' }));
      const goaway = within(once(client, 'close'), { what: 'the end of the session' });
      const closed = within(once(server, 'close'), { what: 'close' });
      server.close();
      client.close();
      await Promise.all([goaway, closed]);
      assert.equal(server.listening, false);
    });
  });
}

test('HTTP/2 cannot be continued by another process: `survive: true` is an error', () => {
  assert.throws(() => http2.createSecureServer({ ...prepared.leaf, shared: { survive: true } }), {
    code: 'ERR_TLSHUB_INVALID_OPTION',
  });
});

test('P3: `shared: false`, or nothing, gives the servers of Node', async () => {
  const { default: nodeHttps } = await import('node:https');
  for (const server of [
    https.createServer(prepared.leaf),
    new https.Server({ ...prepared.leaf, shared: false }),
  ]) {
    assert.deepEqual(
      Object.getOwnPropertyNames(server).sort(),
      Object.getOwnPropertyNames(nodeHttps.createServer(prepared.leaf)).sort(),
    );
    assert.ok(server instanceof nodeHttps.Server && server instanceof https.Server);
  }
});
