// SSL_read, SSL_peek, SSL_pending: how many bytes, which, when, and what is answered when there are none.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import fc from 'fast-check';
import { PatternChecker, pattern } from '#helpers/pattern.js';
import { waitFor } from '#helpers/wait-for.js';
import { SSL_SHUTDOWN, Ssl } from '#src/ssl.js';
import { inEveryWay, outcome, readExactly, setUpWays, untilPending } from './ways.ts';

setUpWays();

const saying = (text: string, close?: 'close_notify' | 'fin' | 'reset') =>
  ({
    behaviour: { kind: 'script', steps: [{ text }, ...(close === undefined ? [] : [{ close }])] },
  }) as const;

describe('P6: bytes', () => {
  inEveryWay('at most max, and those that are there', async ({ origin, open }) => {
    const ssl = await open(await origin(saying('hello world')));
    await untilPending(ssl, 11);
    assert.equal(String(await ssl.read(5)), 'hello');
    assert.equal(ssl.pending(), 6);
    assert.equal(String(await ssl.read(1)), ' ');
    assert.equal(String(await ssl.read(1000)), 'world', 'less than max is answered at once');
    assert.equal(ssl.pending(), 0);
  });

  inEveryWay('peek leaves them', async ({ origin, open }) => {
    const ssl = await open(await origin(saying('hello world')));
    await untilPending(ssl, 11);
    assert.equal(String(await ssl.peek(3)), 'hel');
    assert.equal(String(await ssl.peek(7)), 'hello w');
    assert.equal(String(await ssl.peek(1)), 'h');
    assert.equal(ssl.pending(), 11);
    assert.equal(String(await ssl.read(8)), 'hello wo', 'beyond what was looked at');
    const peeked = await ssl.peek(100);
    assert.equal(String(peeked), 'rld');
    (peeked as Buffer).fill('z');
    assert.equal(String(await ssl.read(100)), 'rld', 'what peek answered is a copy');
  });

  inEveryWay('read and peek in any sizes, against the stream that was sent', async ({ origin, open }) => {
    const bytes = 300_000;
    const server = await origin({
      behaviour: { kind: 'script', steps: [{ send: bytes }, { close: 'close_notify' }] },
    });
    const sizes = fc.sample(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 40_000 })), 40);
    const ssl = await open(server);
    const checker = new PatternChecker();
    for (let turn = 0; ; turn += 1) {
      const [peeks, max] = sizes[turn % sizes.length] ?? [false, 1];
      const got = peeks ? await ssl.peek(max) : await ssl.read(max);
      if (typeof got === 'number') {
        assert.equal(outcome(ssl, got), '0 ZERO_RETURN');
        break;
      }
      assert.ok(got.length >= 1 && got.length <= max, `${got.length} of ${max}`);
      if (peeks) assert.ok(got.equals(pattern(checker.bytes, got.length)), `peek at ${checker.bytes}`);
      else checker.push(got);
    }
    assert.equal(checker.bytes, bytes);
  });
});

describe('nothing to read', () => {
  inEveryWay('WANT_READ at once or after a time, and the bytes when they come', async ({ origin, open }) => {
    const ssl = await open(await origin());
    assert.equal(outcome(ssl, await ssl.read(9, { wait: 0 })), '-1 WANT_READ');
    assert.equal(outcome(ssl, await ssl.peek(9, { wait: 0 })), '-1 WANT_READ');
    assert.equal(ssl.lastError, undefined);
    const before = performance.now();
    assert.equal(outcome(ssl, await ssl.read(9, { wait: 40 })), '-1 WANT_READ');
    assert.ok(performance.now() - before >= 38, 'it waited');
    const waiting = ssl.read(9, { wait: 10_000 });
    assert.equal(await ssl.write('late\n'), 5);
    assert.equal(String(await waiting), 'ok late\n');
    assert.equal(ssl.getError(1), 0);
  });

  inEveryWay('a loop without waiting finds what arrives', async ({ origin, open }) => {
    const ssl = await open(await origin());
    await ssl.write('poll\n');
    let turns = 0;
    let got = await ssl.read(8, { wait: 0 });
    for (; got === -1; got = await ssl.read(8, { wait: 0 })) {
      assert.equal(ssl.getError(got), 2);
      turns += 1;
      assert.ok(turns < 1_000_000);
    }
    assert.equal(String(got), 'ok poll\n');
  });

  inEveryWay('one reader at a time', async ({ origin, open }) => {
    const ssl = await open(await origin());
    const first = ssl.read(100);
    const busy = '-1 SYSCALL ERR_TLSHUB_SESSION_BUSY';
    assert.equal(outcome(ssl, await ssl.read(100)), busy);
    assert.equal(outcome(ssl, await ssl.peek(1, { wait: 0 })), busy);
    assert.equal(outcome(ssl, await ssl.release()), busy);
    assert.equal(await ssl.shutdown(), 0, 'our side can be ended meanwhile');
    assert.equal(outcome(ssl, await ssl.shutdown()), busy);
    assert.equal(outcome(ssl, await first), '0 ZERO_RETURN');
    assert.equal(await ssl.shutdown(), 1);
  });

  inEveryWay('a signal ends the waiting and costs no byte', async ({ origin, open }) => {
    const ssl = await open(await origin());
    const abort = new AbortController();
    const reason = new Error('enough');
    const waiting = ssl.read(100, { signal: abort.signal });
    abort.abort(reason);
    await assert.rejects(waiting, reason);
    await assert.rejects(ssl.read(100, { signal: abort.signal }), reason, 'aborted before');
    await ssl.write('on\n');
    assert.equal(await readExactly(ssl, 6), 'ok on\n');
  });

  inEveryWay('outcomes of calls at the same time are told apart by their kind', async ({ origin, open }) => {
    const ssl = await open(await origin());
    const [read, written] = await Promise.all([ssl.read(1, { wait: 0 }), ssl.write('x\n')]);
    assert.deepEqual([read, written], [-1, 2]);
    assert.equal(ssl.getError(read, 'read'), 2);
    assert.equal(ssl.getError(written, 'write'), 0);
  });
});

describe('P8: the end of the peer', () => {
  inEveryWay('close_notify: the bytes, then 0 ZERO_RETURN for good', async ({ origin, open }) => {
    const ssl = await open(await origin(saying('last words', 'close_notify')));
    assert.equal(await readExactly(ssl, 10), 'last words');
    assert.equal(outcome(ssl, await ssl.read(1)), '0 ZERO_RETURN');
    assert.equal(outcome(ssl, await ssl.peek(1)), '0 ZERO_RETURN');
    assert.equal(outcome(ssl, await ssl.read(1, { wait: 0 })), '0 ZERO_RETURN');
    assert.equal(ssl.getShutdown(), SSL_SHUTDOWN.RECEIVED);
  });

  inEveryWay('an end that has come is seen without waiting', async ({ origin, open }) => {
    const ssl = await open(await origin(saying('x', 'close_notify')));
    assert.equal(await readExactly(ssl, 1), 'x');
    const rc = await waitFor(
      async () => {
        const got = await ssl.read(1, { wait: 0 });
        return ssl.getError(got) === 2 ? undefined : outcome(ssl, got);
      },
      { what: 'the end' },
    );
    assert.equal(rc, '0 ZERO_RETURN');
  });

  inEveryWay('bytes that were only looked at come before the end', async ({ origin, open }) => {
    const ssl = await open(await origin(saying('abc', 'close_notify')));
    await untilPending(ssl, 3);
    assert.equal(String(await ssl.peek(3)), 'abc');
    assert.equal(ssl.getShutdown(), 0, 'the end is not read before what precedes it');
    assert.equal(String(await ssl.peek(100)), 'abc');
    assert.equal(String(await ssl.read(2)), 'ab');
    assert.equal(String(await ssl.read(2)), 'c');
    assert.equal(outcome(ssl, await ssl.read(2)), '0 ZERO_RETURN');
  });

  inEveryWay('FIN without close_notify: as with SSL_OP_IGNORE_UNEXPECTED_EOF', async ({ origin, open }) => {
    const ssl = await open(await origin(saying('cut', 'fin')));
    assert.equal(await readExactly(ssl, 3), 'cut');
    assert.equal(outcome(ssl, await ssl.read(1)), '0 ZERO_RETURN');
  });

  inEveryWay('RST: -1 SYSCALL ECONNRESET for good', async ({ origin, open }) => {
    // A RST that comes together with bytes can look like an end: libuv reads no further when it hears of a hang-up.
    const steps = [{ text: 'ready' }, { receiveLine: true }, { close: 'reset' }] as const;
    const ssl = await open(await origin({ behaviour: { kind: 'script', steps } }));
    assert.equal(await readExactly(ssl, 5), 'ready');
    const waiting = ssl.read(10);
    await ssl.write('now\n');
    const reset = '-1 SYSCALL ECONNRESET';
    assert.equal(outcome(ssl, await waiting), reset);
    assert.equal(ssl.lastError?.message, 'read ECONNRESET');
    assert.equal(outcome(ssl, await ssl.read(1)), reset);
    assert.equal(outcome(ssl, await ssl.peek(1, { wait: 0 })), reset);
    assert.equal(outcome(ssl, await ssl.write('x')), reset);
    assert.equal(outcome(ssl, await ssl.shutdown()), reset);
    assert.equal(outcome(ssl, await ssl.release()), reset);
    assert.equal(outcome(ssl, await ssl.detach()), reset);
    assert.equal(outcome(ssl, await ssl.doHandshake()), reset);
  });

  inEveryWay('P6: bytes that had arrived before a RST are read before it', async ({ origin, open }) => {
    const steps = [{ text: 'saved bytes' }, { receiveLine: true }, { close: 'reset' }] as const;
    const ssl = await open(await origin({ behaviour: { kind: 'script', steps } }));
    await untilPending(ssl, 11);
    assert.equal(String(await ssl.peek(4)), 'save');
    await ssl.write('now\n');
    await waitFor(async () => (await ssl.write('x')) === -1, { what: 'the failure' });
    assert.equal(ssl.pending(), 11);
    assert.equal(String(await ssl.peek(7)), 'saved b');
    assert.equal(String(await ssl.read(6)), 'saved ');
    assert.equal(String(await ssl.read(100)), 'bytes');
    assert.equal(outcome(ssl, await ssl.read(100)).split(' ')[1], 'SYSCALL');
  });

  inEveryWay('an alert: -1 SSL', async ({ origin, open, version, shared, target }) => {
    // In TLS 1.3 the client is done before the server has missed the certificate: the alert comes to a reader.
    const server = await origin({ tls: { requestCert: true, rejectUnauthorized: true } });
    if (version === 'TLSv1.2') {
      const ssl = new Ssl();
      const rc = await ssl.connect(shared, target(server));
      assert.match(outcome(ssl, rc), /^-1 (SSL \S*ALERT_HANDSHAKE_FAILURE|SSL EPROTO|SYSCALL ECONNRESET)$/);
      return;
    }
    const ssl = await open(server);
    assert.match(outcome(ssl, await ssl.read(1)), /^-1 SSL ERR_SSL_\S*CERTIFICATE_REQUIRED$/);
    assert.equal((ssl.lastError as { library?: string }).library, 'SSL routines');
  });
});
