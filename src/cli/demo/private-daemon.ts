// A daemon for the demo alone, in a directory of its own, so that the demo neither disturbs the user's daemon nor is
// helped by sessions that are warm there. Made by run-demo.ts.

import { DaemonLink } from '../../wrapper/daemon-link.ts';
import { startDaemon } from '../../wrapper/start-daemon.ts';

/** It ends if the demo is killed before it can; one process, whose counters are all that there are. */
const DEMO_FLAGS = ['--idle-exit', '1m', '--shards', '1'];

/** Milliseconds that the daemon may take to end. */
const END_MS = 5_000;

/** A running daemon. */
export interface PrivateDaemon {
  /** Handshakes that the daemon has made so far, full and resumed ones. */
  handshakes(): Promise<number>;
  /** Ends it with all its sessions. */
  close(): Promise<void>;
}

/**
 * Starts a daemon. Rejects as wrapper/start-daemon.ts does.
 * @param directory private, and no daemon's yet
 */
export async function startPrivateDaemon(directory: string): Promise<PrivateDaemon> {
  await startDaemon(directory, DEMO_FLAGS);
  const link = DaemonLink.for(directory, false);
  const status = async () => (await link.call('status', {})).status as { pid: number; counters: Counters };
  const { pid } = await status();
  return {
    handshakes: async () => {
      const { counters } = await status();
      return counters.handshakes + counters.resumptions;
    },
    close: async () => {
      try {
        const ended = endOf(link);
        await link.call('drain', { deadline: 0 });
        await ended;
      } catch {
        killIfAlive(pid);
      }
    },
  };
}

interface Counters {
  handshakes: number;
  resumptions: number;
}

/** Resolves when the daemon has closed the link, the last thing that it does. */
function endOf(link: DaemonLink): Promise<void> {
  link.holdProcess();
  return new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the daemon does not end')), END_MS);
    const linkOnLaneEnd = () => {
      clearTimeout(timer);
      resolve();
    };
    link.addLane({ linkOnLaneEnd, linkOnTicket: () => {}, linkOnDrain: () => {} });
  }).finally(() => link.letProcessExit());
}

function killIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
