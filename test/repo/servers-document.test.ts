// docs/servers.md against the code: the options with their defaults both ways, the numbers of its limits, and its quick
// start as a reader would do it, with a client of node:tls in place of openssl.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { spawnNode } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { waitFor, within } from '#helpers/wait-for.js';
import { createCa } from '#src/cli/demo/pki.js';
import { DEFAULT_CONFIG } from '#src/daemon/config.js';
import { resolveServerSharing } from '#src/wrapper/server/server-sharing.js';
import { tableAfter, textOf } from './repository.ts';

const page = textOf('docs/servers.md');

/** The options that there are, by the message that refuses another one. */
function knownOptions(): string[] {
  try {
    resolveServerSharing({ nonsense: true });
  } catch (error) {
    return /there are: (.*)$/.exec((error as Error).message)?.[1]?.split(', ') ?? [];
  }
  return [];
}

test('the table of options has each once, with its default', () => {
  const rows = tableAfter(page, '## Options of `shared`');
  assert.deepEqual(
    rows.map(([name]) => name),
    knownOptions(),
  );
  const { group, survive, commit, context, fallback } = resolveServerSharing(true) ?? assert.fail();
  const { name, ...numbers } = group;
  assert.deepEqual([name, context, survive], [null, undefined, null]);
  const shown = { name: 'none', context: 'none', survive: 'see below', commit, fallback, ...numbers };
  for (const [option = '', value] of rows) {
    assert.equal(value, String(shown[option as keyof typeof shown]), option);
  }
});

test('the limits have the defaults of the code', () => {
  const rows = new Map(tableAfter(page, '## Limits').map(([limit = '', value = '']) => [limit, value]));
  const number = (limit: string) => Number(/^[\d,]+/.exec(rows.get(limit) ?? '')?.[0].replaceAll(',', ''));
  assert.equal(number('--max-handshakes'), DEFAULT_CONFIG.maxHandshakes);
  assert.equal(number('--max-handshakes-per-address'), DEFAULT_CONFIG.maxHandshakesPerAddress);
  assert.equal(number('--max-sessions'), DEFAULT_CONFIG.maxSessions);
  assert.equal(number('shared.backlog'), resolveServerSharing(true)?.group.backlog);
});

/** The worker of the quick start, as a program that listens where the test wants it. */
async function quickStart(t: TestContext) {
  const program = /^```js\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? '';
  assert.match(program, /server\.listen\(8443, /);
  const workers: ReturnType<typeof spawnNode>[] = [];
  // Before the daemon ends: they would start another.
  t.after(async () => {
    for (const { child } of workers) child.kill('SIGKILL');
    await Promise.all(workers.map(({ result }) => result));
  });
  const daemon = await startTestDaemon(t);
  const directory = tempDir(t);
  const { cert, key } = await (await createCa({ name: 'Test root' })).issue({ names: ['localhost'] });
  writeFileSync(join(directory, 'cert.pem'), cert);
  writeFileSync(join(directory, 'key.pem'), key);
  /** Starts a worker; answers it when it listens, with the port. */
  const start = async (port: number) => {
    const code = program
      .replace(
        'listen(8443, () => console.log(process.pid, ',
        'listen(PORT, () => console.log(server.address().port, ',
      )
      .replace('PORT', String(port))
      .replaceAll(
        /readFileSync\('(\w+\.pem)'\)/g,
        (_all, name) => `readFileSync('${join(directory, name)}')`,
      );
    const worker = spawnNode(code, { env: { TLSHUB_DIR: daemon.directory } });
    workers.push(worker);
    await worker.printed(' listens\n');
    return { child: worker.child, result: worker.result, port: Number.parseInt(worker.stdout, 10) };
  };
  return { daemon, start };
}

test('P15: the worker of the quick start is killed, and ended, and the next one goes on with its client', async (t) => {
  const { start } = await quickStart(t);
  const first = await start(0);
  const client = connect({ port: first.port, rejectUnauthorized: false });
  t.after(() => void client.destroy());
  let answers = '';
  client.setEncoding('utf8').on('data', (text) => {
    answers += text;
  });
  const exchange = async (line: string, expected: string) => {
    client.write(`${line}\n`);
    await waitFor(() => answers.includes(`${expected}\n`), { what: () => `"${expected}" in ${answers}` });
  };
  await within(once(client, 'secureConnect'), { what: 'the handshake' });
  await exchange('one', `${first.child.pid}: line 1 is one`);

  first.child.kill('SIGKILL');
  await first.result;
  client.write('two\n');
  const second = await start(first.port);
  await exchange('three', `${second.child.pid}: line 3 is three`);
  assert.ok(answers.includes(`${second.child.pid}: line 2 is two\n`), answers);

  const third = await start(first.port);
  second.child.kill('SIGTERM');
  assert.deepEqual((await second.result).code, 0);
  await exchange('four', `${third.child.pid}: line 4 is four`);
  assert.equal(client.readableEnded, false);
});
