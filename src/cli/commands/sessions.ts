// `tlshub sessions`: the user's sessions in the daemon, one a line.
import type { Command } from 'commander';
import type { SessionReport } from '../../protocol/session-report.ts';
import { askShards } from '../ask-shards.ts';
import { type ClientFlags, clientCommand, examples } from '../client.ts';
import { printRemark, printResult, table, valueText } from '../output.ts';

type Column = readonly [heading: string, show: (session: SessionReport) => string];

const COLUMNS: readonly Column[] = [
  ['ID', ({ id }) => id],
  ['STATE', ({ state }) => state],
  ['PEER', ({ peer }) => peer],
  ['SNI', ({ servername }) => valueText('', servername)],
  ['ALPN', ({ alpn }) => valueText('', alpn)],
  ['PROTOCOL', ({ protocol }) => valueText('', protocol)],
  ['NAME', ({ name }) => name ?? ''],
  ['MODE', ({ mode }) => mode ?? ''],
  [
    'HOLDER',
    ({ holders, endpoint }) =>
      endpoint === null
        ? valueText(
            '',
            holders.map(({ pid }) => pid ?? '?'),
          )
        : `endpoint ${endpoint}`,
  ],
  ['LEASES', ({ leases }) => `${leases}`],
  ['AGE', ({ ageMs }) => valueText('ageMs', ageMs)],
  ['IDLE', ({ idleMs }) => valueText('idleMs', idleMs)],
  ['FROM PEER', ({ bytesFromPeer }) => valueText('bytes', bytesFromPeer)],
  ['TO PEER', ({ bytesToPeer }) => valueText('bytes', bytesToPeer)],
  ['READ TO', ({ committedOffset }) => (committedOffset === null ? '' : `${committedOffset}`)],
  ['UNREAD', ({ unreadBytes }) => valueText('bytes', unreadBytes)],
  ['PARKED', ({ parked }) => parked?.program ?? ''],
  ['NOTE', ({ reason }) => reason ?? ''],
];

/** The verb `sessions`. */
export function sessionsCommand(): Command {
  return clientCommand('sessions', 'list the sessions that the daemon owns for this user')
    .addHelpText(
      'after',
      `
HOLDER is the process, the processes or the endpoint that hold the session now; IDLE the time since a byte passed either way. Named
sessions: READ TO is the offset up to which the peer's bytes are consumed, UNREAD what the daemon keeps behind it, PARKED
the program that is started when bytes arrive. NOTE says why a session ended, or will not be pooled again, or what became
of its command.
${examples({
  'tlshub sessions': 'a table',
  'tlshub sessions --json': 'one JSON array, with more fields',
})}`,
    )
    .action(sessionsAction);
}

async function sessionsAction(flags: ClientFlags): Promise<void> {
  const answers = await askShards(flags, 'sessions');
  const sessions = answers.flatMap(({ reply }) => (reply?.sessions ?? []) as SessionReport[]);
  for (const { shard, reply } of answers)
    if (reply === undefined) printRemark(`process ${shard} of the daemon does not answer`, flags);
  const rows = sessions.map((session) => COLUMNS.map(([, show]) => show(session)));
  const heading = COLUMNS.map(([text]) => text);
  printResult(sessions, rows.length === 0 ? 'no sessions' : table(heading, rows), flags);
}
