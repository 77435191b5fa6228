// `tlshub doctor`: looks at everything that a daemon needs on this host and says what to do.
import type { Command } from 'commander';
import { type ClientFlags, clientCommand, examples } from '../client.ts';
import { directoryOf } from '../daemon-options.ts';
import { type CheckResult, runChecks } from '../doctor-checks.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { printable, printResult, type Style, styled } from '../output.ts';

const STATE_STYLES: Readonly<Record<CheckResult['state'], Style>> = {
  ok: 'green',
  note: 'yellow',
  failed: 'red',
};

/** The verb `doctor`. */
export function doctorCommand(): Command {
  return clientCommand(
    'doctor',
    'check directory, permissions, host, daemon and configuration, and say what to do',
  )
    .addHelpText(
      'after',
      `
Changes nothing and starts nothing. Exit code 1 when a check failed; a note is no failure.
${examples({ 'tlshub doctor': 'when sharing does not work', 'tlshub doctor --json': '{"ok":…,"checks":[…]}' })}`,
    )
    .action(doctorAction);
}

async function doctorAction(flags: ClientFlags): Promise<void> {
  const checks = await runChecks(directoryOf(flags));
  const healthy = checks.every(({ state }) => state !== 'failed');
  printResult({ ok: healthy, checks }, checks.map(describe).join('\n'), flags);
  if (!healthy) process.exitCode = EXIT_CODES.failed;
}

function describe({ check, state, found, advice }: CheckResult): string {
  const line = `${styled(state.padEnd(6), STATE_STYLES[state])}  ${check.padEnd(16)}  ${printable(found)}`;
  return advice === undefined ? line : `${line}\n${' '.repeat(26)}→ ${printable(advice)}`;
}
