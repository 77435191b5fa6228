// `tlshub start`: makes sure that a daemon listens, as a wrapper would, and with flags of the operator's choice.
import { Command } from 'commander';
import { probeSocket } from '../../link/probe-socket.ts';
import { socketPath } from '../../link/socket-path.ts';
import { type ClientFlags, examples, openLink } from '../client.ts';
import { addDaemonOptions, type DaemonFlags, directoryOf, flagsFor } from '../daemon-options.ts';
import { printRemark, printResult } from '../output.ts';

/** The verb `start`. */
export function startCommand(): Command {
  const command = new Command('start').description('start a daemon in the background unless one runs');
  addDaemonOptions(command).option('--json', 'print one JSON value');
  command.addHelpText(
    'after',
    `
Returns when the daemon listens. Its log is daemon.log in the directory of the socket.
${examples({
  'tlshub start': 'so that the first process need not wait for it',
  'tlshub start --idle-exit 0': 'one that stays when nobody uses it',
})}`,
  );
  return command.action(startAction);
}

async function startAction({ json, ...flags }: DaemonFlags & ClientFlags): Promise<void> {
  const directory = directoryOf(flags);
  const path = socketPath(directory);
  const started = (await probeSocket(path)) !== 'listening';
  const daemonFlags = flagsFor(flags);
  if (started) {
    const { startDaemon } = await import('../../wrapper/start-daemon.ts');
    await startDaemon(directory, daemonFlags);
  } else if (daemonFlags.length > 0) {
    printRemark('a daemon runs already; it keeps the flags that it was started with', { json });
  }
  const { status } = await (await openLink({ directory })).call('status', {});
  const { pid, version } = status as { pid?: number; version?: string };
  const what = started ? 'started' : 'running already';
  printResult({ started, directory, socket: path, pid, version }, `${what}: process ${pid}, ${path}`, {
    json,
  });
}
