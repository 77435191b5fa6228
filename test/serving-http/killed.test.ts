// What becomes of a request when its worker is killed: one with a safe method of which no byte of an answer has left
// goes to another worker, once; no other does. Real processes, one TLS connection each.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { unusedPort } from '#helpers/listen.js';
import { waitFor, within } from '#helpers/wait-for.js';
import https from '#src/https.js';
import { startWorker } from './hand-off-worker.ts';
import { listening, serving, textClient } from './serving.ts';

const prepared = serving();
const HEAD = 'HTTP/1.1\r\nHost: localhost\r\n';

for (const before of ['as its first', 'after another'])
  for (const method of ['GET', 'HEAD', 'OPTIONS'])
    test(`P6: a ${method} whose worker is killed before it answers is answered by another, once (${before})`, async (t) => {
      const port = await unusedPort();
      const first = await startWorker(t, prepared, port, 'first');
      const client = await textClient(t, { ca: prepared.ca, port });
      if (before === 'after another') {
        client.write(`GET /1 ${HEAD}\r\n`);
        await client.until(/first answers \/1\n/);
        await first.printed('idle /1');
      }
      client.write(`${method} /die/first ${HEAD}\r\n`);
      assert.equal((await first.result).signal, 'SIGKILL');
      const second = await startWorker(t, prepared, port, 'second');
      if (method === 'HEAD') await client.until(/200 OK[\s\S]*\r\n\r\n$/);
      else await client.until(/second answers \/die\/first\n/);
      client.write(`GET /2 ${HEAD}\r\n`);
      await client.until(/second answers \/2\n/);
      assert.deepEqual(second.requests(), ['/die/first', '/2']);
      assert.equal(first.requests().filter((url) => url === '/die/first').length, 1);
      assert.equal(client.text.match(/200 OK/g)?.length, before === 'after another' ? 3 : 2);
      assert.equal(client.ended, undefined);
    });

test('P6: a request that kills every worker kills two, and the third serves the others', async (t) => {
  const port = await unusedPort();
  const [killer, other] = ['killer', 'other'];
  const workers = [await startWorker(t, prepared, port, 'first')];
  const clients = { [killer]: await textClient(t, { ca: prepared.ca, port }) };
  clients[other] = await textClient(t, { ca: prepared.ca, port });
  clients[other].write(`GET /1 ${HEAD}\r\n`);
  await clients[other].until(/first answers \/1\n/);
  await workers[0]?.printed('idle /1');
  clients[killer]?.write(`GET /die ${HEAD}\r\n`);
  assert.equal((await workers[0]?.result)?.signal, 'SIGKILL');
  workers.push(await startWorker(t, prepared, port, 'second'));
  assert.equal((await workers[1]?.result)?.signal, 'SIGKILL');
  workers.push(await startWorker(t, prepared, port, 'third'));
  await clients[killer]?.over();
  clients[other].write(`GET /2 ${HEAD}\r\n`);
  await clients[other].until(/third answers \/2\n/);
  assert.deepEqual(
    workers.map((worker) => worker.requests()),
    [['/1', '/die'], ['/die'], ['/2']],
  );
});

test('P6: an answer that was begun is not begun again by another worker', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const client = await textClient(t, { ca: prepared.ca, port });
  client.write(`GET /begun/die ${HEAD}\r\n`);
  assert.equal((await first.result).signal, 'SIGKILL');
  const second = await startWorker(t, prepared, port, 'second');
  await client.over();
  assert.deepEqual(second.requests(), []);
  assert.equal(client.text.match(/200 OK/g)?.length, 1);
});

test('P6: a worker that is killed when its answer has just left leaves an idle connection', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const client = await textClient(t, { ca: prepared.ca, port });
  client.write(`GET /ended/die ${HEAD}\r\n`);
  assert.equal((await first.result).signal, 'SIGKILL');
  await client.until(/first answers \/ended\/die\n/);
  const second = await startWorker(t, prepared, port, 'second');
  client.write(`GET /2 ${HEAD}\r\n`);
  await client.until(/second answers \/2\n/);
  assert.deepEqual([first.requests(), second.requests()], [['/ended/die'], ['/2']]);
});

test('P6: a worker that is killed when its last answer has just left leaves a connection that is over', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const client = await textClient(t, { ca: prepared.ca, port });
  client.write('GET /ended/die HTTP/1.0\r\n\r\n');
  assert.equal((await first.result).signal, 'SIGKILL');
  await client.until(/first answers \/ended\/die\n/);
  const second = await startWorker(t, prepared, port, 'second', { keepAliveTimeout: 0 });
  await client.over();
  assert.deepEqual(second.requests(), []);
});

for (const how of ['in one piece', 'one by one'])
  test(`P6: a POST behind a GET that waits is not done twice, nor is the GET (${how})`, async (t) => {
    const port = await unusedPort();
    const first = await startWorker(t, prepared, port, 'first');
    const client = await textClient(t, { ca: prepared.ca, port });
    const [get, post] = [`GET /slow ${HEAD}\r\n`, `POST /die ${HEAD}Content-Length: 0\r\n\r\n`];
    if (how === 'one by one') {
      client.write(get);
      await waitFor(() => first.requests().includes('/slow'), { what: 'the GET' });
      client.write(post);
    } else client.write(get + post);
    assert.equal((await first.result).signal, 'SIGKILL');
    const second = await startWorker(t, prepared, port, 'second');
    await client.over();
    assert.deepEqual([first.requests(), second.requests()], [['/slow', '/die'], []]);
  });

test('P6: a POST behind a GET that was answered in the same moment is not done twice', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const client = await textClient(t, { ca: prepared.ca, port });
  client.write(`GET /1 ${HEAD}\r\n`);
  client.write(`POST /die ${HEAD}Content-Length: 0\r\n\r\n`);
  assert.equal((await first.result).signal, 'SIGKILL');
  const second = await startWorker(t, prepared, port, 'second');
  await client.over();
  assert.deepEqual([first.requests(), second.requests()], [['/1', '/die'], []]);
});

test('P6: a state that the application sets in a request counts from behind that request', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const client = await textClient(t, { ca: prepared.ca, port });
  client.write(`GET /keep ${HEAD}\r\n`);
  await first.printed('kept');
  first.child.kill('SIGKILL');
  await first.result;
  const second = await startWorker(t, prepared, port, 'second');
  await second.printed('adopt two');
  client.write('more\n');
  await client.until(/second echoes more two\n/);
  assert.equal(client.text, 'second echoes more two\n');
});

for (const how of ['end', 'destroy'] as const)
  test(`a client that leaves while a GET waits is noticed (${how})`, async (t) => {
    const { leaf, ca } = prepared;
    const responses: ServerResponse[] = [];
    const server = https.createServer({ ...leaf, shared: { survive: true } }, (_request, response) => {
      responses.push(response);
    });
    const client = await textClient(t, { ca, port: await listening(t, server) });
    client.write(`GET / ${HEAD}\r\n`);
    await waitFor(() => responses.length === 1, { what: 'the request' });
    const [response] = responses;
    assert.ok(response);
    const gone = once(response, 'close');
    client.socket[how]();
    await within(gone, { what: 'the end of the response' });
  });
