// `tlshub daemon`: a daemon in the foreground, for service managers, for a look at its log, and for the wrapper, which
// runs the same verb detached.
import { Command, Option } from 'commander';
import { messageOf } from '../../errors.ts';
import { examples } from '../client.ts';
import { addDaemonOptions, configOf, type DaemonFlags, flagsFor } from '../daemon-options.ts';
import { EXIT_CODES, UsageError } from '../exit-codes.ts';
import { parseDescriptor, parseShard, parseShards } from '../units.ts';

type HiddenFlags = DaemonFlags & { readyFd?: number; shard?: number | undefined };

/** The verb `daemon`. */
export function daemonCommand(): Command {
  const command = new Command('daemon').description(
    'run a daemon in the foreground, logging to standard error',
  );
  addDaemonOptions(command);
  command.addOption(
    new Option('--ready-fd <FD>', 'write one line of JSON there when ready')
      .argParser(parseDescriptor)
      .hideHelp(),
  );
  command.addOption(
    new Option('--shard <K>', 'be this one of the daemon processes').argParser(parseShard).hideHelp(),
  );
  command.addHelpText(
    'after',
    `
A wrapper starts a daemon by itself; this verb is for running one under a service manager or in a terminal.
SIGTERM and SIGINT drain it: no new sessions, lanes may finish until the drain deadline. A second signal ends it at once.
Times have a unit (250ms, 30s, 10m, 24h, 7d), sizes may (64KiB, 256MiB, 1GiB).
${examples({
  'tlshub daemon': 'with all defaults, until Ctrl-C',
  'tlshub daemon --idle-exit 0 --pool-idle 5m': 'stay for good, keep sessions warm for longer',
  'tlshub daemon --log-level debug': 'show what happens to each session',
})}`,
  );
  return command.action(daemonAction);
}

async function daemonAction({ readyFd, shard, ...flags }: HiddenFlags): Promise<void> {
  const config = configOf({ ...flags, shard, shards: flags.shards ?? shardsOfEnvironment() });
  const { directory } = config;
  const { shards: _shards, ...others } = flags;
  const [program = '', main = ''] = process.argv;
  const command = [
    program,
    ...process.execArgv,
    main,
    'daemon',
    '--directory',
    directory,
    ...flagsFor(others),
  ];
  const { runDaemon } = await import('../../daemon/run-daemon.ts');
  try {
    await runDaemon(config, readyFd, command);
  } catch (error) {
    if (readyFd === undefined) throw error;
    // The starter has been told, and the log has it.
    process.exitCode = EXIT_CODES.failed;
  }
}

function shardsOfEnvironment(): number | null {
  const { TLSHUB_SHARDS: text } = process.env;
  if (text === undefined || text === '') return null;
  try {
    return parseShards(text);
  } catch (error) {
    throw new UsageError(`TLSHUB_SHARDS: ${messageOf(error)}`);
  }
}
