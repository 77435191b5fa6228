// The client's side of tlshub/https and tlshub/http2: `shared` where it is asked for, else Node's own.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import nodeHttps from 'node:https';
import { test } from 'node:test';
import { countingOrigin } from '#helpers/counting-origin.js';
import { waitFor, within } from '#helpers/wait-for.js';
import http2 from '#src/http2.js';
import https from '#src/https.js';
import tlshub, { type TlshubSocket } from '#src/index.js';
import { listening, serving } from './serving.ts';

const prepared = serving();

/** Waits for the whole response, and answers whether its session was shared. */
async function sharingOf(request: ClientRequest): Promise<boolean | undefined> {
  const [response] = (await within(once(request, 'response'), { what: 'the response' })) as [IncomingMessage];
  const { sharing } = response.socket as TlshubSocket;
  response.resume();
  await once(response, 'end');
  return sharing?.shared;
}

test('https.get and https.request: `shared` takes an agent of tlshub, in every overload', async (t) => {
  const origin = await countingOrigin(t, { ...prepared.leaf, behaviour: { kind: 'http' } });
  const target = { host: 'localhost', port: origin.port, ca: prepared.ca };
  const url = `https://localhost:${origin.port}/`;
  const shared = true;
  assert.equal(await sharingOf(https.get({ ...target, shared })), true);
  assert.equal(await sharingOf(https.get(url, { ca: prepared.ca, shared })), true);
  assert.equal(await sharingOf(https.request(new URL(url), { ca: prepared.ca, shared }).end()), true);
  assert.equal(await sharingOf(https.get({ ...target, shared, agent: false })), true);
  assert.equal(await sharingOf(https.get({ ...target, agent: new https.Agent({ shared }) })), true);
  assert.equal(await sharingOf(https.get(target)), undefined);
  assert.equal(await sharingOf(https.get({ ...target, shared: false })), undefined);
  assert.equal(await sharingOf(https.get({ ...target, agent: new https.Agent() })), undefined);
});

test('the agents of tlshub/https are those of Node unless they are shared', () => {
  assert.equal(https.globalAgent, nodeHttps.globalAgent);
  assert.ok(new https.Agent() instanceof nodeHttps.Agent);
  assert.equal(Object.getPrototypeOf(new https.Agent({ keepAlive: true })), nodeHttps.Agent.prototype);
  assert.ok(new https.Agent({ shared: true } as object) instanceof tlshub.Agent);
  assert.throws(() => new https.Agent({ shared: 'yes' } as never), { code: 'ERR_TLSHUB_INVALID_OPTION' });
});

test('every name of node:https and of node:http2 is there', async () => {
  for (const name of ['https', 'http2'] as const) {
    const nodes = (await import(`node:${name}`)) as Record<string, unknown>;
    const ours = (await import(`#src/${name}.js`)) as Record<string, unknown>;
    for (const key of Object.keys(nodes)) {
      assert.ok(key in ours, `${name}.${key}`);
      assert.ok(key === 'default' || key in (ours.default as object), `${name}.default.${key}`);
    }
  }
});

test('http2.connect: a session of the daemon where it is asked for', async (t) => {
  const server = http2.createSecureServer(prepared.leaf, (_request, response) => void response.end('ok'));
  const port = await listening(t, server);
  const status = async () => JSON.stringify(await prepared.daemon.sessions());
  for (const shared of [true, false]) {
    const session = http2.connect(`https://localhost:${port}`, { ca: prepared.ca, shared });
    let text = '';
    for await (const chunk of session.request({ ':path': '/' })) text += String(chunk);
    assert.equal(text, 'ok');
    assert.deepEqual([session.encrypted, session.alpnProtocol], [true, 'h2']);
    const socket = session.socket as TlshubSocket;
    assert.equal(socket.sharing?.shared, shared || undefined);
    assert.ok(socket.authorized);
    assert.match(String(socket.getPeerCertificate().subjectaltname), /localhost/);
    assert.equal((await status()).includes(`:${port}`), shared);
    session.close();
    await within(once(session, 'close'), { what: 'the end of the session' });
    await waitFor(async () => !(await status()).includes(`:${port}`), { what: 'the end in the daemon' });
  }
});

test('http2.connect refuses a name, and a `shared` that is wrong', () => {
  for (const shared of [{ name: 'a' }, 'yes']) {
    assert.throws(() => http2.connect('https://localhost:1', { shared: shared as never }), {
      code: 'ERR_TLSHUB_INVALID_OPTION',
    });
  }
});
