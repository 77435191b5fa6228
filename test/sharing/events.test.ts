// Opening and ending: the events of a shared socket are those of a direct one, in the same order, with the same state
// of the socket at each. data.test.ts does the same for the bytes in between.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { closed, exchange, opened } from '#helpers/streams.js';
import { waitFor } from '#helpers/wait-for.js';
import { connectAs } from './both-ways.ts';
import { namesOf, sameBothWays, setUpBothWays } from './compare.ts';

setUpBothWays();

const greeting = { kind: 'script', steps: [{ text: 'hello' }, { close: 'close_notify' }] } as const;
const patient = { kind: 'script', steps: [{ text: 'hello' }] } as const;

describe('P4: opening', () => {
  sameBothWays('secureConnect, then one exchange, then end', {
    run: async ({ connect }) => {
      const socket = connect({}, { read: false });
      await opened(socket);
      assert.equal(await exchange(socket, 'hello'), 'ok hello');
      socket.end();
      socket.resume();
    },
    check: (trace) => {
      assert.deepEqual(namesOf(trace), [
        'connectionAttempt',
        'connect',
        'ready',
        'secureConnect',
        'finish',
        'end',
        'close',
      ]);
    },
  });

  sameBothWays('write before the connection', {
    origin: {
      behaviour: { kind: 'script', steps: [{ receiveLine: true }, { receiveLine: true }, { text: 'both' }] },
    },
    run: ({ connect, recorder }) => {
      const socket = connect();
      recorder.note(
        'first',
        socket.write('one\n', () => recorder.note('first written')),
      );
      recorder.note(
        'second',
        socket.write('two\n', () => recorder.note('second written')),
      );
      recorder.noteState(socket, 'queued');
      socket.once('data', () => socket.end());
    },
  });

  sameBothWays('end before the connection', {
    origin: { behaviour: { kind: 'echo' } },
    run: ({ connect, recorder }) => {
      const socket = connect();
      socket.end('all of it', () => recorder.note('ended'));
      recorder.noteState(socket, 'queued');
    },
    check: (trace) => assert.ok(trace.events.some(([, text]) => text === 'all of it')),
  });

  sameBothWays('state right after the call', {
    run: ({ connect, recorder }) => {
      const socket = connect();
      recorder.noteState(socket, 'called');
      socket.once('connect', () => recorder.noteState(socket, 'connected'));
      socket.once('ready', () => recorder.noteState(socket, 'is ready'));
      socket.once('secureConnect', () => {
        recorder.noteState(socket, 'is secure');
        socket.end();
      });
    },
  });

  sameBothWays('a look-up comes first', {
    options: { host: 'localhost' },
    run: ({ connect }) => {
      const socket = connect();
      socket.on('secureConnect', () => socket.end());
    },
    check: (trace) => assert.equal(trace.events[0]?.[0], 'lookup'),
  });

  sameBothWays('an origin that is slow to shake hands', {
    origin: { handshakeDelayMs: 50, behaviour: greeting },
    run: ({ connect }) => void connect(),
  });
});

describe('P4: ending', () => {
  sameBothWays('the peer ends', { origin: { behaviour: greeting }, run: ({ connect }) => void connect() });

  sameBothWays('the peer ends, we may go on writing', {
    origin: { behaviour: greeting },
    options: { allowHalfOpen: true } as object,
    run: async ({ connect, recorder, origin }) => {
      const socket = connect();
      socket.on('end', () => {
        recorder.noteState(socket, 'half open');
        socket.write('late ', () => recorder.note('written'));
        socket.end('words', () => recorder.note('ended'));
      });
      await closed(socket);
      await waitFor(() => origin.tail() === 'late words', { what: `the late words at the origin` });
    },
  });

  sameBothWays('the peer ends while our writes are on their way', {
    origin: { behaviour: { kind: 'script', steps: [{ receive: 10 }, { close: 'close_notify' }] } },
    run: ({ connect, recorder }) => {
      const socket = connect();
      socket.write('0123456789', () => recorder.note('written'));
    },
  });

  sameBothWays('we end, the peer answers and ends', {
    origin: { behaviour: { kind: 'echo' } },
    run: ({ connect, recorder }) => {
      const socket = connect();
      socket.on('secureConnect', () => socket.end('goodbye', () => recorder.note('ended')));
      socket.on('finish', () => recorder.noteState(socket, 'finished'));
      socket.on('end', () => recorder.noteState(socket, 'ended by the peer'));
    },
  });

  sameBothWays('we end, the peer goes on sending', {
    origin: {
      behaviour: {
        kind: 'script',
        steps: [
          { receiveLine: true },
          { waitMs: 30 },
          { text: 'more' },
          { waitMs: 30 },
          { text: ' and more' },
        ],
      },
    },
    run: ({ connect }) => {
      const socket = connect();
      socket.on('secureConnect', () => socket.end('done\n'));
    },
    check: (trace) => assert.ok(trace.events.some(([, text]) => text === 'more and more')),
  });

  sameBothWays('destroySoon lets the writes leave', {
    origin: { behaviour: patient },
    run: async ({ connect, origin }) => {
      const socket = connect();
      // The kernel answers the close of a socket with unread bytes (here: tickets) with a reset, so those are read first.
      await once(socket, 'data');
      socket.write('x'.repeat(500_000));
      socket.destroySoon();
      await waitFor(() => origin.tail().length === 500_000, { what: 'all bytes at the origin' });
    },
  });

  sameBothWays('end twice, write after end', {
    origin: { behaviour: patient },
    run: async ({ connect, recorder }) => {
      const socket = connect();
      await opened(socket);
      socket.end();
      socket.end();
      await new Promise<void>((resolve) => {
        socket.write('too late', (error) => {
          recorder.note('written', error);
          resolve();
        });
      });
    },
  });

  sameBothWays('resetAndDestroy', {
    origin: { behaviour: patient },
    run: async ({ connect, recorder }) => {
      const socket = connect();
      await opened(socket);
      try {
        socket.resetAndDestroy();
      } catch (error) {
        recorder.note('thrown', error);
      }
      socket.destroy();
    },
  });
});

describe('P4: destroying', () => {
  for (const error of [undefined, Object.assign(new Error('enough'), { code: 'ERR_OWN' })]) {
    const how = error === undefined ? 'without' : 'with';

    sameBothWays(`at once, ${how} an error`, {
      run: ({ connect, recorder }) => {
        const socket = connect();
        socket.destroy(error);
        recorder.noteState(socket, 'destroyed');
      },
    });

    sameBothWays(`at once, with a write in the queue, ${how} an error`, {
      run: ({ connect, recorder }) => {
        const socket = connect();
        socket.write('never', (failure) => recorder.note('written', failure));
        socket.destroy(error);
      },
    });

    sameBothWays(`during the handshake, ${how} an error`, {
      origin: { handshakeDelayMs: 200 },
      run: ({ connect }) => {
        const socket = connect();
        socket.on('connect', () => setTimeout(() => socket.destroy(error), 20));
      },
    });

    sameBothWays(`in secureConnect, ${how} an error`, {
      origin: { behaviour: patient },
      run: ({ connect, recorder }) => {
        const socket = connect();
        socket.on('secureConnect', () => {
          socket.destroy(error);
          recorder.noteState(socket, 'destroyed');
          socket.write('too late', (failure) => recorder.note('written', failure));
        });
      },
    });

    sameBothWays(`while data flows, ${how} an error`, {
      showsPieces: true,
      origin: { behaviour: { kind: 'script', steps: [{ send: 1_000_000 }] } },
      run: ({ connect }) => {
        const socket = connect({}, { read: false });
        socket.once('data', () => socket.destroy(error));
      },
    });
  }

  sameBothWays('destroy with a FIN, not close_notify, as node:tls does', {
    origin: { behaviour: patient, watchEnds: true },
    run: async ({ connect, recorder, origin }) => {
      const socket = connect();
      socket.once('data', () => socket.destroy());
      await waitFor(() => !origin.outcomes().includes('open'), { what: 'the end at the origin' });
      recorder.note('outcomes', origin.outcomes());
    },
  });

  sameBothWays('end with close_notify', {
    origin: { behaviour: patient, watchEnds: true },
    run: async ({ connect, recorder, origin }) => {
      const socket = connect();
      socket.once('data', () => socket.end());
      await closed(socket);
      recorder.note('outcomes', origin.outcomes());
    },
    check: (trace) => assert.deepEqual(trace.events.at(-1), ['outcomes', ['close_notify']]),
  });
});

describe('P4: timeouts and signals', () => {
  sameBothWays('setTimeout when idle', {
    origin: { behaviour: patient },
    run: ({ connect, recorder }) => {
      const socket = connect();
      recorder.note('timeout before', socket.timeout);
      socket.setTimeout(700, () => {
        recorder.note('callback', socket.timeout);
        socket.end();
      });
    },
    check: (trace) => assert.ok(namesOf(trace).includes('callback')),
  });

  sameBothWays('the option timeout when idle', {
    origin: { behaviour: patient },
    options: { timeout: 700 },
    run: ({ connect, recorder }) => {
      const socket = connect();
      recorder.note('timeout', socket.timeout);
      socket.on('timeout', () => socket.destroy());
    },
  });

  sameBothWays('data puts the timeout off', {
    origin: {
      behaviour: {
        kind: 'script',
        steps: Array.from({ length: 12 }, () => [{ waitMs: 30 }, { text: '.' }]).flat(),
      },
    },
    run: ({ connect }) => {
      const socket = connect();
      socket.setTimeout(250);
      socket.on('timeout', () => socket.destroy());
    },
    check: (trace) => assert.ok(trace.events.some(([, text]) => text === '............')),
  });

  sameBothWays('setTimeout(0) ends the wait', {
    origin: { behaviour: { kind: 'script', steps: [{ waitMs: 120 }, { close: 'close_notify' }] } },
    run: ({ connect }) => {
      const socket = connect();
      socket.setTimeout(40);
      socket.setTimeout(0);
    },
  });

  // node:tls of Node 20 aborts the whole process here, so there is nothing to compare with.
  test('a signal that is aborted already', async () => {
    const socket = connectAs('shared', { port: 1, signal: AbortSignal.abort() } as object);
    const [error] = await once(socket, 'error');
    assert.deepEqual([error.name, error.code], ['AbortError', 'ABORT_ERR']);
    await closed(socket);
  });

  sameBothWays('a signal that aborts at once', {
    run: ({ connect }) => {
      const controller = new AbortController();
      connect({ signal: controller.signal } as object);
      controller.abort(new Error('changed my mind'));
    },
  });

  sameBothWays('a signal that aborts after secureConnect', {
    origin: { behaviour: patient },
    run: ({ connect }) => {
      const controller = new AbortController();
      const socket = connect({ signal: controller.signal } as object);
      socket.on('secureConnect', () => controller.abort());
    },
  });
});
