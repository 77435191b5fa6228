// Connections of a raw endpoint against a node:tls origin: every byte, every kind of end, slow readers, limits.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { type Behaviour, countingOrigin, type OriginOptions } from '#helpers/counting-origin.js';
import { CAN_BECOME_OTHERS, runAsOther } from '#helpers/other-user.js';
import { PatternChecker, patternPieces } from '#helpers/pattern.js';
import { hangingPort } from '#helpers/raw-origin.js';
import { fileScope, type Scope } from '#helpers/scope.js';
import { closed, exchange } from '#helpers/streams.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { waitFor } from '#helpers/wait-for.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import { type RunningEndpoint, startEndpoint } from '../../cli/run-endpoint.ts';

const file = fileScope();
let ca: Authority;
let leaf: Certificate;
let caFile: string;
let daemon: TestDaemon;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost', '127.0.0.1'] });
  caFile = join(tempDir(file), 'ca.pem');
  writeFileSync(caFile, ca.cert);
  daemon = await startTestDaemon(file);
});

async function endpointTo(
  scope: Scope,
  port: number,
  directory = daemon.directory,
): Promise<RunningEndpoint> {
  const args = ['--listen', '127.0.0.1:0', '--to', `localhost:${port}`, '--ca', caFile];
  return startEndpoint(scope, args, directory);
}

async function originAndEndpoint(scope: Scope, behaviour: Behaviour, options: Partial<OriginOptions> = {}) {
  const origin = await countingOrigin(scope, { ...leaf, behaviour, ...options });
  return { origin, endpoint: await endpointTo(scope, origin.port) };
}

/** How a connection ends for its client: by FIN or RST, and with what bytes before. */
async function endOf(client: Socket): Promise<{ text: string; end: boolean; code: string | undefined }> {
  const seen = { text: '', end: false, code: undefined as string | undefined };
  client.on('data', (chunk: Buffer) => {
    seen.text += chunk.toString('latin1');
  });
  client.on('end', () => {
    seen.end = true;
  });
  client.on('error', (error: NodeJS.ErrnoException) => {
    seen.code = error.code;
  });
  await closed(client);
  return seen;
}

test('P6: a pattern comes back unchanged, written while the session is still being opened', async (t) => {
  const { endpoint } = await originAndEndpoint(t, { kind: 'echo' }, { handshakeDelayMs: 100 });
  const client = endpoint.connect({ allowHalfOpen: true });
  const checker = new PatternChecker();
  client.on('data', (chunk: Buffer) => checker.push(chunk));
  const bytes = 8_000_000;
  for (const piece of patternPieces(bytes)) client.write(piece);
  client.end();
  await waitFor(() => client.readableEnded, { what: () => `the end after ${checker.bytes} bytes` });
  assert.equal(checker.bytes, bytes);
});

test('P8: a client that ends its side still gets the answer; the end of the peer is the end for the client', async (t) => {
  const steps = [{ receiveLine: true }, { text: 'answer' }, { close: 'close_notify' }] as const;
  const { origin, endpoint } = await originAndEndpoint(t, { kind: 'script', steps });
  const client = endpoint.connect({ allowHalfOpen: true });
  client.end('question\n');
  assert.deepEqual(await endOf(client), { text: 'answer', end: true, code: undefined });
  await waitFor(() => origin.counts.open === 0, { what: 'the session to end' });
});

test('P8: after the end of the peer the client may go on sending', async (t) => {
  const steps = [{ text: 'bye' }, { close: 'close_notify' }] as const;
  const { origin, endpoint } = await originAndEndpoint(
    t,
    { kind: 'script', steps },
    { tls: { allowHalfOpen: true } as object },
  );
  const client = endpoint.connect({ allowHalfOpen: true });
  client.resume();
  await waitFor(() => client.readableEnded, { what: 'the end' });
  client.end('last words');
  await waitFor(() => origin.tail() === 'last words', { what: () => `the last words: ${origin.tail()}` });
});

test('P8: a reset of the peer is a reset for the client, a reset of the client no orderly end for the peer', async (t) => {
  const steps = [{ text: 'half' }, { receiveLine: true }, { close: 'reset' }] as const;
  const { endpoint } = await originAndEndpoint(t, { kind: 'script', steps });
  const client = endpoint.connect();
  client.once('data', () => client.write('go\n'));
  assert.deepEqual(await endOf(client), { text: 'half', end: false, code: 'ECONNRESET' });

  const watched = await originAndEndpoint(t, { kind: 'lines' }, { watchEnds: true });
  const other = watched.endpoint.connect();
  assert.equal(await exchange(other, 'hello'), 'ok hello');
  other.resetAndDestroy();
  await waitFor(() => watched.origin.counts.open === 0, { what: 'the session to end' });
  assert.notEqual(watched.origin.outcomes()[0], 'close_notify');
  assert.notEqual(watched.origin.outcomes()[0], undefined);
});

test('a client that goes away while its session is opened costs nothing that stays', async (t) => {
  const endpoint = await endpointTo(t, await hangingPort(t));
  const client = endpoint.connect();
  await waitFor(async () => (await opening()) === 1, { what: 'the session to be opened' });
  client.resetAndDestroy();
  await waitFor(async () => (await connectionsOf(endpoint)) === 0, { what: 'the client to be gone' });
});

const statusOf = async () =>
  (await daemon.status()).status as {
    sessions: { opening: number };
    endpoints: { address: string; connections: number; refused: number }[];
  };
const opening = async () => (await statusOf()).sessions.opening;
const connectionsOf = async ({ address }: RunningEndpoint) =>
  (await statusOf()).endpoints.find((endpoint) => endpoint.address === address)?.connections;

test('P9: clients that do not read, and a peer that does not, hold little and slow nobody', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'lines' } });
  const endpoint = await endpointTo(t, origin.port);
  const lazy = Array.from({ length: 4 }, () => endpoint.connect());
  for (const client of lazy) {
    client.pause();
    client.write('send 30000000\n');
  }
  const silent = await countingOrigin(t, { ...leaf, behaviour: { kind: 'silent' } });
  const unread = await endpointTo(t, silent.port);
  const writer = unread.connect();
  for (const piece of patternPieces(8_000_000)) writer.write(piece);
  const held = async () => {
    const sessions = (await daemon.sessions()) as { bufferedBytes: number; endpoint: string | null }[];
    return sessions.filter(({ endpoint: of }) => of !== null).map(({ bufferedBytes }) => bufferedBytes);
  };
  await waitFor(async () => (await held()).length === 5, { what: 'five sessions' });
  const quick = endpoint.connect();
  for (let count = 0; count < 50; count += 1) assert.equal(await exchange(quick, `${count}`), `ok ${count}`);
  for (const bytes of await held()) assert.ok(bytes <= 256 * 1024, `${bytes} bytes`);
  const [first] = lazy as [Socket];
  const checker = new PatternChecker();
  first.on('data', (chunk: Buffer) => checker.push(chunk));
  first.resume();
  await waitFor(() => checker.bytes === 30_000_000, {
    what: () => `all bytes: ${checker.bytes}`,
    deadlineMs: 30_000,
  });
});

test('clients over the limit of a session key wait for their turn', async (t) => {
  const { directory } = await startTestDaemon(t, { arguments: ['--max-sessions-per-key', '2'] });
  const origin = await countingOrigin(t, leaf);
  const endpoint = await endpointTo(t, origin.port, directory);
  const clients = [1, 2, 3].map(() => endpoint.connect());
  const answers = clients.map((client, index) => exchange(client, `${index}`));
  await Promise.all(answers.slice(0, 2));
  assert.equal(origin.counts.open, 2);
  clients[0]?.end();
  assert.equal(await answers[2], 'ok 2');
});

test('P10: a process of another user is reset before a byte of its is read', async (t) => {
  const { origin, endpoint } = await originAndEndpoint(t, { kind: 'lines' });
  const script = `
    import { connect } from 'node:net';
    becomeOther();
    const socket = connect(Number(process.argv[1]), '127.0.0.1');
    let seen = '';
    socket.on('data', (chunk) => { seen += chunk; });
    socket.on('error', () => {});
    socket.on('close', () => console.log(JSON.stringify(seen)));
    socket.write('hello\\n');
  `;
  if (!CAN_BECOME_OTHERS) {
    await assert.rejects(runAsOther(script, [String(endpoint.port)]), /EPERM/);
    return;
  }
  assert.equal(await runAsOther(script, [String(endpoint.port)]), '');
  assert.equal(origin.counts.connections, 0);
  const report = (await statusOf()).endpoints.find(({ address }) => address === endpoint.address);
  assert.deepEqual([report?.refused, report?.connections], [1, 0]);
  assert.match(daemon.log(), /of another user \(uid 65534\)/);
});
