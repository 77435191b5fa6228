// `tlshub status`: what the daemon tells about itself.
import type { Command } from 'commander';
import { type ClientFlags, clientCommand, examples, openLink } from '../client.ts';
import { printResult, record } from '../output.ts';

/** The verb `status`. */
export function statusCommand(): Command {
  return clientCommand('status', 'show what the daemon does: links, lanes, sessions, counters, memory')
    .addHelpText(
      'after',
      examples({
        'tlshub status': 'for people; exit code 3 when no daemon runs',
        'tlshub status --json': 'for programs: one JSON object',
      }),
    )
    .action(statusAction);
}

async function statusAction(flags: ClientFlags): Promise<void> {
  const link = await openLink(flags);
  const { status } = await link.call('status', {});
  printResult(status, record(status as Record<string, unknown>), flags);
}
