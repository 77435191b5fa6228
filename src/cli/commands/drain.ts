// `tlshub drain`: begins the end of the daemon and returns at once.
import type { Command } from 'commander';
import { shardsToEnd } from '../ask-shards.ts';
import { type ClientFlags, clientCommand, examples } from '../client.ts';
import { printResult } from '../output.ts';
import { parseDuration } from '../units.ts';

/** The verb `drain`. */
export function drainCommand(): Command {
  return clientCommand(
    'drain',
    'let the daemon take no new sessions and end when its lanes have; do not wait for it',
  )
    .option('--deadline <TIME>', 'how long lanes may run on (default: as the daemon was told)', parseDuration)
    .addHelpText(
      'after',
      `
The next process that wants a shared session starts a new daemon, while the old one finishes.
${examples({ 'tlshub drain --deadline 10m': 'replace the daemon without disturbing what is under way' })}`,
    )
    .action(drainAction);
}

async function drainAction({ deadline, ...flags }: ClientFlags & { deadline?: number }): Promise<void> {
  for (const { link } of await shardsToEnd(flags)) await link.call('drain', { deadline });
  printResult({ draining: true }, undefined, flags);
}
