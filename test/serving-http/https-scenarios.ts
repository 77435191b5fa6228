// What a server of node:https is put through, to be compared between TLS in the process and shared: each scenario
// serves, lets a client speak, and answers what both sides saw.
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import net, { type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Scope } from '#helpers/scope.js';
import { waitFor, within } from '#helpers/wait-for.js';
import type { ShareableHttpsOptions, ShareableHttpsServer } from '#src/https.js';
import type { Pair } from './serving.ts';
import { settled, type TextClient } from './serving.ts';

/** What a scenario works with. */
export interface Stage {
  readonly scope: Scope;
  readonly client: Pair;
  readonly ca: string;
  /** Makes the server and listens. */
  serve(
    options: ShareableHttpsOptions,
    listener?: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<ShareableHttpsServer>;
  connect(server: ShareableHttpsServer, options?: object): Promise<TextClient>;
}

type Scenario = (stage: Stage) => Promise<unknown>;

const GET = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';
const get = (path: string) => GET.replace('/', path);

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  return body;
}

/** Every scenario, by what it is about. */
export const scenarios: Readonly<Record<string, Scenario>> = {
  'two requests of one connection': async ({ serve, connect }) => {
    const sockets = new Set<Socket>();
    const server = await serve({}, (request, response) => {
      sockets.add(request.socket);
      response.end(`you asked ${request.url}`);
    });
    const client = await connect(server);
    client.write(get('/one'));
    await client.until(/asked \/one/);
    client.write(get('/two'));
    await client.until(/asked \/two/);
    return { text: settled(client.text), sockets: sockets.size };
  },

  'what a request knows of its connection': async ({ serve, connect, client: pair, ca }) => {
    const seen: unknown[] = [];
    const server = await serve({ requestCert: true, ca }, (request, response) => {
      const socket = request.socket as TLSSocket & { servername: unknown; server: unknown };
      seen.push({
        encrypted: socket.encrypted,
        authorized: socket.authorized,
        authorizationError: socket.authorizationError,
        subject: socket.getPeerCertificate().subject?.CN,
        x509: socket.getPeerX509Certificate()?.fingerprint256,
        cipher: socket.getCipher(),
        protocol: socket.getProtocol(),
        alpn: socket.alpnProtocol,
        servername: socket.servername,
        remote: [socket.remoteAddress, socket.remoteFamily, typeof socket.remotePort],
        local: [socket.localAddress, socket.localPort],
        isServers: socket.server === server,
        type: [socket instanceof net.Socket, request.socket === response.socket],
        read: socket.bytesRead > 0,
        states: [socket.readable, socket.writable, socket.connecting, socket.destroyed, socket.readyState],
      });
      response.end('seen');
    });
    const client = await connect(server, { ...pair });
    client.write(GET);
    await client.until(/seen/);
    const { port } = server.address() as { port: number };
    return JSON.parse(JSON.stringify(seen).replaceAll(String(port), '"port"'));
  },

  'pipelined requests are answered in their order': async ({ serve, connect }) => {
    const waiting: (() => void)[] = [];
    const server = await serve({}, (request, response) => {
      waiting.push(() => response.end(`answer to ${request.url}`));
      if (waiting.length === 3) for (const answer of waiting.reverse()) answer();
    });
    const client = await connect(server);
    client.write(get('/1') + get('/2') + get('/3'));
    await client.until(/answer to \/3/);
    return settled(client.text);
  },

  'a body in chunks with trailers, and trailers in the answer': async ({ serve, connect }) => {
    const server = await serve({}, async (request, response) => {
      const body = await bodyOf(request);
      response.writeHead(200, { Trailer: 'X-Length' });
      response.write(JSON.stringify([body, request.trailers]));
      response.addTrailers({ 'X-Length': String(body.length) });
      response.end();
    });
    const client = await connect(server);
    client.write(
      'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n',
    );
    client.write('5\r\nhello\r\n');
    client.write('6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n');
    await client.until(/X-Length: 11/);
    return settled(client.text);
  },

  'megabytes both ways': async ({ serve, connect }) => {
    const server = await serve({}, async (request, response) => {
      const body = await bodyOf(request);
      response.end(body.toUpperCase());
    });
    const client = await connect(server);
    const body = 'abcdefghij'.repeat(300_000);
    client.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await waitFor(() => client.text.length > body.length, { what: 'the body' });
    await waitFor(() => client.text.endsWith(body.slice(-1000).toUpperCase()), {
      what: 'the end of the body',
    });
    return client.text.endsWith(`\r\n\r\n${body.toUpperCase()}`);
  },

  'Expect: 100-continue, without and with a listener': async ({ serve, connect }) => {
    const post = 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n';
    const server = await serve({}, async (request, response) => response.end(await bodyOf(request)));
    const client = await connect(server);
    client.write(post);
    await client.until(/100 Continue/);
    client.write('ab');
    await client.until(/ab$/);
    server.on('checkContinue', (_request: IncomingMessage, response: ServerResponse) => {
      response.writeHead(417, { 'X-Own': 'yes' }).end('no');
    });
    const other = await connect(server);
    other.write(post);
    return [settled(client.text), await other.over(), settled(other.text)];
  },

  'an upgraded connection belongs to its listener': async ({ serve, connect }) => {
    const seen: unknown[] = [];
    const server = await serve({});
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      seen.push([request.headers.upgrade, head.toString(), socket === request.socket]);
      socket.on('error', () => {});
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      socket.on('data', (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()));
      socket.on('end', () => socket.end('bye'));
    });
    const client = await connect(server);
    client.write('GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst');
    await client.until(/101 Switching/);
    client.write('second');
    await client.until(/SECOND/);
    client.socket.end();
    await client.over();
    return [client.text, seen];
  },

  'CONNECT, and an upgrade that nobody wants': async ({ serve, connect }) => {
    const server = await serve({}, (_request, response) => response.end('plain'));
    const client = await connect(server);
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    await client.until(/plain/);
    const unwanted = await connect(server);
    unwanted.write('CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n');
    const ended = await unwanted.over();
    server.on('connect', (request: IncomingMessage, socket: Socket) =>
      socket.end(`HTTP/1.1 200 ${request.url}\r\n\r\n`),
    );
    const tunnel = await connect(server);
    tunnel.write('CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n');
    return [settled(client.text), ended, await tunnel.over(), tunnel.text];
  },

  'a request that is none, without and with a listener for clientError': async ({ serve, connect }) => {
    const server = await serve({}, (_request, response) => response.end());
    const client = await connect(server);
    client.write('this is no request\r\n\r\n');
    const first = [await client.over(), client.text];
    const seen: unknown[] = [];
    server.on('clientError', (error: NodeJS.ErrnoException & { bytesParsed?: number }, socket: Socket) => {
      seen.push([error.code, error.message, error.bytesParsed, socket.writable]);
      socket.end('HTTP/1.1 400 Mine\r\n\r\n');
    });
    const other = await connect(server);
    other.write(`${GET}nonsense\r\n\r\n`);
    return [first, await other.over(), settled(other.text), seen];
  },

  'headers that are too many': async ({ serve, connect }) => {
    const server = await serve({ maxHeaderSize: 1000 }, (_request, response) => response.end());
    const client = await connect(server);
    client.write(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(2000)}\r\n\r\n`);
    return [await client.over(), client.text];
  },

  'a client without TLS': async ({ serve, connect }) => {
    const server = await serve({}, (_request, response) => response.end());
    const seen: unknown[] = [];
    server.on('tlsClientError', (error: NodeJS.ErrnoException) => seen.push(error.code));
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      seen.push(['clientError', error.code, socket.writable]);
      socket.destroy();
    });
    await connect(server);
    const { port } = server.address() as { port: number };
    const plain = net.connect(port, '127.0.0.1').on('error', () => {});
    plain.write(GET);
    await within(once(plain, 'close'), { what: 'the end' });
    await waitFor(() => seen.length === 2, { what: 'both events' });
    return seen;
  },

  'keepAliveTimeout closes an idle connection': async ({ serve, connect }) => {
    const server = await serve({ keepAliveTimeout: 50 }, (_request, response) => response.end('ok'));
    Object.assign(server, { keepAliveTimeoutBuffer: 0 });
    const client = await connect(server);
    client.write(GET);
    return [await client.over(), settled(client.text)];
  },

  'headersTimeout and requestTimeout': async ({ serve, connect }) => {
    const limits = { headersTimeout: 100, requestTimeout: 200, connectionsCheckingInterval: 20 };
    const server = await serve(limits, (_request, response) => response.end('ok'));
    const silent = await connect(server);
    const half = await connect(server);
    half.write('GET / HTTP/1.1\r\nHost: ');
    const body = await connect(server);
    body.write('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab');
    const ends = [await silent.over(), await half.over(), await body.over()];
    return [ends, silent.text, half.text, settled(body.text)];
  },

  'a socket timeout, by response.setTimeout and by server.timeout': async ({ serve, connect }) => {
    const seen: string[] = [];
    const server = await serve({}, (request, response) => {
      if (request.url === '/own') response.setTimeout(30, () => response.end('timed out'));
    });
    const client = await connect(server);
    client.write(get('/own'));
    await client.until(/timed out/);
    server.setTimeout(30, (socket) => {
      seen.push('timeout');
      socket.destroy();
    });
    const other = await connect(server);
    other.write(get('/never'));
    await other.over();
    return [settled(client.text), other.text, seen];
  },

  'server.close ends idle connections and waits for busy ones': async ({ serve, connect }) => {
    let answer: (() => void) | undefined;
    const server = await serve({}, (request, response) => {
      if (request.url === '/slow') answer = () => response.end('slow');
      else response.end('fast');
    });
    const idle = await connect(server);
    idle.write(get('/fast'));
    await idle.until(/fast/);
    const busy = await connect(server);
    busy.write('GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    const answerOf = await waitFor(() => answer, { what: 'the request' });
    let closed = false;
    server.close(() => {
      closed = true;
    });
    const idleEnd = await idle.over();
    const before = [closed, server.listening, server.address()];
    answerOf();
    const busyEnd = await busy.over();
    await waitFor(() => closed, { what: 'close' });
    return [idleEnd, before, busyEnd, settled(busy.text)];
  },

  'closeIdleConnections and closeAllConnections': async ({ serve, connect }) => {
    const events: string[] = [];
    const server = await serve({}, (request, response) => {
      if (request.url === '/fast') {
        response.end('fast');
        return;
      }
      request.on('error', (error: NodeJS.ErrnoException) => events.push(`request error ${error.code}`));
      request.on('close', () => events.push('request close'));
      response.on('close', () => events.push(`response close ${response.writableFinished}`));
      response.write('begun');
    });
    const idle = await connect(server);
    idle.write(get('/fast'));
    await idle.until(/fast/);
    const busy = await connect(server);
    busy.write(get('/slow'));
    await busy.until(/begun/);
    server.closeIdleConnections();
    await idle.over();
    const spared = busy.ended;
    server.closeAllConnections();
    await busy.over();
    await waitFor(() => events.length >= 2, { what: 'the events of the request' });
    return { spared, events: events.sort() };
  },

  'a client that goes away in the middle of a request': async ({ serve, connect }) => {
    const events: string[] = [];
    const server = await serve({}, (request, response) => {
      request.on('data', () => {});
      request.on('aborted', () => events.push('aborted'));
      request.on('error', (error: NodeJS.ErrnoException) =>
        events.push(`error ${error.code} ${error.message}`),
      );
      request.on('close', () => events.push(`close ${request.complete}`));
      response.on('close', () => events.push('response close'));
    });
    const client = await connect(server);
    client.write('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nab');
    const socket = (await within(once(server, 'request'), { what: 'the request' }))[0].socket as Socket;
    client.socket.destroy();
    await waitFor(() => socket.destroyed && events.length >= 4, { what: () => `the events; ${events}` });
    return events;
  },

  'a client that ends its side behind its request': async ({ serve, connect }) => {
    const events: string[] = [];
    const server = await serve({}, (request, response) => {
      request.on('aborted', () => events.push('aborted'));
      response.end('an answer');
    });
    const client = await connect(server);
    client.socket.end(GET);
    return [await client.over(), settled(client.text), events];
  },

  'HTTP/1.0, Connection: close, and one request for a connection': async ({ serve, connect }) => {
    const server = await serve({}, (request, response) => response.end(request.httpVersion));
    const old = await connect(server);
    old.write('GET / HTTP/1.0\r\n\r\n');
    const close = await connect(server);
    close.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    const ends = [await old.over(), settled(old.text), await close.over(), settled(close.text)];
    server.maxRequestsPerSocket = 1;
    const dropped: unknown[] = [];
    server.on('dropRequest', (request: IncomingMessage) => dropped.push(request.url));
    const client = await connect(server);
    client.write(get('/1') + get('/2'));
    await client.until(/503 Service/);
    return [ends, settled(client.text), dropped];
  },

  "early hints, and headers of one's own": async ({ serve, connect }) => {
    const server = await serve({}, (_request, response) => {
      response.writeEarlyHints({ link: '</a.css>; rel=preload' });
      response.setHeader('Set-Cookie', ['a=1', 'b=2']);
      response.statusMessage = 'Fine';
      response.end('body');
    });
    const client = await connect(server);
    client.write(GET);
    await client.until(/body/);
    return settled(client.text);
  },

  'a slow reader holds the response back': async ({ serve, connect }) => {
    let drained = false;
    const chunk = 'x'.repeat(64 * 1024);
    const server = await serve({}, async (_request, response) => {
      for (let sent = 0; sent < 64; sent++) {
        if (!response.write(chunk)) await once(response, 'drain');
        drained ||= response.writableNeedDrain === false;
      }
      response.end('last');
    });
    const client = await connect(server);
    client.socket.pause();
    client.write(GET);
    await waitFor(() => client.socket.isPaused(), { what: 'the pause' });
    client.socket.resume();
    await client.until(/last/);
    return [drained, client.text.split('x').length - 1];
  },
};
