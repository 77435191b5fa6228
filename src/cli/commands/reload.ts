// `tlshub reload`: lets the daemon read its configuration file again; sessions and ports stay as they are.
import type { Command } from 'commander';
import { type ClientFlags, clientCommand, examples, openLink } from '../client.ts';
import { printResult } from '../output.ts';

/** What the daemon answers. */
interface ReloadReply {
  file: string | null;
  added: string[];
  changed: string[];
  removed: string[];
}

/** The verb `reload`. */
export function reloadCommand(): Command {
  return clientCommand('reload', 'read the configuration file again: certificates, keys, contexts')
    .addHelpText(
      'after',
      `
All of the file counts, or nothing: when something is wrong with it, the reason is printed, the exit code is 1, and the
daemon goes on with what it had. Sessions stay as they are; new ones are made with the new contents. SIGHUP does the same.
${examples({ 'tlshub reload': 'after certificates were renewed', 'tlshub reload --json': 'what has changed, by name' })}`,
    )
    .action(reloadAction);
}

async function reloadAction(flags: ClientFlags): Promise<void> {
  const link = await openLink(flags);
  const { file, added, changed, removed } = (await link.call('reload', {})) as unknown as ReloadReply;
  printResult({ file, added, changed, removed }, describe({ file, added, changed, removed }), flags);
}

function describe({ file, ...changes }: ReloadReply): string {
  if (file === null) return 'there is no configuration file';
  const parts = Object.entries(changes)
    .filter(([, names]) => names.length > 0)
    .map(([what, names]) => `${what} ${names.join(', ')}`);
  return `${file}: ${parts.join('; ') || 'nothing has changed'}`;
}
