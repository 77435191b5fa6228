// `tlshub sessions`: the user's sessions in the daemon, one a line.
import type { Command } from 'commander';
import type { SessionReport } from '../../daemon/status.ts';
import { type ClientFlags, clientCommand, examples, openLink } from '../client.ts';
import { printResult, table, valueText } from '../output.ts';

type Column = readonly [heading: string, show: (session: SessionReport) => string];

const COLUMNS: readonly Column[] = [
  ['ID', ({ id }) => id],
  ['STATE', ({ state }) => state],
  ['PEER', ({ peer }) => peer],
  ['SNI', ({ servername }) => valueText('', servername)],
  ['ALPN', ({ alpn }) => valueText('', alpn)],
  ['PROTOCOL', ({ protocol }) => valueText('', protocol)],
  ['LEASES', ({ leases }) => `${leases}`],
  [
    'HOLDER',
    ({ holders }) =>
      valueText(
        '',
        holders.map(({ pid }) => pid ?? '?'),
      ),
  ],
  ['AGE', ({ ageMs }) => valueText('ageMs', ageMs)],
  ['IN STATE', ({ stateMs }) => valueText('stateMs', stateMs)],
  ['FROM PEER', ({ bytesFromPeer }) => valueText('bytes', bytesFromPeer)],
  ['TO PEER', ({ bytesToPeer }) => valueText('bytes', bytesToPeer)],
  ['NOTE', ({ reason }) => reason ?? ''],
];

/** The verb `sessions`. */
export function sessionsCommand(): Command {
  return clientCommand('sessions', 'list the sessions that the daemon owns for this user')
    .addHelpText(
      'after',
      `
HOLDER is the process that leases the session now; NOTE says why it will not be pooled again.
${examples({
  'tlshub sessions': 'a table',
  'tlshub sessions --json': 'one JSON array, with more fields',
})}`,
    )
    .action(sessionsAction);
}

async function sessionsAction(flags: ClientFlags): Promise<void> {
  const link = await openLink(flags);
  const reply = await link.call('sessions', {});
  const sessions = reply.sessions as SessionReport[];
  const rows = sessions.map((session) => COLUMNS.map(([, show]) => show(session)));
  const heading = COLUMNS.map(([text]) => text);
  printResult(sessions, rows.length === 0 ? 'no sessions' : table(heading, rows), flags);
}
