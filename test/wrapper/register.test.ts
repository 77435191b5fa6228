// tlshub/register in one process, sharing everything: what it puts on Node's module objects. What programs get from it
// is in ../e2e/register-*.test.ts.
import assert from 'node:assert/strict';
import https, { Agent as ImportedAgent, globalAgent as importedGlobalAgent } from 'node:https';
import { createRequire } from 'node:module';
import { before, test } from 'node:test';
import tls, { connect as importedConnect, type TLSSocket } from 'node:tls';
import { ask, untilFree, untilStates } from '#helpers/agent-client.js';
import { countingOrigin } from '#helpers/counting-origin.js';
import { httpOrigin } from '#helpers/http-origin.js';
import { fileScope } from '#helpers/scope.js';
import { opened } from '#helpers/streams.js';
import { startTestDaemon, type TestDaemon } from '#helpers/test-daemon.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import type { TlshubSocket } from '#src/index.js';

const nodes = {
  connect: tls.connect,
  Agent: https.Agent,
  globalAgent: https.globalAgent,
  earlyAgent: new https.Agent(),
};

const scope = fileScope();
let ca: Authority;
let leaf: Certificate;
let daemon: TestDaemon;
before(async () => {
  ca = await createCa({ name: 'Test root' });
  leaf = await ca.issue({ names: ['localhost'] });
  daemon = await startTestDaemon(scope);
  process.env.TLSHUB_DIR = daemon.directory;
  delete process.env.TLSHUB_SHARE;
  await import('#src/register.js');
});

/** Opens a connection and answers what it says about its sharing. */
async function sharingOf(socket: TLSSocket): Promise<unknown> {
  const { sharing } = (await opened(socket)) as TlshubSocket;
  socket.destroy();
  return sharing && { shared: sharing.shared, reason: sharing.reason };
}

const SHARED = { shared: true, reason: null };

test('every way to get at a function of Node gives the new one, once', async () => {
  assert.notEqual(tls.connect, nodes.connect);
  const require = createRequire(import.meta.url);
  for (const module of [tls, require('node:tls'), await import('node:tls')]) {
    assert.equal(module.connect, tls.connect);
  }
  assert.deepEqual([importedConnect, ImportedAgent], [tls.connect, https.Agent]);
  assert.equal(importedGlobalAgent, https.globalAgent);
  const { connect } = tls;
  const { register } = await import('#src/wrapper/register.js');
  register();
  assert.equal(tls.connect, connect);
});

test('the replaced functions look like those of Node', () => {
  assert.deepEqual([tls.connect.name, tls.connect.length], [nodes.connect.name, nodes.connect.length]);
  assert.equal(https.Agent.name, 'Agent');
  assert.deepEqual({ ...https.globalAgent.options }, { ...nodes.globalAgent.options });
});

test('all overloads of tls.connect share', async (t) => {
  const { port } = await countingOrigin(t, leaf);
  const options = { ca: ca.cert, host: 'localhost' };
  assert.deepEqual(await sharingOf(tls.connect({ ...options, port })), SHARED);
  assert.deepEqual(await sharingOf(tls.connect(port, options)), SHARED);
  assert.deepEqual(await sharingOf(tls.connect(port, 'localhost', { ca: ca.cert })), SHARED);
  let called = false;
  const socket = tls.connect(port, 'localhost', { ca: ca.cert }, () => {
    called = true;
  });
  assert.deepEqual(await sharingOf(socket), SHARED);
  assert.equal(called, true);
});

test('P3: an explicit `shared: false` is node:tls', async (t) => {
  const { port } = await countingOrigin(t, leaf);
  const socket = tls.connect({ port, ca: ca.cert, shared: false } as tls.ConnectionOptions);
  assert.equal(Object.getPrototypeOf(socket), tls.TLSSocket.prototype);
  assert.equal(await sharingOf(socket), undefined);
});

test('P5: what cannot be shared runs in the process and says why', async (t) => {
  const { port } = await countingOrigin(t, leaf);
  const socket = tls.connect({ port, ca: ca.cert, pskCallback: () => null });
  const { sharing } = (await opened(socket)) as TlshubSocket;
  assert.deepEqual([sharing.shared, sharing.reason?.includes('pskCallback')], [false, true]);
  socket.destroy();
});

test('P4: wrong options throw what they throw without tlshub', () => {
  const wrong: unknown[][] = [
    [],
    [{}],
    [{ port: 1, ca: 5 }],
    [{ port: 70_000 }],
    [{ port: 1, checkServerIdentity: 5 }],
  ];
  const thrown = (connect: (...args: unknown[]) => TLSSocket, args: unknown[]) => {
    try {
      connect(...args)
        .on('error', () => undefined)
        .destroy();
      return 'nothing';
    } catch (error) {
      const { name, message, code } = error as NodeJS.ErrnoException;
      return { name, message, code };
    }
  };
  for (const args of wrong) {
    const expected = thrown(nodes.connect as (...args: unknown[]) => TLSSocket, args);
    assert.deepEqual(thrown(tls.connect as (...args: unknown[]) => TLSSocket, args), expected);
  }
});

test('a context of tls.createSecureContext can be shared', async (t) => {
  const { port } = await countingOrigin(t, leaf);
  const secureContext = tls.createSecureContext({ ca: ca.cert });
  assert.deepEqual(await sharingOf(tls.connect({ port, secureContext })), SHARED);
});

test('agents of every kind lease and give back', async (t) => {
  class Heir extends https.Agent {}
  function OldHeir(this: https.Agent, options: https.AgentOptions) {
    (https.Agent as unknown as (options: https.AgentOptions) => void).call(this, options);
  }
  Object.setPrototypeOf(OldHeir.prototype, https.Agent.prototype);
  const options = { ca: ca.cert };
  const agents: Record<string, https.Agent> = {
    'new https.Agent': new https.Agent(options),
    'with keepAlive': new https.Agent({ ...options, keepAlive: true }),
    'without new': (https.Agent as unknown as (options: https.AgentOptions) => https.Agent)(options),
    'a class that extends it': new Heir(options),
    'an old heir': new (OldHeir as unknown as typeof https.Agent)(options),
  };
  for (const [title, agent] of Object.entries(agents)) {
    const origin = await httpOrigin(t, leaf);
    const { socket } = await ask({ agent, port: origin.port });
    assert.equal(socket.sharing?.shared, true, title);
    await untilFree(agent);
    agent.destroy();
    await untilStates(daemon, origin.port, ['idle']);
  }
});

test('the global agent, and no agent, lease and give back', async (t) => {
  for (const agent of [undefined, false] as const) {
    const origin = await httpOrigin(t, leaf);
    await ask({ agent, port: origin.port, ca: ca.cert });
    await untilStates(daemon, origin.port, ['idle']);
  }
});

test('agents know each other', () => {
  class Heir extends https.Agent {}
  const heir = new Heir();
  assert.deepEqual(
    [nodes.earlyAgent, https.globalAgent, new https.Agent(), heir].map(
      (agent) => agent instanceof https.Agent,
    ),
    [true, true, true, true],
  );
  assert.deepEqual([heir instanceof Heir, new https.Agent() instanceof Heir], [true, false]);
  assert.equal(heir instanceof nodes.Agent, true);
  assert.equal(({} as unknown) instanceof https.Agent, false);
  assert.equal(new https.Agent().constructor, https.Agent);
});

test('an agent that was made before shares for the process, and its tickets do not stand in the way', async (t) => {
  const origin = await countingOrigin(t, { ...leaf, behaviour: { kind: 'http' } });
  for (let count = 0; count < 3; count += 1) {
    const { socket } = await ask({ agent: nodes.earlyAgent, port: origin.port, ca: ca.cert });
    assert.deepEqual([socket.sharing?.shared, socket.sharing?.reason], [true, null]);
  }
  assert.deepEqual([origin.counts.connections, origin.counts.resumptions], [3, 2]);
});
