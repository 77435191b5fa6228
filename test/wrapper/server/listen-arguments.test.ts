// The overloads of net.Server.listen, compared with what Node's own servers make of the same arguments.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { join, relative, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { tempDir } from '#helpers/temp-dir.js';
import { MAX_BACKLOG } from '#src/protocol/limits.js';
import { type ListenRequest, normalizeListenArguments } from '#src/wrapper/server/listen-arguments.js';

const callback = () => undefined;
const { signal } = new AbortController();
const AT = '127.0.0.1';
const UV_TCP_IPV6ONLY = 1;

/** What a server of Node binds, after all its own checks and look-ups. */
interface Bound {
  address: unknown;
  port: unknown;
  backlog: unknown;
  ipv6Only: boolean;
  callback: unknown;
}

/** The address that Node comes to, without opening it; an Error when it throws. */
function nodesReading(args: readonly unknown[]): Promise<Bound | Error> {
  return new Promise((resolveBound) => {
    const server = new net.Server();
    const listenSoon = (address: unknown, port: unknown, _family: unknown, ...rest: unknown[]): void => {
      const [backlog, , flags] = rest;
      resolveBound({
        ...{ address, port: port === -1 ? null : port, backlog: backlog || null },
        ipv6Only: (Number(flags) & UV_TCP_IPV6ONLY) !== 0,
        callback: (server.rawListeners('listening')[0] as { listener?: unknown } | undefined)?.listener,
      });
    };
    Object.assign(server, { _listen2: listenSoon });
    server.on('error', resolveBound);
    try {
      Reflect.apply(server.listen, server, copyOf(args));
    } catch (error) {
      resolveBound(error as Error);
    }
  });
}

/** Node writes into the options that it is given. */
function copyOf(args: readonly unknown[]): unknown[] {
  const isPlain = (arg: unknown): arg is object =>
    typeof arg === 'object' && arg !== null && Object.getPrototypeOf(arg) === Object.prototype;
  return args.map((arg) => (isPlain(arg) ? { ...arg } : arg));
}

function read(args: readonly unknown[]): ListenRequest {
  const request = normalizeListenArguments(args);
  assert.ok(!('nodes' in request), 'is left to Node');
  return request;
}

const CALLS: Readonly<Record<string, readonly unknown[]>> = {
  nothing: [],
  callback: [callback],
  'null, callback': [null, callback],
  'undefined, callback': [undefined, callback],
  port: [8443],
  'port as text': ['8443'],
  'port as text in hexadecimal': ['0x1f'],
  'port, callback': [8443, callback],
  'port, backlog': [8443, 5],
  'port, backlog, callback': [8443, 5, callback],
  'port, host': [8443, AT],
  'port, host, callback': [8443, AT, callback],
  'port, host, backlog': [8443, AT, 5],
  'port, host, backlog, callback': [8443, AT, 5, callback],
  'port, null, backlog, callback': [8443, null, 5, callback],
  'port, undefined, undefined, callback': [8443, undefined, undefined, callback],
  'port, null, null, callback': [0, null, null, callback],
  'port, true': [8443, true],
  'port, empty host': [8443, ''],
  'port, IPv6 host': [8443, '::1'],
  'callback in the middle': [8443, callback, 5],
  'null, host': [null, AT],
  'options with a port': [{ port: 8443 }],
  'options with a port as text': [{ port: ' 8443 ' }],
  'options with a host': [{ port: 8443, host: AT }],
  'options with an empty host': [{ port: 8443, host: '' }],
  'options, callback': [{ port: 8443, host: AT }, callback],
  'options, backlog': [{ port: 8443 }, 5],
  'options, nothing, backlog': [{ port: 8443 }, undefined, 5, callback],
  'options with a backlog, other backlog': [{ port: 8443, backlog: 7 }, 5],
  'options with backlog 0, other backlog': [{ port: 8443, backlog: 0 }, 5],
  'options with a backlog as text': [{ port: 8443, backlog: '7' }],
  'options with undefined as port': [{ port: undefined, host: AT }],
  'options with null as port': [{ port: null }],
  'options with undefined as port beside a path': [{ port: undefined, path: '/run/a.sock' }],
  'options with port and path': [{ port: 8443, path: '/run/a.sock' }],
  'options with a port of no use beside a path': [{ port: true, path: '/run/a.sock' }],
  // Without a host, Node 20 forgets it.
  'options with ipv6Only': [{ port: 8443, host: '::', ipv6Only: true }],
  'options with ipv6Only that is not true': [{ port: 8443, ipv6Only: 1 }],
  'options with a signal': [{ port: 8443, signal }],
  'options that inherit': [Object.create({ port: 8443, host: AT })],
  'options with an option that nobody knows': [{ port: 8443, unheardOf: 1 }],
  path: ['/run/a.sock'],
  'path, callback': ['/run/a.sock', callback],
  'path, backlog': ['/run/a.sock', 5],
  'path, backlog, callback': ['/run/a.sock', 5, callback],
  'path, text': ['/run/a.sock', AT],
  'negative number as text': ['-1'],
  'options with a path': [{ path: '/run/a.sock' }],
  'options with a path and a backlog': [{ path: '/run/a.sock', backlog: 5 }, callback],
  'options with an abstract path': [{ path: '\0tlshub-test' }],
  'options with a path for all': [{ path: '/run/a.sock', readableAll: true, writableAll: true }],
};

const WRONG: Readonly<Record<string, readonly unknown[]>> = {
  'port too great': [65536],
  'port below zero': [-1],
  'port that is no whole number': [1.5],
  'port that is not a number': [Number.NaN],
  'port that is blank text': [{ port: '  ' }],
  'port that is true': [true],
  'port that is a Symbol': [Symbol('port')],
  'backlog that is a Symbol': [8443, Symbol('backlog')],
  'empty text': [''],
  'options with nothing': [{}],
  'options with a host only': [{ host: AT }],
  'options with an empty path': [{ path: '' }],
  'options with a number as path': [{ path: 5 }],
  'options with a host that is a number': [{ port: 8443, host: 5 }],
  'options with a signal that is none': [{ port: 8443, signal: 'x' }],
  'options with null as signal': [{ port: 8443, signal: null }],
  'options with a negative descriptor': [{ fd: -1 }],
  'an abstract path for all': [{ path: '\0tlshub-test', readableAll: true }],
  'a getter that throws': [
    {
      get port(): number {
        throw new Error('no port today');
      },
    },
  ],
};

describe('P4: the arguments of server.listen mean what they mean in node:net', () => {
  for (const [title, args] of Object.entries(CALLS)) {
    test(title, async () => {
      const nodes = await nodesReading(args);
      assert.ok(!(nodes instanceof Error), String(nodes));
      const { address, callback: listener } = read(args);
      // Unlike the daemon, this process knows the directory that a path is relative to.
      const nodesAddress =
        nodes.port === null && !String(nodes.address).startsWith('\0')
          ? resolve(String(nodes.address))
          : nodes.address;
      assert.deepEqual(
        {
          address: address.path ?? address.host,
          ...{ port: address.port, backlog: address.backlog, ipv6Only: address.ipv6Only, callback: listener },
        },
        { ...nodes, address: nodesAddress, backlog: nodes.backlog === null ? null : Number(nodes.backlog) },
      );
    });
  }

  for (const [title, args] of Object.entries(WRONG)) {
    test(`wrong, and left to Node, which throws: ${title}`, async () => {
      assert.ok((await nodesReading(args)) instanceof Error);
      assert.deepEqual(normalizeListenArguments(args), { nodes: true });
    });
  }

  for (const [title, args] of Object.entries({
    'a port that the system chooses': [0, AT],
    'options without a port': [{ port: undefined, host: AT }],
    'every address': [],
    'the IPv6 address of this host': [{ port: 0, host: '::1' }],
    'a name': [0, 'localhost'],
  })) {
    test(`server.address() of Node's server is what the address says: ${title}`, async (t) => {
      const { address } = read(args);
      const given = new net.Server();
      const normalized = new net.Server();
      t.after(() => given.close() && normalized.close());
      Reflect.apply(given.listen, given, copyOf(args));
      normalized.listen({ port: address.port ?? -1, host: address.host ?? undefined });
      await Promise.all([once(given, 'listening'), once(normalized, 'listening')]);
      const addresses = [given, normalized].map((server) => server.address() as net.AddressInfo);
      assert.deepEqual(...(addresses.map(({ address: ip, family }) => [ip, family]) as [unknown, unknown]));
    });
  }

  test('server.address() of a Unix socket, given relative to the directory of the process', async (t) => {
    const path = relative(process.cwd(), join(tempDir(t), 'a.sock'));
    const { address } = read([path, 5]);
    assert.deepEqual([address.path, address.host, address.port], [resolve(path), null, null]);
    const server = new net.Server();
    t.after(() => server.close());
    server.listen(address.path);
    await once(server, 'listening');
    await assert.rejects(once(new net.Server().listen(path), 'listening'), { code: 'EADDRINUSE' });
  });
});

describe('what comes with the address', () => {
  test('a callback and a signal, as given', () => {
    assert.equal(read([{ port: 1, signal }, callback]).callback, callback);
    assert.equal(read([{ port: 1, signal }]).signal, signal);
    assert.deepEqual([read([1]).callback, read([1]).signal], [undefined, undefined]);
    assert.equal(read([1, callback, 'last']).callback, undefined);
  });

  test('flags: only true counts, but anything true is exclusive, and reusePort is exclusive', () => {
    const flagsOf = (options: object) => {
      const { ipv6Only, exclusive, reusePort, readableAll, writableAll } = read([options]).address;
      return { ipv6Only, exclusive, reusePort, readableAll, writableAll };
    };
    const none = {
      ipv6Only: false,
      exclusive: false,
      reusePort: false,
      readableAll: false,
      writableAll: false,
    };
    assert.deepEqual(flagsOf({ port: 1 }), none);
    assert.deepEqual(flagsOf({ port: 1, ipv6Only: true }), { ...none, ipv6Only: true });
    assert.deepEqual(flagsOf({ port: 1, exclusive: 1 }), { ...none, exclusive: true });
    assert.deepEqual(flagsOf({ port: 1, reusePort: true }), { ...none, exclusive: true, reusePort: true });
    assert.deepEqual(flagsOf({ port: 1, reusePort: 1, readableAll: true }), none);
    assert.deepEqual(flagsOf({ path: '/a', readableAll: true, writableAll: 1, ipv6Only: true }), {
      ...none,
      readableAll: true,
    });
  });

  test('a backlog that fits the wire: what is longer than the kernel has becomes the longest', () => {
    assert.equal(read([1, AT, 2 ** 20]).address.backlog, MAX_BACKLOG);
    assert.equal(read([{ port: 1, backlog: -1 }]).address.backlog, MAX_BACKLOG);
    assert.equal(read([{ port: 1, backlog: 5.7 }]).address.backlog, 5);
  });

  test('the caller’s options stay as they are', () => {
    const options = Object.freeze({ port: null, reusePort: true });
    assert.equal(read([options]).address.port, 0);
    assert.deepEqual(options, { port: null, reusePort: true });
  });
});

describe('what cannot cross is left to Node, with a reason', () => {
  test('handles and descriptors', async (t) => {
    const server = new net.Server().listen(0, AT);
    t.after(() => server.close());
    await once(server, 'listening');
    const { _handle: handle } = server as unknown as { _handle: object };
    for (const args of [
      [server],
      [server, 5, callback],
      [{ handle: server }],
      [{ handle }, callback],
      [handle],
      [{ _handle: handle }],
      [{ fd: 3 }],
    ]) {
      const request = normalizeListenArguments(args);
      assert.ok('nodes' in request);
      assert.match(request.reason ?? '', /cannot cross/);
    }
  });

  test('paths that are too long when they are absolute', () => {
    for (const path of [`${'x'.repeat(105)}.sock`, '/a\0b', '\0']) {
      assert.deepEqual(normalizeListenArguments([path]), {
        nodes: true,
        reason: 'the absolute path does not fit a Unix socket',
      });
    }
  });
});
