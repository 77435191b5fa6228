// `tlshub close ID`: ends one session.
import type { Command } from 'commander';
import { type ClientFlags, clientCommand, examples, openLinkOf } from '../client.ts';
import { printResult } from '../output.ts';
import { parseSessionId } from '../units.ts';

/** The verb `close`. */
export function closeCommand(): Command {
  return clientCommand('close', 'end one session at once; its holder sees ERR_TLSHUB_CLOSED')
    .argument('<ID>', 'id of the session, as "tlshub sessions" lists it', parseSessionId)
    .addHelpText('after', examples({ 'tlshub close s12': 'whoever leases it' }))
    .action(closeAction);
}

async function closeAction(id: string, flags: ClientFlags): Promise<void> {
  const link = await openLinkOf(id, flags);
  await link.call('close', { session: id });
  printResult({ closed: id }, undefined, flags);
}
