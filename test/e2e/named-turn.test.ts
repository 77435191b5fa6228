// Issue 3, `turn` mode: any process may read, waiting readers are served in order, each gets one message, whole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#helpers/wait-for.js';
import type { Holder } from './named-holders.ts';
import { collect, makePlace } from './named-joins.ts';

const place = makePlace({ behaviour: { kind: 'silent' } });

const lines = { mode: 'turn', messages: { delimiter: '\n' } };

async function untilWaiting(readers: readonly Holder[], as: string): Promise<void> {
  // A round trip behind the order to read: its WANT is on the way before it.
  for (const reader of readers) await reader.report(as);
}

test('issue 3: each message goes to one reader, in one piece; all messages go to somebody', async () => {
  const readers = [place.holder(), place.holder(), place.holder()];
  const peer = await place.open(readers[0] as Holder, 'shared out', lines);
  for (const reader of readers.slice(1)) await place.join(reader, 'shared out', lines);
  for (const reader of readers) await reader.tell({ do: 'flow', as: 'shared out' });
  const wanted = Array.from({ length: 300 }, (_, index) => `message ${index} ${'x'.repeat(index * 7)}\n`);
  // Cut anywhere, as records are.
  const stream = wanted.join('');
  for (let offset = 0; offset < stream.length; offset += 1_237)
    peer.socket.write(stream.slice(offset, offset + 1_237));
  const got: string[][] = [[], [], []];
  await waitFor(
    async () => {
      for (const [index, reader] of readers.entries())
        got[index]?.push(...(await reader.report('shared out')).chunks);
      return got.flat().length === wanted.length;
    },
    { what: () => `${wanted.length} messages, not ${got.flat().length}` },
  );
  assert.deepEqual(got.flat().sort(), [...wanted].sort());
  for (const mine of got) {
    const places = mine.map((message) => wanted.indexOf(message));
    assert.deepEqual(
      places,
      [...places].sort((left, right) => left - right),
      'in the order of the stream',
    );
  }
});

test('issue 3: readers are served in the order in which they began to wait', async () => {
  const readers = [place.holder(), place.holder(), place.holder()];
  const peer = await place.open(readers[0] as Holder, 'in order', { ...lines, commit: 'manual' });
  for (const reader of readers.slice(1)) await place.join(reader, 'in order', { ...lines, commit: 'manual' });
  // With manual commit a reader asks for no second message before it has committed the first.
  for (const reader of [...readers].reverse()) {
    await reader.tell({ do: 'flow', as: 'in order' });
    await untilWaiting([reader], 'in order');
  }
  for (const [place_, text] of ['third\n', 'second\n', 'first\n'].entries()) {
    peer.socket.write(text);
    assert.deepEqual(await collect(readers[2 - place_] as Holder, 'in order', text.length), [text]);
  }
});

test('P6, P15: a message whose reader dies is given, whole, to the next; later readers still get later ones', async () => {
  const [one, two] = [place.holder(), place.holder()];
  const peer = await place.open(one, 'given again', { ...lines, commit: 'manual' });
  await place.join(two, 'given again', { ...lines, commit: 'manual' });
  await one.tell({ do: 'flow', as: 'given again' });
  peer.socket.write('the first\n');
  await collect(one, 'given again', 10);
  // Longer than a window: it comes in many frames, and lies before the message that this reader has had.
  const long = `${'long '.repeat(120_000)}\n`;
  await two.tell({ do: 'iterate', as: 'given again', commits: true });
  peer.socket.write(`the second\n${long}`);
  assert.deepEqual(await collect(two, 'given again', 11 + long.length), ['the second\n', long]);
  await one.kill();
  assert.deepEqual(await collect(two, 'given again', 10), ['the first\n']);
  peer.socket.write('the fourth\n');
  assert.deepEqual(await collect(two, 'given again', 11), ['the fourth\n']);
});

test('P6, P15: a long message whose reader dies while it comes is given again from its first byte', async () => {
  const reader = place.holder();
  const long = `${'0123456789'.repeat(60_000)}\n`;
  const peer = await place.open(reader, 'long again', { ...lines, commit: 'manual' });
  for (let round = 0; round < 4; round++) {
    const dying = place.holder();
    await place.join(dying, 'long again', lines);
    await dying.tell({ do: 'flow', as: 'long again' });
    peer.socket.write(long);
    if (round % 2 === 1) await new Promise((resolve) => setImmediate(resolve));
    await dying.kill();
  }
  await reader.tell({ do: 'iterate', as: 'long again', commits: true });
  // A process that took one before it died has consumed it.
  const chunks = await collect(reader, 'long again', long.length);
  assert.equal(chunks[0], long);
  peer.socket.write('the last\n');
  await waitFor(
    async () => {
      chunks.push(...(await reader.report('long again')).chunks);
      return chunks.at(-1) === 'the last\n';
    },
    { what: 'the last message' },
  );
  for (const chunk of chunks.slice(0, -1)) assert.ok(chunk === long, 'whole or not at all');
});

test('issue 3: a message that is longer than what a session holds otherwise still comes whole', async () => {
  const reader = place.holder();
  const peer = await place.open(reader, 'long', { mode: 'turn', messages: { lengthPrefix: 4 } });
  await reader.tell({ do: 'flow', as: 'long' });
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(900_000);
  const message = Buffer.concat([prefix, Buffer.alloc(900_000, 'm')]);
  peer.socket.write(message);
  peer.socket.write(Buffer.from([0, 0, 0, 1, 0x21]));
  const chunks = await collect(reader, 'long', message.length + 5);
  assert.deepEqual(
    chunks.map(({ length }) => length),
    [message.length, 5],
  );
});

test('issue 3: a message over 1 MiB ends the session with ERR_TLSHUB_LIMIT', async () => {
  const reader = place.holder();
  const peer = await place.open(reader, 'too long', lines);
  peer.socket.on('error', () => undefined);
  await reader.tell({ do: 'flow', as: 'too long' });
  peer.socket.write('fine\n');
  peer.socket.write('x'.repeat(1024 * 1024 + 1));
  let chunks: string[] = [];
  await waitFor(
    async () => {
      const report = await reader.report('too long');
      chunks = [...chunks, ...report.chunks];
      return report.error === 'ERR_TLSHUB_LIMIT';
    },
    { what: 'ERR_TLSHUB_LIMIT' },
  );
  assert.deepEqual(chunks, ['fine\n']);
});

test('issue 3: what follows the last boundary is given at the end; then every reader sees the end', async () => {
  const [one, two] = [place.holder(), place.holder()];
  const peer = await place.open(one, 'rest', lines);
  await place.join(two, 'rest', lines);
  for (const reader of [one, two]) await reader.tell({ do: 'flow', as: 'rest' });
  peer.socket.end('whole\nhalf');
  const chunks: string[] = [];
  const ended = new Set<Holder>();
  await waitFor(
    async () => {
      for (const reader of [one, two]) {
        const report = await reader.report('rest');
        chunks.push(...report.chunks);
        if (report.ended) ended.add(reader);
      }
      return ended.size === 2;
    },
    { what: 'the end at both readers' },
  );
  assert.deepEqual(chunks.sort(), ['half', 'whole\n']);
});

test('issue 3: what one write() brings is never interleaved with the writes of another process', async () => {
  const writers = [place.holder(), place.holder(), place.holder()];
  const peer = await place.open(writers[0] as Holder, 'writers', { mode: 'turn' });
  for (const writer of writers.slice(1)) await place.join(writer, 'writers', { mode: 'turn' });
  const sizes = [1, 100, 70_000, 130_000, 262_144, 262_145, 600_000, 5, 65_536];
  const wanted: string[] = [];
  await Promise.all(
    writers.flatMap((writer, index) =>
      sizes.map(async (size, round) => {
        const record = `<${`${index}:${round},`.repeat(Math.ceil(size / 4))}>`;
        wanted.push(record);
        await writer.tell({ do: 'write', as: 'writers', text: record });
      }),
    ),
  );
  const bytes = wanted.join('').length;
  await waitFor(() => peer.received().length >= bytes, {
    what: () => `${bytes} bytes, not ${peer.received().length}`,
  });
  const records = peer.received().match(/<[^<>]*>/g);
  assert.deepEqual(records?.sort(), wanted.sort());
});
