// `tlshub inspect ID`: everything about one session that is not secret.
import type { Command } from 'commander';
import { type ClientFlags, clientCommand, examples, openLinkOf } from '../client.ts';
import { printResult, record } from '../output.ts';
import { parseSessionId } from '../units.ts';

/** The verb `inspect`. */
export function inspectCommand(): Command {
  return clientCommand('inspect', 'show one session in full, secrets left out')
    .argument('<ID>', 'id of the session, as "tlshub sessions" lists it', parseSessionId)
    .addHelpText('after', examples({ 'tlshub inspect s12': 'its peer, its options and its counters' }))
    .action(inspectAction);
}

async function inspectAction(id: string, flags: ClientFlags): Promise<void> {
  const link = await openLinkOf(id, flags);
  const { session } = await link.call('inspect', { session: id });
  const shown = Object.entries(session as Record<string, unknown>).map(
    // Beside `state` it would be shown under the same name.
    ([name, value]) => [name === 'stateMs' ? 'inStateMs' : name, value] as const,
  );
  printResult(session, record(Object.fromEntries(shown)), flags);
}
