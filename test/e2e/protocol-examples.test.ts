// PROTOCOL.md at its word: its dialogues are replayed, and its two small clients run, against a real daemon.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { countingOrigin } from '#helpers/counting-origin.js';
import { NODE, spawnProcess } from '#helpers/run-node.js';
import { tempDir } from '#helpers/temp-dir.js';
import { startTestDaemon } from '#helpers/test-daemon.js';
import { type Authority, type Certificate, createCa } from '#src/cli/demo/pki.js';
import { textOf } from '../repo/repository.ts';
import { assertSameLine, dialoguesOf, play } from './dialogue.ts';

const page = textOf('PROTOCOL.md');
const dialogues = dialoguesOf(page);

let ca: Authority;
let leaf: Certificate;
before(async () => {
  ca = await createCa({ name: 'Example CA' });
  leaf = await ca.issue({ names: ['localhost'] });
});

test('the page has its dialogues', () => {
  assert.ok(dialogues.size >= 6, `${dialogues.size} dialogues`);
});

for (const [heading, steps] of dialogues) {
  test(`the dialogue "${heading}"`, async (t) => {
    const daemon = await startTestDaemon(t);
    const origin = await countingOrigin(t, { cert: leaf.cert, key: leaf.key });
    const { directory } = daemon;
    const went = await play(t, steps, { directory, port: origin.port, ca: ca.cert, leaf });
    for (const [index, { connection, direction, text }] of steps.entries()) {
      if (direction.startsWith('<')) assertSameLine(went[index] ?? '', `${connection} ${direction} ${text}`);
    }
  });
}

/** The program of the page in one language. */
function programIn(language: string): string {
  const found = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(page)?.[1];
  assert.ok(found !== undefined, `there is no program in ${language}`);
  return found;
}

const LANGUAGES = [
  { language: 'js', name: 'client.mjs', command: NODE },
  { language: 'python', name: 'client.py', command: 'python3' },
] as const;

for (const { language, name, command } of LANGUAGES) {
  test(`P1: the client in ${language} shares one session between two runs`, async (t) => {
    const program = programIn(language);
    if (spawnSync(command, ['--version']).status !== 0) {
      t.diagnostic(`${command} is not here; the client in the other language was run`);
      return;
    }
    const daemon = await startTestDaemon(t);
    const origin = await countingOrigin(t, { cert: leaf.cert, key: leaf.key });
    const directory = tempDir(t);
    writeFileSync(join(directory, name), program);
    writeFileSync(join(directory, 'ca.pem'), ca.cert);
    const args = [
      join(directory, name),
      join(daemon.directory, 'tlshub.sock'),
      String(origin.port),
      join(directory, 'ca.pem'),
    ];
    for (const reused of [false, true]) {
      const { code, stdout, stderr } = await spawnProcess(command, args, { stdin: 'hello\n' }).result;
      assert.deepEqual([code, stderr], [0, '']);
      assert.equal(stdout.trim().toLowerCase(), `ok hello reused: ${reused} pooled: true`);
    }
    assert.equal(origin.counts.handshakes, 1);
  });
}
