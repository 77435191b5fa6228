// The daemon's log: what is in a line, what is never in one, and that it cannot hurt the daemon.
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runNode } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { createLogger, Logger, ONCE_WINDOW_MS, readableLine } from '#src/daemon/log.js';

/** A logger, its parsed lines, and a clock that the test moves. */
function collect(level: 'debug' | 'warn' = 'debug') {
  const lines: string[] = [];
  const clock = { nowMs: 0 };
  const log = new Logger(
    level,
    (line) => lines.push(line),
    () => clock.nowMs,
  );
  return { log, lines, clock, events: () => lines.map((line) => JSON.parse(line)) };
}

test('an event is one line of JSON with level, time, process, fields and message', () => {
  const { log, lines, events } = collect();
  log.info({ session: 's1' }, 'opened\nwith a newline');
  assert.equal(lines.length, 1);
  assert.equal(lines[0]?.indexOf('\n'), (lines[0]?.length ?? 0) - 1);
  const [{ time, ...event }] = events();
  assert.deepEqual(event, {
    level: 'info',
    daemon: process.pid,
    session: 's1',
    msg: 'opened\nwith a newline',
  });
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
});

test('events below the level are left out', () => {
  const { log, events } = collect('warn');
  log.debug({}, 'a');
  log.info({}, 'b');
  log.warn({}, 'c');
  log.error({}, 'd');
  log.once('k', 'info', {}, 'e');
  assert.deepEqual(
    events().map(({ msg }) => msg),
    ['c', 'd'],
  );
});

test('P13: fields with the names of secrets are cut out, wherever they are', () => {
  const { log, lines } = collect();
  const secrets = { key: 'SECRET', pfx: ['SECRET'], passphrase: 'SECRET', ticketKeys: { raw: 'SECRET' } };
  const err = Object.assign(new Error('boom'), secrets, { inner: secrets });
  log.info({ ...secrets, options: secrets, list: [secrets, { deeper: secrets }], err }, 'event');
  log.once('k', 'warn', { options: secrets }, 'event');
  assert.equal(lines.length, 2);
  assert.doesNotMatch(lines.join(''), /SECRET/);
  assert.match(lines.join(''), /\[secret\]/);
});

test('once logs an event of one key once a minute and says how many it left out', () => {
  const { log, events, clock } = collect();
  for (let count = 0; count < 5; count += 1) log.once('a', 'warn', { count }, 'event a');
  log.once('b', 'warn', {}, 'event b');
  clock.nowMs = ONCE_WINDOW_MS - 1;
  log.once('a', 'warn', {}, 'event a');
  clock.nowMs = ONCE_WINDOW_MS;
  log.once('a', 'warn', {}, 'event a');
  assert.deepEqual(
    events().map(({ msg, count, suppressed }) => ({ msg, count, suppressed })),
    [
      { msg: 'event a', count: 0, suppressed: undefined },
      { msg: 'event b', count: undefined, suppressed: undefined },
      { msg: 'event a', count: undefined, suppressed: 5 },
    ],
  );
});

test('once forgets keys in time, so that a peer who invents them costs bounded memory', () => {
  const { log, lines } = collect();
  for (let key = 0; key < 5_000; key += 1) log.once(`key ${key}`, 'info', {}, 'event');
  assert.equal(lines.length, 5_000);
  log.once('key 4999', 'info', {}, 'event');
  assert.equal(lines.length, 5_000, 'the latest keys are remembered');
  log.once('key 0', 'info', {}, 'event');
  assert.equal(lines.length, 5_001, 'the first are not');
});

test('a file gets JSON lines, each complete when the call returns', (t) => {
  const path = join(tempDir(t), 'log');
  const fd = openSync(path, 'w');
  t.after(() => closeSync(fd));
  const log = createLogger('info', fd);
  log.info({ a: 1 }, 'first');
  assert.equal(JSON.parse(readFileSync(path, 'utf8')).msg, 'first');
});

test('a full disk and a closed pipe do not stop the process', async (t) => {
  const fd = openSync('/dev/full', 'w');
  t.after(() => closeSync(fd));
  const log = createLogger('info', fd);
  for (let count = 0; count < 100; count += 1) log.info({}, 'lost');
  const { code, stderr } = await runNode(`
    import { closeSync } from 'node:fs';
    import { createLogger } from '#src/daemon/log.js';
    const log = createLogger('info', 5);
    log.info({}, 'no such descriptor');
    closeSync(2);
    createLogger('info').error({}, 'no standard error');
    process.exitCode = 7;
  `);
  assert.equal(code, 7, stderr);
});

test('on a terminal a line is readable: time, level, message, fields, the stack of an error', () => {
  const line = JSON.stringify({
    level: 'warn',
    time: '2030-01-02T03:04:05.678Z',
    daemon: 1,
    uid: 7,
    err: { type: 'Error', message: 'boom', stack: 'Error: boom\n    at here' },
    msg: 'refused',
  });
  assert.equal(readableLine(`${line}\n`), '03:04:05.678 WARN  refused uid=7\nError: boom\n    at here\n');
});
