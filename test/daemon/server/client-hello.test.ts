// The reader of ClientHello messages: recordings of real clients in every division, malformed ones, and node:tls as
// the judge of what a message says.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import tls from 'node:tls';
import fc from 'fast-check';
import { listen } from '#helpers/listen.js';
import {
  ClientHelloReader,
  type HelloAnswer,
  MAX_CLIENT_HELLO_BYTES,
} from '#src/daemon/server/client-hello.js';
import { clientA } from '../../wrapper/context-fixtures.js';
import { recordedHellos } from './recorded-hellos.js';

const RECORD_HEADER_BYTES = 5;

/** The answer after these chunks. */
function answerTo(chunks: Iterable<Uint8Array>): HelloAnswer {
  const reader = new ClientHelloReader();
  let answer: HelloAnswer = 'more';
  for (const chunk of chunks) answer = reader.push(chunk);
  return answer;
}

function* bytewise(bytes: Uint8Array): Generator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset++) yield bytes.subarray(offset, offset + 1);
}

/** The same handshake message in records of at most that many bytes. */
function inRecordsOf(bytes: Buffer, length: number): Buffer {
  const message = bytes.subarray(RECORD_HEADER_BYTES);
  const records: Buffer[] = [];
  for (let offset = 0; offset < message.length; offset += length) {
    const fragment = message.subarray(offset, offset + length);
    records.push(Buffer.of(22, 3, 1, fragment.length >> 8, fragment.length & 255), fragment);
  }
  return Buffer.concat(records);
}

/** A ClientHello of the smallest kind, with these extensions, and bytes behind them that must not be there. */
function helloWith(extensions: Buffer | undefined, behind = Buffer.alloc(0)): Buffer {
  const field = (bytes: Buffer, width: number) => {
    const length = Buffer.alloc(width);
    length.writeUIntBE(bytes.length, 0, width);
    return Buffer.concat([length, bytes]);
  };
  const fixed = Buffer.concat([Buffer.of(3, 3), Buffer.alloc(32, 7), field(Buffer.alloc(0), 1)]);
  const lists = Buffer.concat([field(Buffer.of(0x13, 1), 2), field(Buffer.of(0), 1)]);
  const body = Buffer.concat([
    fixed,
    lists,
    ...(extensions === undefined ? [] : [field(extensions, 2)]),
    behind,
  ]);
  const message = Buffer.concat([Buffer.of(1), field(body, 3)]);
  return Buffer.concat([Buffer.of(22, 3, 1), field(message, 2)]);
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('recorded clients', () => {
  for (const { client, bytes, serverName, protocols } of recordedHellos) {
    const expected = { serverName, protocols };

    test(`${client}: in one piece, and with more behind it`, () => {
      assert.deepEqual(answerTo([bytes]), expected);
      assert.deepEqual(answerTo([Buffer.concat([bytes, Buffer.from('early data')])]), expected);
    });

    test(`${client}: split at every point, and byte by byte`, () => {
      for (let split = 1; split < bytes.length; split++) {
        const reader = new ClientHelloReader();
        assert.equal(reader.push(bytes.subarray(0, split)), 'more');
        assert.deepEqual(reader.push(bytes.subarray(split)), expected, `at ${split}`);
      }
      assert.deepEqual(answerTo(bytewise(bytes)), expected);
    });

    test(`${client}: in records of every small length (RFC 8446 §5.1)`, () => {
      for (const length of [1, 2, 3, 4, 5, 7, 64, 255, 256, 1000]) {
        assert.deepEqual(answerTo([inRecordsOf(bytes, length)]), expected, `records of ${length}`);
      }
      assert.deepEqual(answerTo(bytewise(inRecordsOf(bytes, 3))), expected);
    });

    test(`${client}: the answer stays, whatever comes later`, () => {
      const reader = new ClientHelloReader();
      reader.push(bytes);
      assert.deepEqual(reader.push(Buffer.from('later')), expected);
      assert.deepEqual(reader.push(Buffer.alloc(0)), expected);
    });
  }

  test('chunks are not kept: the caller may use its buffer again', () => {
    const [recorded] = recordedHellos;
    assert.ok(recorded !== undefined);
    const reader = new ClientHelloReader();
    const buffer = Buffer.alloc(1);
    let answer: HelloAnswer = 'more';
    for (const byte of recorded.bytes) {
      buffer[0] = byte;
      answer = reader.push(buffer);
    }
    assert.deepEqual(answer, { serverName: recorded.serverName, protocols: recorded.protocols });
  });
});

describe('forms that are rare', () => {
  const nothing = { serverName: undefined, protocols: [] };

  test('no extensions at all, and an empty list of them', () => {
    assert.deepEqual(answerTo([helloWith(undefined)]), nothing);
    assert.deepEqual(answerTo([helloWith(hex(''))]), nothing);
  });

  test('unknown extensions are passed over', () => {
    assert.deepEqual(answerTo([helloWith(hex('fafa 0000 0a0a 0001 00'))]), nothing);
  });

  test('names that are no text, as node:tls shows them', () => {
    assert.deepEqual(answerTo([helloWith(hex('0010 0005 0003 02 da5a'))]), {
      serverName: undefined,
      protocols: [Buffer.of(0xda, 0x5a).toString('ascii')],
    });
  });
});

describe('no ClientHello', () => {
  for (const [title, bytes] of Object.entries({
    'another protocol': Buffer.from('GET / HTTP/1.1\r\n'),
    'one byte of another protocol': Buffer.from('G'),
    'the version of SSL 2': hex('1602'),
    'an alert': hex('15 0301 0002 0228'),
    'an empty record': hex('16 0301 0000'),
    'a record that is too long': hex('16 0301 4001'),
    'another handshake message': hex('16 0301 0001 02'),
    'a message that is too long': hex('16 0301 0004 01 010000'),
    'another record between fragments': hex('16 0301 0002 0100 17'),
    'a message that ends early': hex('16 0301 0006 01 000002 0303'),
    'no cipher': hex(`16 0301 002b 01 000027 0303 ${'07'.repeat(32)} 00 0000 0100`),
    'no compression': hex(`16 0301 002c 01 000028 0303 ${'07'.repeat(32)} 00 0002 1301 00`),
    'a session id that is too long': hex(
      `16 0301 004e 01 00004a 0303 ${'07'.repeat(32)} 21 ${'08'.repeat(33)} 0002 1301 0100`,
    ),
    'bytes behind the extensions': helloWith(hex(''), Buffer.of(0)),
    'an extension that is cut': helloWith(hex('0000 0005 00')),
    'half an extension': helloWith(hex('00')),
    'the same extension twice': helloWith(hex('fafa 0000 fafa 0000')),
    'an empty list of names': helloWith(hex('0000 0002 0000')),
    'an empty name': helloWith(hex('0000 0005 0003 00 0000')),
    'a name of another type': helloWith(hex('0000 0006 0004 01 0001 61')),
    'two names': helloWith(hex('0000 000a 0008 00 0001 61 00 0001 62')),
    'a name with a zero byte': helloWith(hex('0000 0008 0006 00 0003 610062')),
    'a name that is too long': helloWith(hex(`0000 0105 0103 00 0100 ${'61'.repeat(256)}`)),
    'an empty list of protocols': helloWith(hex('0010 0002 0000')),
    'an empty protocol': helloWith(hex('0010 0003 0001 00')),
    'a protocol that is cut': helloWith(hex('0010 0004 0002 0261')),
    'bytes behind the protocols': helloWith(hex('0010 0005 0002 0161 00')),
  })) {
    test(title, () => {
      assert.equal(answerTo([bytes]), 'none');
      assert.equal(answerTo(bytewise(bytes)), 'none');
      assert.equal(answerTo([bytes, recordedHellos[0]?.bytes ?? bytes]), 'none', 'and it stays so');
    });
  }
});

describe('P14: whatever comes', () => {
  test('it is given up at 64 KiB, in chunks of any size', () => {
    const endless = inRecordsOf(
      Buffer.concat([Buffer.alloc(5), hex('01 00fff0'), Buffer.alloc(70_000)]),
      1000,
    );
    for (const size of [1, 999, 16_384, endless.length]) {
      const reader = new ClientHelloReader();
      let sent = 0;
      while (reader.push(endless.subarray(sent, sent + size)) === 'more') sent += size;
      assert.equal(reader.push(Buffer.alloc(1)), 'none');
      assert.ok(
        sent <= MAX_CLIENT_HELLO_BYTES && sent + size >= MAX_CLIENT_HELLO_BYTES,
        `${sent} of ${size}`,
      );
    }
  });

  test('random bytes: never an exception, and the division into chunks makes no difference', () => {
    const tlsLike = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([hex('16 0301'), bytes]));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), tlsLike), (bytes) => {
        assert.deepEqual(answerTo(bytewise(bytes)), answerTo([bytes]));
      }),
      { numRuns: 1000 },
    );
  });
});

/** A recorded hello with some bytes changed, taken out or put in, and divided into records anew. */
const mutated = fc
  .record({
    hello: fc.constantFrom(...recordedHellos.filter(({ bytes }) => bytes.length < 600)),
    recordLength: fc.integer({ min: 20, max: 700 }),
    changes: fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        kind: fc.constantFrom('replace', 'replace', 'delete', 'insert'),
        byte: fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1, 2, 3, 16, 255)),
      }),
      { maxLength: 3 },
    ),
  })
  .map(({ hello, recordLength, changes }) => {
    const bytes = [...hello.bytes];
    for (const { at, kind, byte } of changes) {
      const offset = Math.min(RECORD_HEADER_BYTES + Math.floor(at * bytes.length), bytes.length - 1);
      bytes.splice(offset, kind === 'insert' ? 0 : 1, ...(kind === 'delete' ? [] : [byte]));
    }
    return inRecordsOf(Buffer.from(bytes), recordLength);
  });

describe('node:tls reads the same', () => {
  let server: tls.Server;
  let port: number;
  let told: { servername: string; protocols: string[] } | undefined;

  before(async () => {
    server = tls.createServer({
      ...{ cert: clientA.cert, key: clientA.key, ciphers: 'ALL:@SECLEVEL=0' },
      ALPNCallback: (asked) => {
        told = asked;
        return undefined;
      },
    });
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    port = await listen(server);
  });
  after(() => server.close());

  /** What node:tls tells an ALPNCallback; nothing when it does not come so far. */
  async function nodesAnswer(bytes: Uint8Array): Promise<typeof told> {
    told = undefined;
    const client = net.connect(port, '127.0.0.1').on('error', () => undefined);
    client.end(bytes);
    client.resume();
    await once(client, 'close');
    return told;
  }

  for (const { client, bytes, serverName, protocols } of recordedHellos) {
    test(client, async () => {
      // What is fragmented once more, OpenSSL takes together as well.
      for (const sent of [bytes, inRecordsOf(bytes, 100)]) {
        const nodes = await nodesAnswer(sent);
        if (protocols.length === 0) assert.equal(nodes, undefined);
        else assert.deepEqual(nodes, { servername: serverName ?? false, protocols });
      }
    });
  }

  test('in messages that were changed on their way', async () => {
    let agreed = 0;
    await fc.assert(
      fc.asyncProperty(mutated, async (bytes) => {
        const answer = answerTo(bytewise(bytes));
        const nodes = await nodesAnswer(bytes);
        if (nodes === undefined) return;
        agreed += 1;
        assert.ok(typeof answer === 'object', String(answer));
        assert.deepEqual([answer.serverName ?? false, answer.protocols], [nodes.servername, nodes.protocols]);
      }),
      { numRuns: 300 },
    );
    assert.ok(agreed > 20, `only ${agreed} messages came as far as the callback`);
  });
});
