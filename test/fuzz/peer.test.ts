// P14 from the other side: peers that send garbage, alerts or their end at a moment at which nobody expects it. The
// application sees what node:tls shows of the same peer, and the daemon goes on.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  createServer as createTlsServer,
  type SecureVersion,
  TLSSocket,
} from 'node:tls';
import { listen } from '#helpers/listen.js';
import { startProxy } from '#helpers/proxy.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import { type Arena, codeIn, makeArena } from './arena.ts';
import { leaseCall, type Message, openLane, putCa, sessionKey } from './wire-client.ts';

/** What is sent right behind a flight of the server's handshake, in the same segment. */
const TAILS: Readonly<Record<string, Buffer | 'end'>> = {
  'a record that cannot be decrypted': Buffer.from(`1703030020${'ab'.repeat(32)}`, 'hex'),
  'an alert in plain text': Buffer.from('15030300020228', 'hex'),
  'a record of an unknown type': Buffer.from('63030300020101', 'hex'),
  'a record that is too long': Buffer.from('170303ffff', 'hex'),
  HTTP: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
  'the beginning of a record, and the end': Buffer.from('1703030020abab', 'hex'),
  'the end': 'end',
};

/** In which of its flights the server has sent all that a client needs to be done with the handshake. */
const LAST_FLIGHT = { 'TLSv1.2': 2, 'TLSv1.3': 1 } as const;

/** A server that puts the tail behind one of its flights. */
async function tamperedOrigin(
  t: TestContext,
  leaf: Certificate,
  version: keyof typeof LAST_FLIGHT,
  tail: Buffer | 'end',
): Promise<number> {
  const secureContext = createSecureContext({
    cert: leaf.cert,
    key: leaf.key,
    maxVersion: version,
    minVersion: version,
  });
  const server = createServer((socket) => {
    let flights = 0;
    let held: Buffer[] = [];
    const flush = () => {
      if (held.length === 0 || socket.destroyed) return;
      flights += 1;
      const isLast = flights === LAST_FLIGHT[version];
      const flight = Buffer.concat(isLast && tail !== 'end' ? [...held, tail] : held);
      held = [];
      if (isLast && (tail === 'end' || flight.subarray(-2).toString('hex') === 'abab')) socket.end(flight);
      else socket.write(flight);
    };
    const inner = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, callback) => {
        held.push(chunk);
        setImmediate(flush);
        callback();
      },
    });
    socket.on('data', (chunk) => inner.push(chunk));
    socket.on('error', () => undefined);
    const tls = new TLSSocket(inner as never, { isServer: true, secureContext });
    tls.on('error', () => undefined);
    t.after(() => {
      socket.destroy();
      tls.destroy();
    });
  });
  t.after(() => void server.close());
  return listen(server);
}

/** What an application sees; node:tls may emit `end` before an error or not, so it is looked at without one only. */
interface Outcome {
  opened: boolean;
  error: string | undefined;
  ended: boolean | undefined;
}

/** What an application of node:tls sees. */
async function seenDirectly(port: number, ca: string): Promise<Outcome> {
  const seen: Outcome = { opened: false, error: undefined, ended: false };
  const options: ConnectionOptions & { allowHalfOpen: true } = {
    port,
    ca,
    servername: 'localhost',
    allowHalfOpen: true,
  };
  const socket = connect({ ...options, host: '127.0.0.1' });
  let over = false;
  socket.on('secureConnect', () => {
    seen.opened = true;
  });
  socket.on('end', () => {
    seen.ended = true;
    // An error that belongs to this end comes with it.
    setImmediate(() => socket.destroy());
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    seen.error = error.code;
    // node:tls leaves a connection open after an error of the record layer, though no byte can pass it.
    socket.destroy();
  });
  socket.on('close', () => {
    over = true;
  });
  socket.resume();
  await waitFor(() => over, { what: 'the end of the direct connection' });
  return seen.error === undefined ? seen : { ...seen, ended: undefined };
}

/** What the daemon tells of the same. */
async function seenThroughDaemon(arena: Arena, port: number, ca: string): Promise<Outcome> {
  const link = await arena.link();
  await putCa(link, ca);
  const lane = await arena.open();
  lane.send(leaseCall(sessionKey(port, ca), link));
  const reply = await lane.message();
  if (reply.rc === -1) return { opened: false, error: codeIn(reply), ended: undefined };
  const end = await link.client.messageWith('event', 'lane-end');
  assert.equal((await lane.end()).length, 0);
  const error = codeIn(end);
  return { opened: true, error, ended: error === undefined ? end.rc === 0 : undefined };
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`P8/P14: what a peer sends right behind its handshake is what the application sees (${version})`, async (t) => {
    const arena = await makeArena(t);
    const ca = await createCa({ name: 'Tampered root' });
    const leaf = await ca.issue({ names: ['localhost'] });
    for (const [what, tail] of Object.entries(TAILS)) {
      const port = await tamperedOrigin(t, leaf, version, tail);
      const direct = await seenDirectly(port, ca.cert);
      assert.deepEqual(await seenThroughDaemon(arena, port, ca.cert), direct, what);
      assert.equal(direct.opened, true, `${what}: the handshake is done when it comes`);
    }
    await arena.undisturbed();
  });
}

test('P14: garbage in the middle of a stream ends its session, with the error of OpenSSL, and no other', async (t) => {
  const arena = await makeArena(t);
  const proxy = await startProxy(t, { targetPort: arena.origin.port });
  for (const garbage of [
    Buffer.from(`1703030020${'ab'.repeat(32)}`, 'hex'),
    Buffer.from('nonsense'),
    Buffer.alloc(100),
  ]) {
    const link = await arena.link();
    const { lane } = await openLane(
      t,
      arena.daemon.directory,
      leaseCall({ ...arena.key, port: proxy.port }, link),
    );
    lane.sendRaw('hello\n');
    assert.equal((await lane.bytes(9)).toString(), 'ok hello\n');
    proxy.connections.at(-1)?.injectToClient(garbage);
    const end = await link.client.messageWith('event', 'lane-end');
    assert.deepEqual([end.rc, end.bytes], [-1, 9]);
    assert.match(String(codeIn(end)), /^ERR_SSL_/);
    assert.equal((await lane.end()).length, 0);
    lane.socket.destroy();
  }
  await arena.undisturbed();
});

interface Stapled {
  port: number;
  ca: Authority;
}

/** A TLS 1.2 server that staples the same OCSP response to each handshake and echoes. */
async function staplingOrigin(t: TestContext): Promise<Stapled> {
  const ca = await createCa({ name: 'Stapling root' });
  const leaf = await ca.issue({ names: ['localhost'] });
  const sockets = new Set<TLSSocket>();
  const server = createTlsServer(
    { cert: leaf.cert, key: leaf.key, maxVersion: 'TLSv1.2' as SecureVersion },
    (socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.pipe(socket);
    },
  );
  server.on('OCSPRequest', (_certificate, _issuer, callback) => callback(null, Buffer.from('stapled')));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: await listen(server), ca };
}

test('P6: what a renegotiation brings is never mixed into the bytes of the lane', async (t) => {
  const arena = await makeArena(t);
  const { port, ca } = await staplingOrigin(t);
  const link = await arena.link();
  await putCa(link, ca.cert);
  const lane = await arena.open();
  lane.send(leaseCall(sessionKey(port, ca.cert, { requestOCSP: true }), link));
  const told: Message[] = [];
  let line = await lane.line();
  for (; line?.event === 'open'; line = await lane.line()) told.push(line);
  assert.equal(line?.rc, 1);
  assert.deepEqual(told.at(-1), {
    event: 'open',
    name: 'OCSPResponse',
    args: [Buffer.from('stapled').toString('base64')],
  });
  assert.equal((await link.call('renegotiate', { lane: 1 })).rc, 1);
  lane.sendRaw('after the renegotiation');
  assert.equal((await lane.bytes(23)).toString(), 'after the renegotiation');
  assert.equal(lane.pending.length, 0);
  const released = await link.call('release', { lane: 1, sent: 23, received: 23 });
  assert.deepEqual([released.pooled, released.reason], [false, 'its holder renegotiated']);
  await arena.undisturbed();
});
