// docs/operating.md against the code, both ways: flags with their defaults, exit codes, variables, file names.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Command } from 'commander';
import { addDaemonOptions, NUMBER_FLAGS } from '#src/cli/daemon-options.js';
import { EXIT_CODES } from '#src/cli/exit-codes.js';
import { DEFAULT_CONFIG, LOG_LEVELS } from '#src/daemon/config.js';
import { daemonEnvironment } from '#src/wrapper/daemon-environment.js';

const page = readFileSync('docs/operating.md', 'utf8');

/** The rows of the table under a heading, as cells without backticks. */
function rowsUnder(heading: string): string[][] {
  const section = page.split(`${heading}\n`)[1] ?? '';
  const lines = section.slice(section.indexOf('\n|---')).split('\n').slice(2);
  const end = lines.findIndex((line) => !line.startsWith('|'));
  return lines.slice(0, end).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

test('operating.md has every flag of the daemon with its default, and no other', () => {
  const rows = rowsUnder('## Flags of `tlshub daemon` and `tlshub start`');
  const flags = addDaemonOptions(new Command('daemon')).options.map(({ long }) => long);
  assert.deepEqual(rows.map(([flag]) => flag?.split(' ')[0]).sort(), flags.sort());
  for (const { name, placeholder, field, show } of NUMBER_FLAGS) {
    const row = rows.find(([flag]) => flag === `--${name} ${placeholder}`);
    assert.equal(row?.[1], show(DEFAULT_CONFIG[field]), name);
  }
  assert.ok(page.includes(`least level that is logged: ${LOG_LEVELS.join(', ')} |`));
});

test('operating.md has every exit code, and no other', () => {
  const codes = rowsUnder('### Exit codes').map(([code]) => Number(code));
  assert.deepEqual(codes.sort(), Object.values(EXIT_CODES).sort());
});

test('operating.md has the variables that a daemon is started with', () => {
  const sentence = /an environment of ([^.]*?) \(not `TLSHUB_SHARE`\)/s.exec(page)?.[1] ?? '';
  const named = [...sentence.matchAll(/`([A-Z_]+\*?)`/g)].map(([, name = '']) => name.replace('*', 'X'));
  assert.ok(named.length >= 10, sentence);
  const environment = Object.fromEntries(named.map((name) => [name, 'x']));
  assert.deepEqual(daemonEnvironment({ ...environment, TLSHUB_SHARE: 'x', NODE_OPTIONS: 'x' }), environment);
});
