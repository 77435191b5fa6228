// Waits for one of several daemon processes of a directory that does not answer: the first of them starts it again, and
// is started itself when it does not answer either. Called by daemon-link.ts when a connect fails.
import { TlshubError } from '../errors.ts';
import { probeSocket } from '../link/probe-socket.ts';
import { readShardCount } from '../link/shard-count.ts';
import { socketPath } from '../link/socket-path.ts';
import { startDaemon } from './start-daemon.ts';

/** Milliseconds that a shard may take until it listens again. */
const DEADLINE_MS = 10_000;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 250;

/**
 * Makes sure that a daemon listens, and resolves when its shard does. Rejects with what startDaemon rejects with,
 * ERR_TLSHUB_DAEMON_LOST when there are not so many shards any more, or ERR_TLSHUB_DAEMON_UNREACHABLE after 10 s.
 * @param directory absolute path of the sockets' directory
 * @param shard which of its daemon processes
 */
export async function awaitShard(directory: string, shard: number): Promise<void> {
  const deadlineMs = performance.now() + DEADLINE_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    await startDaemon(directory);
    if (shard === 0) return;
    if (readShardCount(directory) <= shard)
      throw new TlshubError('ERR_TLSHUB_DAEMON_LOST', 'the daemon has fewer processes than before');
    if ((await probeSocket(socketPath(directory, shard))) === 'listening') return;
    if (performance.now() > deadlineMs)
      throw new TlshubError(
        'ERR_TLSHUB_DAEMON_UNREACHABLE',
        `process ${shard} of the daemon of ${directory} does not come back; its log says why`,
      );
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
