// `tlshub stop`: drains the daemon and returns when it has ended.
import type { Command } from 'commander';
import { DEFAULT_CONFIG } from '../../daemon/config.ts';
import { TlshubError } from '../../errors.ts';
import type { DaemonLink } from '../../wrapper/daemon-link.ts';
import { shardsToEnd } from '../ask-shards.ts';
import { type ClientFlags, clientCommand, examples } from '../client.ts';
import { UsageError } from '../exit-codes.ts';
import { durationText, printResult } from '../output.ts';
import { parseDuration } from '../units.ts';

/** Milliseconds that a daemon may take to end after its drain deadline. */
const END_GRACE_MS = 5_000;

interface StopFlags extends ClientFlags {
  readonly deadline?: number;
  readonly now?: boolean;
}

/** The verb `stop`. */
export function stopCommand(): Command {
  return clientCommand('stop', 'end the daemon: no new sessions, lanes may finish, then it is gone')
    .option('--deadline <TIME>', 'how long lanes may run on (default: as the daemon was told)', parseDuration)
    .option('--now', 'do not wait for lanes; their processes see ERR_TLSHUB_DRAINING')
    .addHelpText(
      'after',
      examples({
        'tlshub stop': 'let what is under way finish, up to the drain deadline',
        'tlshub stop --deadline 2m': 'give it two minutes',
        'tlshub stop --now': 'end all sessions at once',
      }),
    )
    .action(stopAction);
}

async function stopAction({ deadline, now, ...flags }: StopFlags): Promise<void> {
  if (now && deadline !== undefined) throw new UsageError('--now and --deadline exclude each other');
  const ending = await shardsToEnd(flags);
  for (const { link, pid } of ending) await endOne(link, pid, now ? 0 : deadline);
  printResult({ stopped: true, pid: ending[0]?.pid }, undefined, flags);
}

async function endOne(link: DaemonLink, pid: number, deadline: number | undefined): Promise<void> {
  const end = endOf(link);
  const reply = await link.call('drain', { deadline });
  const deadlineMs = typeof reply.deadline === 'number' ? reply.deadline : DEFAULT_CONFIG.drainDeadlineMs;
  await within(end, (deadline ?? deadlineMs) + END_GRACE_MS, pid);
}

/** Resolves when the daemon has closed the link, the last thing that it does. */
function endOf(link: DaemonLink): Promise<void> {
  link.holdProcess();
  const end = new Promise<void>((resolve) => {
    // A link that is lost tells so to the holders of its lanes.
    link.addLane({ linkOnLaneEnd: () => resolve(), linkOnTicket: () => {}, linkOnDrain: () => {} });
  });
  return end.finally(() => link.letProcessExit());
}

async function within(ended: Promise<void>, waitMs: number, pid: number | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const what = `the daemon has not ended within ${durationText(waitMs)}; to end it without mercy: kill -9 ${pid}`;
      reject(new TlshubError('ERR_TLSHUB_DRAINING', what));
    }, waitMs);
  });
  await Promise.race([ended, late]).finally(() => clearTimeout(timer));
}
