// `tlshub reload`: lets the daemon read its configuration file again; sessions and ports stay as they are.
import type { Command } from 'commander';
import { messageOf, TlshubError } from '../../errors.ts';
import { askShards, type ShardAnswer } from '../ask-shards.ts';
import { type ClientFlags, clientCommand, examples } from '../client.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { printRemark, printResult } from '../output.ts';

/** What the daemon answers. */
interface ReloadReply extends NameChanges {
  file: string | null;
  endpoints: NameChanges & { failed: { name: string; reason: string }[] };
}

interface NameChanges {
  added: string[];
  changed: string[];
  removed: string[];
}

/** The verb `reload`. */
export function reloadCommand(): Command {
  return clientCommand('reload', 'read the configuration file again: certificates, keys, contexts, endpoints')
    .addHelpText(
      'after',
      `
All of the file counts, or nothing: when something is wrong with it, the reason is printed, the exit code is 1, and the
daemon goes on with what it had. An endpoint whose address is taken is tried again; the exit code is 1 then, too. Sessions stay as they are; new ones are made with the new contents. SIGHUP does the same.
${examples({ 'tlshub reload': 'after certificates were renewed', 'tlshub reload --json': 'what has changed, by name' })}`,
    )
    .action(reloadAction);
}

async function reloadAction(flags: ClientFlags): Promise<void> {
  const reply = replyOf(await askShards(flags, 'reload'));
  printResult(reply, describe(reply), flags);
  const { failed } = reply.endpoints;
  for (const { name, reason } of failed) printRemark(`endpoint ${name} is not open: ${reason}`, flags);
  if (failed.length > 0) process.exitCode = EXIT_CODES.failed;
}

/** What has changed, in all processes of the daemon alike. Throws when one of them goes on with what it had. */
function replyOf(answers: readonly ShardAnswer[]): ReloadReply {
  const behind = answers.find(({ reply }) => reply === undefined);
  if (behind !== undefined) {
    const { shard, error } = behind;
    const what = `process ${shard} of the daemon goes on with what it had, the others have reloaded`;
    throw new TlshubError('ERR_TLSHUB_CONFIG', `${what}: ${messageOf(error)}`, { cause: error });
  }
  const replies = answers.map(({ reply }) => reply as unknown as ReloadReply);
  const [first] = replies;
  const { file = null, added = [], changed = [], removed = [] } = first ?? {};
  const endpoints = { added: [], changed: [], removed: [], failed: [] } as ReloadReply['endpoints'];
  // Each endpoint is one process's, the contexts are everybody's.
  for (const reply of replies) {
    endpoints.added.push(...reply.endpoints.added);
    endpoints.changed.push(...reply.endpoints.changed);
    endpoints.removed.push(...reply.endpoints.removed);
    endpoints.failed.push(...reply.endpoints.failed);
  }
  return { file, added, changed, removed, endpoints };
}

function describe({ file, endpoints: { failed: _failed, ...endpoints }, ...contexts }: ReloadReply): string {
  if (file === null) return 'there is no configuration file';
  const parts = [...changesText(contexts, ''), ...changesText(endpoints, 'endpoint ')];
  return `${file}: ${parts.join('; ') || 'nothing has changed'}`;
}

function changesText(changes: NameChanges, kind: string): string[] {
  return Object.entries(changes)
    .filter(([, names]) => names.length > 0)
    .map(([what, names]) => `${what} ${kind}${names.join(', ')}`);
}
