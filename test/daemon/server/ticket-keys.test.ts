// Keys of session tickets: real handshakes of clients that come back with tickets, over rotations and new contexts.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import tls, { type SecureContext, type SecureVersion } from 'node:tls';
import { inspect } from 'node:util';
import { listen } from '#helpers/listen.js';
import { TicketKeyRing } from '#src/daemon/server/ticket-keys.js';
import { clientA, clientB } from '../../wrapper/context-fixtures.js';

const VERSIONS: readonly SecureVersion[] = ['TLSv1.2', 'TLSv1.3'];

/** Node's server, whose context the daemon reaches as this test does. */
type Insides = tls.Server & { _sharedCreds: SecureContext };

interface TestServer {
  server: Insides;
  /** A client connects, with the ticket of an earlier visit if it has one. */
  visit(ticket?: Buffer, servername?: string): Promise<{ resumed: boolean; ticket: Buffer | undefined }>;
}

async function serve(
  t: TestContext,
  version: SecureVersion,
  ring?: TicketKeyRing,
  options: tls.TlsOptions = {},
): Promise<TestServer> {
  const server = tls.createServer({
    ...{ cert: clientA.cert, key: clientA.key, minVersion: version, maxVersion: version },
    ...{ sessionIdContext: 'group', ...options },
  }) as Insides;
  assert.equal(ring?.apply(server._sharedCreds) ?? true, true);
  server.on('secureConnection', (socket) => socket.on('error', () => undefined).end('bye'));
  const port = await listen(server);
  t.after(() => server.close());
  return {
    server,
    async visit(session, servername) {
      const client = tls.connect({ port, rejectUnauthorized: false, session, servername });
      let ticket: Buffer | undefined;
      client.on('session', (issued: Buffer) => {
        ticket = issued;
      });
      await once(client, 'secureConnect');
      const resumed = client.isSessionReused();
      client.resume();
      await once(client, 'end');
      // With TLS 1.2 a renewed ticket is no event of its own.
      if (version === 'TLSv1.2') ticket = client.getSession();
      client.destroy();
      return { resumed, ticket };
    },
  };
}

function makeRing(t: TestContext, options?: ConstructorParameters<typeof TicketKeyRing>[0]): TicketKeyRing {
  const ring = new TicketKeyRing(options);
  t.after(() => ring.stop());
  return ring;
}

for (const version of VERSIONS) {
  describe(`session tickets with ${version}`, () => {
    test('of the two keys before the newest are accepted, older ones are not', async (t) => {
      const ring = makeRing(t);
      const { visit } = await serve(t, version, ring);
      const first = await visit();
      assert.equal(first.resumed, false);
      assert.equal((await visit(first.ticket)).resumed, true);
      for (const expected of [true, true, false, false]) {
        ring.rotate();
        assert.equal((await visit(first.ticket)).resumed, expected);
      }
      const again = await visit(first.ticket);
      assert.equal((await visit(again.ticket)).resumed, true, 'and a refused one is replaced');
    });

    test('of an older key are renewed with the newest', async (t) => {
      const ring = makeRing(t);
      const { visit } = await serve(t, version, ring);
      const first = await visit();
      ring.rotate();
      const second = await visitUntilRenewed(visit, first.ticket);
      ring.rotate();
      ring.rotate();
      assert.equal((await visit(first.ticket)).resumed, false);
      assert.equal((await visit(second)).resumed, true);
    });

    test('are good for a new context with another certificate (setSecureContext)', async (t) => {
      const ring = makeRing(t);
      const { server, visit } = await serve(t, version, ring);
      const first = await visit();
      const options = { cert: clientB.cert, key: clientB.key, minVersion: version, maxVersion: version };
      server.setSecureContext({ ...options, sessionIdContext: 'group' });
      ring.apply(server._sharedCreds);
      assert.equal((await visit(first.ticket)).resumed, true);
      ring.rotate();
      assert.equal((await visit(first.ticket)).resumed, true);
      server.setSecureContext({ ...options, sessionIdContext: 'another group' });
      ring.apply(server._sharedCreds);
      assert.equal((await visit(first.ticket)).resumed, false);
    });

    test('are good for every name of the server (SNI), whose contexts have nothing to do with them', async (t) => {
      const ring = makeRing(t);
      const { server, visit } = await serve(t, version, ring);
      server.addContext('b.example', tls.createSecureContext({ cert: clientB.cert, key: clientB.key }));
      const first = await visit(undefined, 'b.example');
      ring.rotate();
      assert.equal((await visit(first.ticket, 'b.example')).resumed, true);
    });

    test('of another ring are refused', async (t) => {
      const first = await serve(t, version, makeRing(t));
      const second = await serve(t, version, makeRing(t));
      const { ticket } = await first.visit();
      assert.equal((await first.visit(ticket)).resumed, true);
      assert.equal((await second.visit(ticket)).resumed, false);
    });

    test('with keys of the application are those of node:tls, and rotation is off', async (t) => {
      const ticketKeys = Buffer.alloc(48, 'k');
      const ring = makeRing(t);
      const { visit } = await serve(t, version, ring);
      const nodes = await serve(t, version, undefined, { ticketKeys });
      const before = await visit();
      ring.useFixed(ticketKeys);
      assert.equal((await visit(before.ticket)).resumed, false);
      const fixed = await visit();
      for (let rotations = 0; rotations < 4; rotations++) ring.rotate();
      assert.equal((await visit(fixed.ticket)).resumed, true);
      assert.equal((await nodes.visit(fixed.ticket)).resumed, true);
      assert.equal((await visit((await nodes.visit()).ticket)).resumed, true);
      ring.useFixed(Buffer.alloc(48, 'l'));
      assert.equal((await visit(fixed.ticket)).resumed, false);
    });

    test('that were changed on their way are refused, with a handshake in full', async (t) => {
      const ring = makeRing(t);
      const { visit } = await serve(t, version, ring);
      const name = 'name of the key!';
      ring.useFixed(Buffer.from(name.padEnd(48, 'k')));
      const { ticket = Buffer.alloc(0) } = await visit();
      const start = ticket.indexOf(name);
      assert.notEqual(start, -1);
      for (const offset of [0, 15, 16, 31, 32, 40, 60]) {
        const changed = Buffer.from(ticket);
        changed.writeUInt8(changed.readUInt8(start + offset) ^ 1, start + offset);
        assert.equal((await visit(changed)).resumed, false, `byte ${offset}`);
      }
      assert.equal((await visit(ticket)).resumed, true);
    });

    test('where Node cannot ask for keys: one key, and a rotation ends its tickets', async (t) => {
      const ring = makeRing(t);
      const { server, visit } = await serve(t, version);
      const { context } = server._sharedCreds as { context: object };
      Object.defineProperty(context, 'enableTicketKeyCallback', { value: undefined });
      assert.equal(ring.apply(server._sharedCreds), false);
      const first = await visit();
      assert.equal((await visit(first.ticket)).resumed, true);
      ring.rotate();
      assert.equal((await visit(first.ticket)).resumed, false);
      ring.useFixed(Buffer.alloc(48, 'k'));
      const fixed = await visit();
      ring.rotate();
      assert.equal((await visit(fixed.ticket)).resumed, true);
    });
  });
}

/** A ticket of an older key that was accepted leads to a new one. */
async function visitUntilRenewed(visit: TestServer['visit'], ticket: Buffer | undefined): Promise<Buffer> {
  const { resumed, ticket: renewed } = await visit(ticket);
  assert.equal(resumed, true);
  assert.ok(renewed !== undefined && ticket !== undefined && !renewed.equals(ticket));
  return renewed;
}

describe('the ring', () => {
  test('rotates by itself, until it is stopped', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const ring = makeRing(t, { rotateEveryMs: 1000, keep: 1 });
    const { visit } = await serve(t, 'TLSv1.2', ring);
    const { ticket } = await visit();
    for (const [passedMs, expected] of [
      [999, true],
      [1000, true],
      [1, false],
    ] as const) {
      t.mock.timers.tick(passedMs);
      assert.equal((await visit(ticket)).resumed, expected);
    }
    ring.stop();
    const later = await visit();
    t.mock.timers.tick(5000);
    assert.equal((await visit(later.ticket)).resumed, true);
  });

  test('rotates every 12 hours by default', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const { visit } = await serve(t, 'TLSv1.2', makeRing(t, { keep: 0 }));
    const { ticket } = await visit();
    t.mock.timers.tick(12 * 60 * 60 * 1000 - 1);
    assert.equal((await visit(ticket)).resumed, true);
    t.mock.timers.tick(1);
    assert.equal((await visit(ticket)).resumed, false);
  });

  test('does not keep its process alive', () => {
    const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const ring = new TicketKeyRing({ rotateEveryMs: 1000 });
    assert.equal(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length, before);
    ring.stop();
  });

  test('takes keys of 48 bytes only', (t) => {
    for (const length of [0, 47, 49]) {
      assert.throws(() => makeRing(t).useFixed(Buffer.alloc(length)), { code: 'ERR_TLSHUB_INVALID_CALL' });
    }
  });

  test('copies the keys that it is given', async (t) => {
    const ring = makeRing(t);
    const { visit } = await serve(t, 'TLSv1.3', ring);
    const keys = Buffer.alloc(48, 'k');
    ring.useFixed(keys);
    const { ticket } = await visit();
    keys.fill(0);
    assert.equal((await visit(ticket)).resumed, true);
  });

  test('P13: shows no key', (t) => {
    const ring = makeRing(t);
    ring.useFixed(Buffer.alloc(48, 'k'));
    const context = tls.createSecureContext();
    ring.apply(context);
    const shown = inspect([ring, context], { showHidden: true, depth: null, getters: true });
    assert.doesNotMatch(shown, /Buffer|6b6b|kkkk|a2tr/);
    assert.equal(JSON.stringify(ring), '{}');
  });
});
