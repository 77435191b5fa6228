// The bytes: a shared socket hands them over as a direct one does, whatever way the application reads and writes.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, test } from 'node:test';
import { forkOrigin } from '#helpers/forked-origin.js';
import { PatternChecker, patternPieces, patternSha256 } from '#helpers/pattern.js';
import { closed, exchange, opened, readBytes } from '#helpers/streams.js';
import { waitFor } from '#helpers/wait-for.js';
import { connectAs, MODES } from './both-ways.ts';
import { benchPki, namesOf, sameBothWays, setUpBothWays } from './compare.ts';

setUpBothWays();

const LARGE_BYTES = 64 * 1024 * 1024;
const sending = (bytes: number) =>
  ({ kind: 'script', steps: [{ send: bytes }, { close: 'close_notify' }] }) as const;

describe('P4: reading', () => {
  sameBothWays('pause and resume', {
    origin: { behaviour: sending(400_000) },
    run: ({ connect, recorder }) => {
      const socket = connect();
      let pauses = 0;
      socket.on('data', () => {
        socket.pause();
        if (socket.isPaused()) pauses += 1;
        setImmediate(() => socket.resume());
      });
      socket.on('end', () => recorder.note('paused', pauses > 3));
    },
    check: (trace) => assert.ok(trace.events.some(([name, often]) => name === 'paused' && often === true)),
  });

  sameBothWays('nothing is lost when nobody listens at first', {
    origin: { behaviour: sending(200_000) },
    run: async ({ connect, recorder }) => {
      const socket = connect({}, { read: false });
      await opened(socket);
      await waitFor(() => socket.readableLength > 0, { what: 'bytes in the buffer' });
      const checker = new PatternChecker();
      socket.on('data', (chunk: Buffer) => checker.push(chunk));
      await closed(socket);
      recorder.note('bytes', checker.bytes);
    },
    check: (trace) => assert.deepEqual(trace.events.at(-1), ['bytes', 200_000]),
  });

  sameBothWays('setEncoding cuts no character', {
    origin: {
      behaviour: { kind: 'script', steps: [{ text: '€'.repeat(40_000) }, { close: 'close_notify' }] },
    },
    run: async ({ connect, recorder }) => {
      const socket = connect({}, { read: false });
      socket.setEncoding('utf8');
      let text = '';
      socket.on('data', (chunk: string) => {
        text += chunk;
      });
      await closed(socket);
      recorder.note('text', text.length, createHash('sha256').update(text).digest('hex'));
    },
    check: (trace) => assert.equal(trace.events.at(-1)?.[1], 40_000),
  });

  sameBothWays("read() and 'readable'", {
    origin: { behaviour: { kind: 'script', steps: [{ text: 'abcdefghij' }, { close: 'close_notify' }] } },
    run: async ({ connect, recorder }) => {
      const socket = connect({}, { read: false });
      recorder.note('four', (await readBytes(socket, 4)).toString());
      recorder.note('six', (await readBytes(socket, 6)).toString());
      socket.resume();
    },
  });

  sameBothWays('unshift', {
    origin: { behaviour: { kind: 'script', steps: [{ text: 'abcdef' }, { close: 'close_notify' }] } },
    run: async ({ connect, recorder }) => {
      const socket = connect({}, { read: false });
      const start = await readBytes(socket, 3);
      socket.unshift(start);
      recorder.note('again', (await readBytes(socket, 6)).toString());
      socket.resume();
    },
  });

  sameBothWays('async iteration', {
    origin: { behaviour: sending(100_000) },
    run: async ({ connect, recorder }) => {
      const checker = new PatternChecker();
      for await (const chunk of connect({}, { read: false })) checker.push(chunk as Buffer);
      recorder.note('bytes', checker.bytes);
    },
  });

  sameBothWays('async iteration that stops early destroys the socket', {
    showsPieces: true,
    origin: { behaviour: sending(1_000_000) },
    run: async ({ connect, recorder }) => {
      for await (const chunk of connect({}, { read: false })) {
        recorder.note('a chunk', Buffer.isBuffer(chunk));
        break;
      }
    },
  });

  sameBothWays('onread with one buffer', {
    origin: { behaviour: sending(150_000) },
    run: async ({ connect, recorder }) => {
      const checker = new PatternChecker();
      const onread = {
        buffer: Buffer.alloc(10_000),
        callback: (bytes: number, buffer: Uint8Array) => {
          checker.push(Buffer.from(buffer.subarray(0, bytes)));
          return true;
        },
      };
      const socket = connect({ onread } as object);
      await closed(socket);
      recorder.note('bytes', checker.bytes, socket.bytesRead);
    },
    check: (trace) => assert.deepEqual(trace.events.at(-1), ['bytes', 150_000, 150_000]),
  });

  sameBothWays('onread with a function for buffers, paused by its callback', {
    origin: {
      behaviour: { kind: 'script', steps: [{ text: 'one' }, { receiveLine: true }, { text: 'two' }] },
    },
    run: ({ connect, recorder }) => {
      const onread = {
        buffer: () => Buffer.alloc(4096),
        callback: (bytes: number, buffer: Uint8Array) => {
          const text = Buffer.from(buffer.subarray(0, bytes)).toString();
          recorder.note('onread', text);
          if (text === 'one') {
            socket.write('next\n');
            setTimeout(() => {
              recorder.note('resume');
              socket.resume();
            }, 50);
            return false;
          }
          socket.end();
          return true;
        },
      };
      const socket = connect({ onread } as object);
    },
    check: (trace) => assert.ok(namesOf(trace).lastIndexOf('onread') > namesOf(trace).indexOf('resume')),
  });

  sameBothWays('records of 1 byte to 16 KiB come with their bounds', {
    origin: { behaviour: { kind: 'lines' } },
    run: async ({ connect, recorder }) => {
      const socket = connect({}, { read: false });
      await opened(socket);
      const sizes: number[] = [];
      socket.on('data', (chunk: Buffer) => sizes.push(chunk.length));
      for (const bytes of [1, 1000, 16_384]) {
        const before = sum(sizes);
        socket.write(`send ${bytes}\n`);
        await waitFor(() => sum(sizes) === before + bytes, { what: `${bytes} bytes` });
      }
      recorder.note('sizes', sizes);
      socket.destroy();
    },
    check: (trace) => assert.ok(trace.events.some(([name]) => name === 'sizes')),
  });
});

describe('P4: writing', () => {
  sameBothWays('callbacks come in the order of the writes', {
    origin: { behaviour: { kind: 'script', steps: [] } },
    run: async ({ connect, recorder, origin }) => {
      const socket = connect();
      await opened(socket);
      for (const name of ['one', 'two', 'three']) socket.write(name, () => recorder.note(`${name} written`));
      socket.write('');
      socket.write(Buffer.from(' four'), () => recorder.note('four written'));
      socket.write('ff', 'hex', () => recorder.note('five written'));
      socket.end(new Uint8Array([33]), () => recorder.note('ended'));
      await closed(socket);
      recorder.note('at the origin', origin.tail(), socket.bytesWritten);
    },
    check: (trace) => assert.equal(trace.events.at(-1)?.[1], 'onetwothree four\u00ff!'),
  });

  sameBothWays('cork and uncork', {
    origin: { behaviour: { kind: 'script', steps: [] } },
    run: async ({ connect, recorder, origin }) => {
      const socket = connect();
      await opened(socket);
      socket.cork();
      for (const part of ['a', 'b', 'c']) socket.write(part, () => recorder.note(`${part} written`));
      recorder.note('corked', socket.writableCorked, socket.writableLength, origin.tail());
      socket.uncork();
      await waitFor(() => origin.tail() === 'abc', { what: 'the corked bytes' });
      recorder.note('uncorked', socket.writableCorked);
      socket.end();
    },
  });

  sameBothWays('wrong arguments of write', {
    origin: { behaviour: { kind: 'script', steps: [] } },
    run: async ({ connect, recorder }) => {
      const socket = connect();
      await opened(socket);
      for (const value of [null, undefined, 5, {}, true]) {
        try {
          recorder.note('taken', socket.write(value as unknown as string));
        } catch (error) {
          recorder.note('thrown', error);
        }
      }
      socket.end();
    },
  });

  sameBothWays("a full buffer says so, and 'drain' comes", {
    origin: { behaviour: { kind: 'script', steps: [] } },
    run: async ({ connect, recorder, origin }) => {
      const socket = connect();
      await opened(socket);
      recorder.note('small', socket.write('x'));
      await waitFor(() => origin.tail().length === 1, { what: 'the first byte' });
      recorder.note('large', socket.write('x'.repeat(4_000_000)), socket.writableNeedDrain);
      await waitFor(() => origin.tail().length === 4_000_001, { what: 'all bytes' });
      socket.end();
    },
    check: (trace) => assert.ok(namesOf(trace).includes('drain')),
  });

  sameBothWays('pipeline in and out', {
    showsPieces: true,
    origin: { behaviour: { kind: 'echo' } },
    run: async ({ connect, recorder }) => {
      const socket = connect({}, { read: false });
      await opened(socket);
      const checker = new PatternChecker();
      const sink = new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          checker.push(chunk);
          done();
        },
      });
      await Promise.all([pipeline(Readable.from(patternPieces(500_000)), socket), pipeline(socket, sink)]);
      recorder.note('bytes', checker.bytes);
    },
    check: (trace) => assert.ok(trace.events.some(([name, bytes]) => name === 'bytes' && bytes === 500_000)),
  });

  sameBothWays('settings of the connection answer the socket', {
    run: async ({ connect, recorder }) => {
      const socket = connect({}, { read: false });
      recorder.note('early', socket.setNoDelay() === socket, socket.setKeepAlive(true, 1000) === socket);
      await opened(socket);
      recorder.note('late', socket.setNoDelay(true) === socket, socket.setKeepAlive(false) === socket);
      recorder.note('fragment', socket.setMaxSendFragment(1024), socket.setMaxSendFragment(5));
      assert.equal(await exchange(socket, 'hello'), 'ok hello');
      socket.disableRenegotiation();
      socket.destroy();
      recorder.note('after', socket.setNoDelay() === socket, socket.setKeepAlive() === socket);
    },
  });
});

describe('P6, P9: 64 MiB each way arrive whole', () => {
  for (const mode of MODES) {
    test(mode, async (t) => {
      const pki = benchPki();
      const origin = await forkOrigin(t, { ...pki.good });
      const socket = connectAs(mode, { host: '127.0.0.1', port: origin.port, ca: pki.ca.cert });
      t.after(() => void socket.destroy());
      await opened(socket);
      socket.write(`take ${LARGE_BYTES}\n`);
      const wanted = `sha256 ${patternSha256(LARGE_BYTES)}\n`;
      await pipeline(Readable.from(patternPieces(LARGE_BYTES)), socket, { end: false });
      assert.equal((await readBytes(socket, wanted.length)).toString(), wanted);

      const checker = new PatternChecker();
      socket.write(`send ${LARGE_BYTES}\n`);
      socket.on('data', (chunk: Buffer) => checker.push(chunk));
      await waitFor(() => checker.bytes === LARGE_BYTES, { what: '64 MiB back', deadlineMs: 60_000 });
      assert.equal(socket.bytesRead, LARGE_BYTES + wanted.length);
      assert.deepEqual((await origin.counts()).handshakes, 1);
    });
  }
});

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
