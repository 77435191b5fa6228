// A deploy and a crash of an HTTPS service whose sessions survive, as its clients see them: real processes, one TLS
// connection each.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unusedPort } from '#helpers/listen.js';
import { waitFor } from '#helpers/wait-for.js';
import { startWorker } from './hand-off-worker.ts';
import { serving, type TextClient, textClient } from './serving.ts';

const prepared = serving();
const HEAD = 'HTTP/1.1\r\nHost: localhost\r\n';

/** Sends a request, and waits for the answer. */
async function ask(client: TextClient, url: string, worker: string): Promise<void> {
  client.write(`GET ${url} ${HEAD}\r\n`);
  await client.until(new RegExp(`${worker} answers ${url}\n`));
}

test('P6: a deploy: idle connections go on in the next worker, busy ones after their answer', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const options = { ca: prepared.ca, port };
  const [fresh, idle, busy, pipelined] = await Promise.all([1, 2, 3, 4].map(() => textClient(t, options)));
  assert.ok(fresh && idle && busy && pipelined);
  await ask(idle, '/1', 'first');
  busy.write(`GET /slow ${HEAD}\r\n`);
  pipelined.write(`GET /slow/a ${HEAD}\r\nGET /b ${HEAD}\r\nGET /half HTT`);
  await waitFor(() => first.requests().length === 4, { what: 'the slow requests' });

  first.tell('hand off');
  await first.printed('handing off');
  const second = await startWorker(t, prepared, port, 'second');
  await ask(idle, '/2', 'second');
  await ask(fresh, '/3', 'second');
  assert.doesNotMatch(first.stdout, /handed off/);

  first.tell('answer');
  await busy.until(/first answers \/slow\n/);
  await ask(busy, '/4', 'second');
  await pipelined.until(/first answers \/slow\/a\n[\s\S]*first answers \/b\n/);
  assert.doesNotMatch(first.stdout, /handed off/, 'half a request is not handed off');
  pipelined.write(`P/1.1\r\nHost: localhost\r\n\r\n`);
  await pipelined.until(/first answers \/half\n/);
  await ask(pipelined, '/5', 'second');
  assert.equal((await first.result).code, 0);
  assert.match(first.stdout, /handed off/);
  assert.deepEqual(first.requests().sort(), ['/1', '/b', '/half', '/slow', '/slow/a']);
  assert.deepEqual(second.requests().sort(), ['/2', '/3', '/4', '/5']);
  for (const client of [fresh, idle, busy, pipelined]) assert.equal(client.ended, undefined);
});

test('P6: a request that comes while there is no worker is answered by the next', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const client = await textClient(t, { ca: prepared.ca, port });
  await ask(client, '/1', 'first');
  first.tell('hand off');
  await first.result;
  client.write(`GET /2 ${HEAD}\r\nGET /3 ${HEAD}\r\n`);
  const second = await startWorker(t, prepared, port, 'second');
  await client.until(/second answers \/3\n/);
  assert.deepEqual([first.requests(), second.requests()], [['/1'], ['/2', '/3']]);
});

test('P6: a crash closes the connections with a request, the idle ones go on; nothing is done twice', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const options = { ca: prepared.ca, port };
  const [fresh, idle, busy, half, halfNext] = await Promise.all(
    [1, 2, 3, 4, 5].map(() => textClient(t, options)),
  );
  assert.ok(fresh && idle && busy && half && halfNext);
  await ask(idle, '/1', 'first');
  await ask(busy, '/2', 'first');
  busy.write(`POST /slow ${HEAD}Content-Length: 1000\r\n\r\nbegun`);
  half.write('GET /half HTTP/1.1\r\nHo');
  halfNext.write(`GET /whole ${HEAD}\r\nGET /half HTTP/1.1\r\nHo`);
  await halfNext.until(/first answers \/whole\n/);
  await waitFor(() => first.requests().includes('/slow'), { what: 'the slow request' });
  await ask(idle, '/3', 'first');
  await first.printed('idle /3');
  first.child.kill('SIGKILL');
  await first.result;
  const second = await startWorker(t, prepared, port, 'second');
  await busy.over();
  await half.over();
  await halfNext.over();
  await ask(idle, '/4', 'second');
  await ask(fresh, '/5', 'second');
  assert.deepEqual(second.requests(), ['/4', '/5']);
  assert.deepEqual([fresh.ended, idle.ended], [undefined, undefined]);
});

for (const [method, commit] of [
  ['POST', 'auto'],
  ['POST', 'manual'],
  ['GET', 'manual'],
])
  test(`P6: a request that kills its worker is not given to the next one (${method}, commit: ${commit})`, async (t) => {
    const port = await unusedPort();
    const options = { shared: { survive: true, commit } };
    const first = await startWorker(t, prepared, port, 'first', options);
    const client = await textClient(t, { ca: prepared.ca, port });
    await ask(client, '/1', 'first');
    await first.printed('idle /1');
    client.write(`${method} /die ${HEAD}\r\n`);
    assert.equal((await first.result).signal, 'SIGKILL');
    const second = await startWorker(t, prepared, port, 'second', options);
    await client.over();
    assert.deepEqual([first.requests(), second.requests()], [['/1', '/die'], []]);
  });

test('P6: what a process that hung never read, the next worker is given', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const client = await textClient(t, { ca: prepared.ca, port });
  await ask(client, '/1', 'first');
  await first.printed('idle /1');
  first.child.kill('SIGSTOP');
  client.write(`GET /2 ${HEAD}\r\n`);
  first.child.kill('SIGKILL');
  await first.result;
  const second = await startWorker(t, prepared, port, 'second');
  await client.until(/second answers \/2\n/);
  assert.deepEqual([first.requests(), second.requests()], [['/1'], ['/2']]);
});

test('P6: upgraded connections reach the listener of `adopt`, with the state that the application keeps', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const upgrade = `${HEAD}Connection: Upgrade\r\nUpgrade: echo\r\n\r\n`;
  const [kept, plain] = await Promise.all([1, 2].map(() => textClient(t, { ca: prepared.ca, port })));
  assert.ok(kept && plain);
  kept.write(`GET /kept ${upgrade}`);
  plain.write(`GET /plain ${upgrade}`);
  for (const client of [kept, plain]) {
    await client.until(/101 Switching/);
    client.write('one\n');
    await client.until(/first echoes one upgraded\n/);
  }
  first.child.kill('SIGKILL');
  await first.result;
  const second = await startWorker(t, prepared, port, 'second');
  kept.write('two\n');
  plain.write('two\n');
  await kept.until(/second echoes two kept\n/);
  await plain.until(/second echoes two null\n/);
  second.tell('hand off');
  await second.result;
  await startWorker(t, prepared, port, 'third');
  kept.write('three\n');
  plain.write('three\n');
  await kept.until(/third echoes three kept\n/);
  await plain.until(/third echoes three null\n/);
});

test('a connection that was taken over has the time of an idle one', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const client = await textClient(t, { ca: prepared.ca, port });
  await ask(client, '/1', 'first');
  first.tell('hand off');
  await first.result;
  await startWorker(t, prepared, port, 'second', { keepAliveTimeout: 50 });
  assert.equal(await client.over(), 'end');
});

test('a request whose answer came before its body is handed off behind the body', async (t) => {
  const port = await unusedPort();
  const first = await startWorker(t, prepared, port, 'first');
  const client = await textClient(t, { ca: prepared.ca, port });
  client.write(`POST /early ${HEAD}Content-Length: 10\r\n\r\nhello`);
  await client.until(/first answers \/early\n/);
  first.tell('hand off');
  await first.printed('handing off');
  await startWorker(t, prepared, port, 'second');
  client.write('world');
  await ask(client, '/2', 'second');
  await first.result;
});

test('a deploy of a server whose sessions do not survive: idle connections end, busy ones after their answer', async (t) => {
  const port = await unusedPort();
  const raw = { shared: { survive: false } };
  const first = await startWorker(t, prepared, port, 'first', raw);
  const options = { ca: prepared.ca, port };
  const [fresh, idle, busy] = await Promise.all([1, 2, 3].map(() => textClient(t, options)));
  assert.ok(fresh && idle && busy);
  await ask(idle, '/1', 'first');
  busy.write(`GET /slow ${HEAD}\r\n`);
  await waitFor(() => first.requests().includes('/slow'), { what: 'the slow request' });
  first.tell('hand off');
  await first.printed('handing off');
  await Promise.all([fresh.over(), idle.over()]);
  const second = await startWorker(t, prepared, port, 'second', raw);
  const next = await textClient(t, options);
  await ask(next, '/2', 'second');
  assert.doesNotMatch(first.stdout, /handed off/);
  first.tell('answer');
  await busy.until(/first answers \/slow\n/);
  await busy.over();
  assert.equal((await first.result).code, 0);
  assert.deepEqual(second.requests(), ['/2']);
});

for (const [method, commit] of [
  ['POST', 'auto'],
  ['POST', 'manual'],
  ['GET', 'auto'],
])
  test(`P6: deploys and crashes under load: no deploy is noticed, each is answered once (${method}, commit: ${commit})`, async (t) => {
    const port = await unusedPort();
    const options = { shared: { survive: true, commit } };
    const workers = [await startWorker(t, prepared, port, 'w0', options)];
    let over = false;
    let sent = 0;
    const answered: string[] = [];
    const converse = async (): Promise<void> => {
      while (!over) {
        const client = await textClient(t, { ca: prepared.ca, port });
        while (!over && client.ended === undefined) {
          const url = `/${sent++}`;
          client.write(
            `${method} ${url} ${HEAD}${method === 'POST' ? 'Content-Length: 5\r\n\r\nhe' : '\r\n'}`,
          );
          if (method === 'POST') client.write('llo');
          const outcome = await waitFor(() => (client.text.includes(` ${url}\n`) ? 'answer' : client.ended), {
            what: `the answer to ${url}`,
          });
          if (outcome === 'answer') answered.push(url);
          else unanswered.push(url);
        }
        client.socket.destroy();
        const seen = client.text.match(/answers .*\n/g) ?? [];
        assert.equal(new Set(seen).size, seen.length, 'an answer came twice');
      }
    };
    const unanswered: string[] = [];
    const clients = Array.from({ length: 8 }, converse);
    const progress = async () => {
      const goal = answered.length + 50;
      await waitFor(() => answered.length >= goal, { what: 'answers' });
    };
    for (const [index, end] of ['hand off', 'hand off', 'SIGKILL', 'hand off', 'SIGKILL'].entries()) {
      await progress();
      const last = workers.at(-1);
      const failed = unanswered.length;
      if (end === 'SIGKILL') last?.child.kill('SIGKILL');
      else last?.tell('hand off');
      workers.push(await startWorker(t, prepared, port, `w${index + 1}`, options));
      await last?.result;
      await progress();
      if (end === 'hand off') assert.equal(unanswered.length, failed, 'a deploy was noticed');
      else assert.ok(unanswered.length - failed <= clients.length);
    }
    over = true;
    await Promise.all(clients);
    const done = workers.flatMap((worker) => worker.requests());
    const most = method === 'POST' ? 1 : 2;
    for (const url of new Set(done))
      assert.ok(done.filter((each) => each === url).length <= most, `${url} was done too often`);
    for (const url of answered) assert.ok(done.includes(url), `${url} was answered by nobody`);
  });
