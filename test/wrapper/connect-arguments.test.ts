// The overloads of tls.connect, compared with what node:tls itself makes of the same arguments.
import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { normalizeConnectArguments } from '#src/wrapper/connect-arguments.js';

const callback = () => undefined;

/** What node:tls adds to the options by itself. */
const ADDED = ['rejectUnauthorized', 'ciphers', 'checkServerIdentity', 'minDHSize', 'singleUse', 'session'];

/** What node:tls hands to its socket for these arguments, and the listener it adds. */
function nodesReading(t: TestContext, args: readonly unknown[]): { options: object; callback: unknown } {
  let options: Record<string, unknown> = {};
  const connect = t.mock.method(net.Socket.prototype, 'connect', function (this: net.Socket, given: object) {
    options = { ...given };
    return this;
  });
  const socket = Reflect.apply(tls.connect, tls, args) as tls.TLSSocket;
  connect.mock.restore();
  const listener = socket.rawListeners('secureConnect')[0] as { listener?: unknown } | undefined;
  socket.destroy();
  for (const name of ADDED) delete options[name];
  return { options, callback: listener?.listener };
}

const CALLS: Readonly<Record<string, readonly unknown[]>> = {
  nothing: [],
  options: [{ port: 1, host: 'a.example' }],
  'options, callback': [{ port: 1 }, callback],
  'options, undefined': [{ port: 1 }, undefined],
  'options, more options': [
    { port: 1, host: 'a.example' },
    { host: 'b.example', servername: 'x' },
  ],
  'options, more options, callback': [{ port: 1 }, { host: 'b.example' }, callback],
  'options, text, even more options': [{ port: 1 }, 'b.example', { servername: 'x' }],
  path: ['/run/a.sock'],
  'path, callback': ['/run/a.sock', callback],
  'path, options': ['/run/a.sock', { servername: 'x' }],
  'path, options, callback': ['/run/a.sock', { servername: 'x' }, callback],
  'path that options overrule': ['/run/a.sock', { path: '/run/b.sock' }],
  'negative number as text': ['-1'],
  port: [1],
  'port as text': ['1'],
  'port, callback': [1, callback],
  'port, host': [1, 'a.example'],
  'port, host, callback': [1, 'a.example', callback],
  'port, options': [1, { host: 'a.example' }],
  'port, options, callback': [1, { host: 'a.example' }, callback],
  'port, host, options': [1, 'a.example', { servername: 'x' }],
  'port, host, options, callback': [1, 'a.example', { servername: 'x' }, callback],
  'port and host that options overrule': [1, 'a.example', { host: 'b.example', port: 2 }],
  'port, null, options': [1, null, { host: 'a.example' }],
  'port, undefined, options, callback': [1, undefined, { host: 'a.example' }, callback],
  'callback in the middle': [{ port: 1 }, callback, undefined],
  'empty text': ['', 'a.example'],
  null: [null, 'a.example'],
  'undefined, options': [undefined, { port: 1 }],
};

describe('P4: arguments of tls.connect are read as node:tls reads them', () => {
  for (const [title, args] of Object.entries(CALLS)) {
    test(title, (t) => {
      const copies = args.map((value) =>
        typeof value === 'object' && value !== null ? { ...value } : value,
      );
      const ours = normalizeConnectArguments(args);
      const nodes = nodesReading(t, copies);
      assert.deepEqual({ ...ours.options }, nodes.options);
      assert.equal(ours.callback, nodes.callback);
    });
  }

  test('the objects of the caller stay as they are', () => {
    const first = Object.freeze({ port: 1 });
    const second = Object.freeze({ host: 'a.example' });
    assert.deepEqual(normalizeConnectArguments([first, second]).options, { port: 1, host: 'a.example' });
  });
});
