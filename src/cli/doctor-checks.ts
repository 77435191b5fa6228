// The checks of `tlshub doctor`: each looks at one thing, changes nothing, and says what to do when it is wrong. They
// print nothing; commands/doctor.ts does.
import { existsSync, lstatSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CONFIG_NAME } from '../daemon/config.ts';
import type { StatusReport } from '../daemon/status.ts';
import { codeOf, messageOf } from '../errors.ts';
import { checkPrivateDirectory } from '../link/private-directory.ts';
import { probeSocket } from '../link/probe-socket.ts';
import { readShardCount } from '../link/shard-count.ts';
import { SOCKET_NAME, socketPath } from '../link/socket-path.ts';
import { VERSION } from '../version.ts';
import { LOG_NAME } from '../wrapper/daemon-log-file.ts';
import { askShards } from './ask-shards.ts';
import { openLink } from './client.ts';
import { bytesText } from './output.ts';

/** Outcome of one check: `note` is nothing wrong, but good to know. */
export interface CheckResult {
  readonly check: string;
  readonly state: 'ok' | 'note' | 'failed';
  readonly found: string;
  /** What to do; always there when the check failed. */
  readonly advice?: string;
}

type Finding = Omit<CheckResult, 'check'>;

/** Oldest Node that tlshub runs on, as package.json says in `engines`. */
const OLDEST_NODE = [20, 19] as const;
/** Descriptors below which a daemon soon has none left: a session in use takes two. */
const FEW_DESCRIPTORS = 4_096;
/** Bytes of a log from which it is worth a remark; it is put aside at the next start of a daemon. */
const LARGE_LOG_BYTES = 100 * 1024 * 1024;

const ok = (found: string): Finding => ({ state: 'ok', found });
const note = (found: string, advice: string): Finding => ({ state: 'note', found, advice });
const failed = (found: string, advice: string): Finding => ({ state: 'failed', found, advice });

/** All checks for a directory, in the order in which they should be mended. */
export async function runChecks(directory: string): Promise<CheckResult[]> {
  const checks: Readonly<Record<string, () => Finding | Promise<Finding>>> = {
    'node version': checkNode,
    'native calls': checkNative,
    'descriptor limit': checkDescriptors,
    'socket path': () => checkPath(directory),
    directory: () => checkDirectory(directory),
    'log file': () => checkLog(directory),
    socket: () => checkSocket(directory),
    daemon: () => checkDaemon(directory),
    configuration: () => checkConfiguration(directory),
  };
  const results: CheckResult[] = [];
  for (const [check, run] of Object.entries(checks)) results.push({ check, ...(await run()) });
  return results;
}

function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  const recent = major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
  const found = `${process.version} (${process.execPath})`;
  return recent ? ok(found) : failed(found, `install Node ${oldestMajor}.${oldestMinor} or later`);
}

async function checkNative(): Promise<Finding> {
  const { checkHost } = await import('../daemon/host-check.ts');
  const { nativeProblem } = checkHost();
  if (nativeProblem === undefined) return ok(`koffi works on ${process.platform}-${process.arch}`);
  return failed(
    nativeProblem,
    'npm ci --include=optional; only if that cannot be: tlshub daemon --no-peer-credentials',
  );
}

async function checkDescriptors(): Promise<Finding> {
  const { checkHost } = await import('../daemon/host-check.ts');
  const { descriptorLimit } = checkHost();
  if (descriptorLimit === undefined) return note('not known without native calls', 'ulimit -n shows it');
  const found = `${descriptorLimit} for each process`;
  return descriptorLimit >= FEW_DESCRIPTORS
    ? ok(found)
    : note(
        found,
        `for more than about ${Math.floor(descriptorLimit / 2)} sessions raise the hard limit (ulimit -Hn)`,
      );
}

function checkPath(directory: string): Finding {
  try {
    const path = socketPath(directory);
    return ok(`${path} (${Buffer.byteLength(path)} bytes)`);
  } catch (error) {
    return failed(messageOf(error), 'set TLSHUB_DIR to a shorter path');
  }
}

function checkDirectory(directory: string): Finding {
  try {
    return checkPrivateDirectory(directory)
      ? ok(`${directory} is private`)
      : note(`${directory} does not exist`, 'the first start of a daemon makes it');
  } catch (error) {
    return failed(messageOf(error), 'do as the message says; processes use TLS of their own until then');
  }
}

function checkLog(directory: string): Finding {
  const path = join(directory, LOG_NAME);
  try {
    const { size } = statSync(path);
    const found = `${path} (${bytesText(size)})`;
    return size > LARGE_LOG_BYTES ? note(found, 'it is put aside when a daemon is started next') : ok(found);
  } catch (error) {
    if (codeOf(error) === 'ENOENT')
      return note(`${path} does not exist`, 'a daemon in the background makes it');
    return failed(messageOf(error), 'remove the file');
  }
}

async function checkSocket(directory: string): Promise<Finding> {
  for (let shard = 1; shard < readShardCount(directory); shard++) {
    const path = socketPath(directory, shard);
    const mode = lstatSync(path, { throwIfNoEntry: false })?.mode ?? 0;
    if ((mode & 0o077) !== 0) return failed('other users may open it', `chmod 600 ${path}`);
  }
  const path = join(directory, SOCKET_NAME);
  try {
    const state = await probeSocket(path);
    if (state === 'absent')
      return note('there is none', 'a daemon is started at first use, or by "tlshub start"');
    if (state === 'stale') return note('nobody listens on it', 'the next start replaces it');
    const { mode } = lstatSync(path);
    const others = (mode & 0o077) !== 0;
    return others ? failed('other users may open it', `chmod 600 ${path}`) : ok('a daemon listens on it');
  } catch (error) {
    return failed(messageOf(error), `remove ${path} if it is not the socket of your daemon`);
  }
}

async function checkDaemon(directory: string): Promise<Finding> {
  try {
    const answers = await askShards({ directory }, 'status');
    const reports = answers.flatMap(({ reply }) =>
      reply === undefined ? [] : [reply.status as StatusReport],
    );
    const silent = answers.filter(({ reply }) => reply === undefined);
    const [{ version, node } = { version: '', node: '' }] = reports;
    const pids = reports.map(({ pid }) => pid).join(', ');
    const who = reports.length === 1 ? `process ${pids} answers` : `processes ${pids} answer`;
    const found = `${who}: tlshub ${version} on Node ${node}`;
    if (silent.length > 0) {
      const missing = `${silent.length} of its ${answers.length} processes do not`;
      return failed(`${found}; ${missing}`, `look into ${join(directory, LOG_NAME)}, then: tlshub stop`);
    }
    if (reports.every((report) => report.version === VERSION)) return ok(found);
    return note(
      found,
      `this is tlshub ${VERSION}: "tlshub drain" lets the next process start a daemon of its version`,
    );
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ERR_TLSHUB_DAEMON_UNREACHABLE') {
      return note('none runs', 'one is started at first use, or by "tlshub start"');
    }
    return failed(messageOf(error), `look into ${join(directory, LOG_NAME)}, then: tlshub stop`);
  }
}

/** Looks at the file of the daemon that runs, or at the one that the next daemon would find. */
async function checkConfiguration(directory: string): Promise<Finding> {
  const file = (await configFileOf(directory)) ?? join(directory, CONFIG_NAME);
  if (!existsSync(file))
    return note(`${file} does not exist`, 'only needed for contexts and endpoints: docs/configuration.md');
  const { loadConfiguration } = await import('../daemon/contexts/load-configuration.ts');
  try {
    const { contexts, endpoints } = loadConfiguration(file);
    const names = [...contexts.keys()];
    const doors = endpoints.size === 0 ? '' : `; endpoints: ${[...endpoints.keys()].join(', ')}`;
    const shown = names.length === 0 ? 'no contexts' : `contexts: ${names.join(', ')}`;
    return ok(`${file} defines ${shown}${doors}`);
  } catch (error) {
    return failed(
      messageOf(error),
      'mend it, then "tlshub reload"; a daemon that runs goes on with what it had, and none can be started',
    );
  }
}

async function configFileOf(directory: string): Promise<string | null> {
  try {
    const { status } = await (await openLink({ directory })).call('status', {});
    return (status as Partial<StatusReport>).contexts?.file ?? null;
  } catch {
    return null;
  }
}
