// What the verbs that ask a running daemon have in common: their flags, the one link, and that none of them starts a
// daemon. A verb is a function that makes a commander command; main.ts lists them.
import { Command } from 'commander';
import { readShardCount } from '../link/shard-count.ts';
import { shardOfSession } from '../protocol/shard.ts';
import { addDirectoryOption, directoryOf } from './daemon-options.ts';
import type { OutputOptions } from './output.ts';

/** Flags of every verb that asks a daemon. */
export interface ClientFlags extends OutputOptions {
  readonly directory?: string;
}

/**
 * A verb with `--directory` and `--json`.
 * @param name of the verb
 * @param description one sentence
 */
export function clientCommand(name: string, description: string): Command {
  const command = new Command(name).description(description);
  return addDirectoryOption(command).option('--json', 'print one JSON value');
}

/**
 * The link to the daemon that the flags mean; it starts none.
 * @param flags of the verb
 * @param shard which of the daemon's processes; default the first
 */
export async function openLink(flags: ClientFlags, shard = 0) {
  const { DaemonLink } = await import('../wrapper/daemon-link.ts');
  return DaemonLink.for(directoryOf(flags), false, shard);
}

/**
 * The link to the process of the daemon that has a session.
 * @param id of the session
 */
export async function openLinkOf(id: string, flags: ClientFlags) {
  const shard = shardOfSession(id);
  // Of one that is not there, any other knows nothing.
  return openLink(flags, shard < readShardCount(directoryOf(flags)) ? shard : 0);
}

/** The text for `addHelpText('after', …)`: each example with what it does. */
export function examples(lines: Readonly<Record<string, string>>): string {
  const width = Math.max(...Object.keys(lines).map((line) => line.length));
  const shown = Object.entries(lines).map(([line, what]) => `  $ ${line.padEnd(width)}  # ${what}`);
  return `\nExamples:\n${shown.join('\n')}`;
}
