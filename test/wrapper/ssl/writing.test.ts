// SSL_write and SSL_shutdown: how many bytes are taken, and how a side ends.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { pattern, patternPieces, patternSha256 } from '#helpers/pattern.js';
import { waitFor } from '#helpers/wait-for.js';
import { SSL_SHUTDOWN, type Ssl } from '#src/ssl.js';
import { inEveryWay, outcome, readExactly, setUpWays, untilPending } from './ways.ts';

setUpWays();

/** Writes until nothing more is taken within a while; answers the bytes that were. */
async function fill(ssl: Ssl): Promise<number> {
  for (let bytes = 0; ; ) {
    const rc = await ssl.write(pattern(bytes, 100_000), { wait: 60 });
    if (rc === -1) {
      assert.equal(outcome(ssl, rc), '-1 WANT_WRITE');
      return bytes;
    }
    assert.equal(rc, 100_000);
    bytes += rc;
    assert.ok(bytes < 100_000_000, 'a peer that reads nothing takes everything');
  }
}

describe('P6: write', () => {
  inEveryWay('answers the bytes of what it was given', async ({ origin, open }) => {
    const ssl = await open(await origin());
    assert.equal(await ssl.write('grün €\n'), 10);
    assert.equal(await readExactly(ssl, 13), 'ok gr\xc3\xbcn \xe2\x82\xac\n');
    assert.equal(await ssl.write(new Uint8Array([0x62, 0x0a])), 2);
    assert.equal(await readExactly(ssl, 5), 'ok b\n');
    await assert.rejects(ssl.write('never\n', { signal: AbortSignal.abort(new Error('enough')) }), /enough/);
    assert.equal(await ssl.write('c\n'), 2);
    assert.equal(await readExactly(ssl, 5), 'ok c\n');
    assert.equal(await ssl.write(''), 0);
    assert.equal(ssl.getError(0), 0);
    assert.equal(await ssl.write(Buffer.alloc(0)), 0);
  });

  inEveryWay('many bytes arrive whole and in order', async ({ origin, open }) => {
    const bytes = 3_000_000;
    const ssl = await open(await origin());
    await ssl.write(`take ${bytes}\n`);
    const taken = await Promise.all([...patternPieces(bytes, 100_000)].map((piece) => ssl.write(piece)));
    assert.deepEqual(new Set(taken), new Set([100_000]));
    assert.equal(await readExactly(ssl, 72), `sha256 ${patternSha256(bytes)}\n`);
  });

  inEveryWay('WANT_WRITE while the peer reads nothing, and again when it does', async ({ origin, open }) => {
    const server = await origin({ behaviour: { kind: 'silent' } });
    const ssl = await open(server);
    const filled = await fill(ssl);
    assert.equal(outcome(ssl, await ssl.write('x', { wait: 30 })), '-1 WANT_WRITE');
    assert.equal(outcome(ssl, await ssl.write('x', { wait: 0 })), '-1 WANT_WRITE');
    const abort = new AbortController();
    const waiting = ssl.write('x', { signal: abort.signal });
    abort.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
    assert.equal(outcome(ssl, await ssl.shutdown({ wait: 0 })), '-1 WANT_WRITE');
    const [peer] = server.sockets;
    assert.ok(peer !== undefined);
    let received = 0;
    peer.on('data', (chunk: Buffer) => {
      assert.ok(chunk.equals(pattern(received, chunk.length)));
      received += chunk.length;
    });
    assert.equal(await ssl.shutdown(), 0);
    await waitFor(() => peer.readableEnded, { what: 'the end' });
    assert.equal(received, filled, 'what was refused was not sent');
  });

  inEveryWay('a write that waits is taken when there is room', async ({ origin, open }) => {
    const server = await origin({ behaviour: { kind: 'silent' } });
    const ssl = await open(server);
    const filled = await fill(ssl);
    const waiting = [
      ssl.write('first', { wait: 10_000 }),
      ssl.write('second'),
      ssl.write('third', { wait: 10_000 }),
    ];
    const [peer] = server.sockets;
    let received = 0;
    let tail = '';
    peer?.on('data', (chunk: Buffer) => {
      received += chunk.length;
      tail = (tail + chunk.toString('latin1')).slice(-16);
    });
    assert.deepEqual(await Promise.all(waiting), [5, 6, 5]);
    await waitFor(() => received === filled + 16, { what: 'all bytes' });
    assert.equal(tail, 'firstsecondthird');
  });

  inEveryWay('P8: a peer that has reset: -1 SYSCALL', async ({ origin, open }) => {
    const steps = [{ receiveLine: true }, { close: 'reset' }] as const;
    const ssl = await open(await origin({ behaviour: { kind: 'script', steps } }));
    await ssl.write('now\n');
    const rc = await waitFor(
      async () => {
        const written = await ssl.write('x');
        return written === -1 && outcome(ssl, written);
      },
      { what: 'the failure' },
    );
    assert.match(rc, /^-1 SYSCALL (ECONNRESET|EPIPE)$/);
    assert.equal(outcome(ssl, await ssl.write('x')), rc, 'it stays');
  });
});

describe('P8: shutdown', () => {
  inEveryWay('0, then 1 when the peer has answered', async ({ origin, open }) => {
    const server = await origin({ watchEnds: true });
    const ssl = await open(server);
    await ssl.write('hello\n');
    assert.equal(await readExactly(ssl, 9), 'ok hello\n');
    assert.equal(await ssl.shutdown(), 0);
    assert.equal(ssl.getShutdown(), SSL_SHUTDOWN.SENT);
    assert.equal(outcome(ssl, await ssl.write('x')), '-1 SSL ERR_SSL_PROTOCOL_IS_SHUTDOWN');
    assert.equal(await ssl.shutdown(), 1);
    assert.equal(ssl.getShutdown(), SSL_SHUTDOWN.SENT | SSL_SHUTDOWN.RECEIVED);
    assert.equal(await ssl.shutdown(), 1, 'once more changes nothing');
    assert.equal(outcome(ssl, await ssl.read(1)), '0 ZERO_RETURN');
    assert.equal(outcome(ssl, await ssl.write('x')), '-1 SSL ERR_SSL_PROTOCOL_IS_SHUTDOWN');
    assert.equal(await ssl.release(), 0);
    await waitFor(() => server.outcomes()[0] === 'close_notify', { what: 'our close_notify' });
  });

  inEveryWay("1 at once when the peer's end was read before", async ({ origin, open }) => {
    const steps = [{ text: 'bye' }, { close: 'close_notify' }] as const;
    const server = await origin({ behaviour: { kind: 'script', steps } });
    const ssl = await open(server);
    assert.equal(await readExactly(ssl, 3), 'bye');
    assert.equal(outcome(ssl, await ssl.read(1)), '0 ZERO_RETURN');
    assert.equal(await ssl.write('answer'), 6, 'our side is open');
    assert.equal(await ssl.shutdown(), 1);
    await waitFor(() => server.tail() === 'answer', { what: 'the answer' });
  });

  inEveryWay('0 while the end of the peer is there but not read', async ({ origin, open }) => {
    const steps = [{ text: 'bye' }, { close: 'close_notify' }] as const;
    const ssl = await open(await origin({ behaviour: { kind: 'script', steps } }));
    await untilPending(ssl, 3);
    assert.equal(await ssl.shutdown(), 0);
    assert.equal(outcome(ssl, await ssl.shutdown()), '-1 SSL ERR_SSL_APPLICATION_DATA_AFTER_CLOSE_NOTIFY');
    assert.equal(await readExactly(ssl, 3), 'bye', 'what the peer still sent can be read');
    assert.equal(await ssl.shutdown(), 1);
  });

  inEveryWay('WANT_READ while the peer does not answer', async ({ origin, open }) => {
    const ssl = await open(await origin({ behaviour: { kind: 'silent' } }));
    assert.equal(await ssl.shutdown(), 0);
    assert.equal(outcome(ssl, await ssl.shutdown({ wait: 0 })), '-1 WANT_READ');
    assert.equal(outcome(ssl, await ssl.shutdown({ wait: 30 })), '-1 WANT_READ');
    const abort = new AbortController();
    const waiting = ssl.shutdown({ signal: abort.signal });
    abort.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
  });
});
