// `tlshub connect`: a wrapper as a process of its own, for programs in any language. Standard input and output are the
// session's data, the exit code is the return code; everything else that there is to say goes to standard error.
import { Command, Option } from 'commander';
import { codeOf } from '../../errors.ts';
import type { TlshubSocket } from '../../wrapper/connect.ts';
import { examples } from '../client.ts';
import { type Address, addressText, parseAddress } from '../connect/address.ts';
import { addNamedOptions, checkNamedFlags, type NamedFlags, namedOptions } from '../connect/named-flags.ts';
import { type AtInputEnd, type PumpResult, pump } from '../connect/pump.ts';
import { addTlsOptions, checkTlsFlags, TLS_FLAGS, type TlsFlags, tlsOptions } from '../connect/tls-flags.ts';
import { addDirectoryOption, directoryOf } from '../daemon-options.ts';
import { EXIT_CODES, UsageError } from '../exit-codes.ts';
import { type OutputOptions, printError, printRemark } from '../output.ts';
import { durationFlag, parseDuration, parsePositiveDuration } from '../units.ts';

interface ConnectFlags extends OutputOptions, NamedFlags, TlsFlags {
  readonly share: boolean;
  readonly fallback?: boolean;
  readonly wait?: number;
  readonly timeout: number;
  readonly release?: boolean;
  readonly quiet: number;
  readonly detach?: boolean;
  readonly attach?: string;
  readonly verbose?: boolean;
  readonly directory?: string;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_QUIET_MS = 100;

/** Flags that say how a session is opened, which an attached one is already. */
const OPENING_FLAGS = [...TLS_FLAGS, 'fallback'] as const;

/** Exit codes of a process that a signal ended, as shells give them: 128 and the signal's number. */
const SIGNAL_EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Codes that mean: no daemon can be had on this host now. */
const NO_DAEMON_CODES: ReadonlySet<string | undefined> = new Set([
  'ERR_TLSHUB_CONFIG',
  'ERR_TLSHUB_DAEMON_UNREACHABLE',
  'ERR_TLSHUB_DIRECTORY',
  'ERR_TLSHUB_PEER_CREDENTIALS',
  'ERR_TLSHUB_SOCKET_PATH',
  'ERR_TLSHUB_START_FAILED',
]);

/** The verb `connect`. */
export function connectCommand(): Command {
  const command = new Command('connect')
    .description('open or share a TLS session; standard input and output are its data')
    .argument('[HOST:PORT]', 'where to; not with --attach', parseAddress);
  addTlsOptions(command)
    .option('--no-share', 'TLS in this process, by node:tls; no daemon takes part')
    .addOption(new Option('--fallback', 'TLS in this process when no daemon can be had (default)'))
    .addOption(
      new Option(
        '--no-fallback',
        'fail when no daemon can be had (default with --detach, --name, --context)',
      ),
    )
    .option('--wait <TIME>', 'how long to wait for a session that others hold (default: 30s)', parseDuration)
    .addOption(timeOption('--timeout <TIME>', 'how long opening may take', DEFAULT_TIMEOUT_MS))
    .option(
      '--release',
      'at the end of input: await the answer, then leave the session warm for the next process',
    )
    .addOption(
      timeOption('--quiet <TIME>', 'silence of the peer that ends an answer (--release)', DEFAULT_QUIET_MS),
    )
    .option('--detach', 'at the end of input: leave the session, print the handle by which it goes on')
    .option('--attach <HANDLE>', 'go on with a detached session, or with the session of a name');
  addNamedOptions(command);
  command
    .option('-v, --verbose', 'say what was opened and how it ended')
    .option('--json', 'one JSON value on standard error instead of remarks');
  addDirectoryOption(command);
  command.addHelpText(
    'after',
    `
The end of input ends our side of the session and the peer may still answer, as with "openssl s_client" or "nc -N".
--release is for protocols of requests and answers: an answer counts as complete when the peer has been quiet for --quiet
after the last byte was sent. A session whose peer sends more after that is closed, never given to another process.
--name: the session has a life of its own, see docs/named-sessions.md. It is left at once at the end of input: an answer
that comes later is kept for the next process. With --release the answer is awaited first; --end ends the session for all.
Exit code: 0 the session ended in order or was given up as asked, 1 it failed, 2 wrong command line, 3 no daemon can be
had (with --no-fallback, --detach, --name, --context or --attach), 128 + N after signal N.
${examples({
  'printf "PING\\r\\n" | tlshub connect redis.example:6380 --release': 'one answer; the session stays warm',
  'tlshub connect --detach mail.example:993 </dev/null': 'open it now, use it later',
  'tlshub connect --attach HANDLE': 'go on with it',
  'tlshub connect logs.example:6514 --name logs --mode broadcast':
    'write to a session that others write to too',
})}`,
  );
  return command.action(connectAction);
}

function timeOption(flags: string, help: string, defaultMs: number): Option {
  return new Option(flags, help).argParser(parsePositiveDuration).default(defaultMs, durationFlag(defaultMs));
}

async function connectAction(address: Address | undefined, flags: ConnectFlags): Promise<void> {
  check(address, flags);
  // Every part below reads the directory from the environment, as in an application.
  if (flags.directory !== undefined) process.env.TLSHUB_DIR = directoryOf(flags);
  const session = await openSession(address, flags);
  const stop = endOnSignals(session);
  try {
    await opened(session, address, flags);
    describeOpening(session, flags);
    const { stdin: input, stdout: output } = process;
    const result = await pump({
      socket: session,
      input,
      output,
      atInputEnd: endOfInput(flags),
      quietMs: flags.quiet,
    });
    describeEnd(session, result, flags);
  } catch (error) {
    if (process.exitCode !== undefined) return;
    printError(error, flags);
    process.exitCode = NO_DAEMON_CODES.has(codeOf(error)) ? EXIT_CODES.unreachable : EXIT_CODES.failed;
  } finally {
    stop();
    // A terminal or a pipe that is open would keep the process.
    process.stdin.destroy();
  }
}

function endOfInput({ detach, release, name, end }: ConnectFlags): AtInputEnd {
  if (detach) return 'detach';
  if (release) return 'release';
  return name === undefined || end ? 'end' : 'leave';
}

function check(address: Address | undefined, flags: ConnectFlags): void {
  checkNamedFlags(flags);
  if (flags.end && (flags.release || flags.detach))
    throw new UsageError('--end excludes --release and --detach');
  if (flags.attach === undefined && address === undefined) throw new UsageError('HOST:PORT is missing');
  if (flags.release && flags.detach) throw new UsageError('--release and --detach exclude each other');
  checkTlsFlags(flags);
  if (!flags.share) {
    const needsDaemon = (['release', 'detach', 'attach', 'context', 'fallback'] as const).find(
      (name) => flags[name],
    );
    if (needsDaemon !== undefined) throw new UsageError(`--no-share and --${needsDaemon} exclude each other`);
  }
  if (flags.context !== undefined && flags.fallback)
    throw new UsageError('--context and --fallback exclude each other');
  if (flags.attach === undefined) return;
  if (address !== undefined)
    throw new UsageError('--attach says where the session goes; HOST:PORT is too much');
  const opening = OPENING_FLAGS.find((name) => flags[name] !== undefined);
  if (opening !== undefined)
    throw new UsageError(`--attach goes on with a session as it is; --${opening} is too much`);
}

async function openSession(address: Address | undefined, flags: ConnectFlags): Promise<TlshubSocket> {
  if (address === undefined || flags.attach !== undefined) {
    const { attach } = await import('../../wrapper/attach.ts');
    return attach(flags.attach ?? '', { wait: flags.wait });
  }
  const { connect } = await import('../../wrapper/connect.ts');
  return connect({
    ...tlsOptions(address, flags),
    shared: flags.share && {
      ...(flags.wait !== undefined && { wait: flags.wait }),
      ...(flags.context !== undefined && { context: flags.context }),
      fallback: flags.fallback ?? !(flags.detach || flags.name !== undefined),
      ...namedOptions(flags),
    },
  });
}

/** Resolves when the session is open; rejects with its error. */
function opened(
  session: TlshubSocket,
  address: Address | undefined,
  { timeout }: ConnectFlags,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const where = address === undefined ? 'the session' : addressText(address);
      const error = new Error(`connect ETIMEDOUT ${where}: not open within ${timeout} ms`);
      session.destroy(Object.assign(error, { code: 'ETIMEDOUT' }));
    }, timeout);
    const settle = (then: () => void) => {
      clearTimeout(timer);
      session.off('error', sessionOnError);
      session.off('close', sessionOnClose);
      then();
    };
    const sessionOnError = (error: Error) => settle(() => reject(error));
    const sessionOnClose = () => settle(() => reject(new Error('the session closed before it was open')));
    session.on('error', sessionOnError);
    session.on('close', sessionOnClose);
    session.once('secureConnect', () => settle(resolve));
  });
}

/** Destroys the session when a signal wants the process to end, and sets the exit code. */
function endOnSignals(session: TlshubSocket): () => void {
  const listeners = Object.entries(SIGNAL_EXIT_CODES).map(([signal, exitCode]) => {
    const processOnSignal = () => {
      process.exitCode = exitCode;
      session.destroy(new Error(`ended by ${signal}`));
    };
    process.once(signal, processOnSignal);
    return [signal, processOnSignal] as const;
  });
  return () => {
    for (const [signal, listener] of listeners) process.off(signal, listener);
  };
}

/** A session in this process is never passed off as a shared one; the rest is for those who ask. */
function describeOpening(session: TlshubSocket, flags: ConnectFlags): void {
  const { sharing } = session;
  if (flags.share && !sharing.shared) printRemark(`not shared: ${sharing.reason}`, flags);
  if (!flags.verbose) return;
  const how =
    !flags.share || !sharing.shared
      ? 'in this process'
      : `${sharing.reused ? 'shared' : 'new'} ${sharing.sessionId}`;
  const { remoteAddress = '?', remotePort = 0, alpnProtocol, authorizationError } = session;
  const peer = addressText({ host: remoteAddress, port: remotePort });
  const checked = session.authorized ? 'verified' : `NOT verified (${authorizationError})`;
  const alpn = alpnProtocol ? `, ALPN ${alpnProtocol}` : '';
  const what = `${session.getProtocol()}, ${session.getCipher()?.name}${alpn}, certificate ${checked}`;
  printRemark(`open: ${how}, ${peer}, ${what}`, flags);
}

function describeEnd(session: TlshubSocket, result: PumpResult, flags: ConnectFlags): void {
  const { bytesWritten: sent = 0, bytesRead: received = 0 } = session;
  const sharing = flags.share ? session.sharing : null;
  if (flags.json) {
    process.stderr.write(`${JSON.stringify({ ...result, sent, received, sharing })}\n`);
    return;
  }
  if (result.ended === 'detached') printRemark(`detached: ${result.handle}`, flags);
  if (result.ended === 'released' && sharing?.reason) printRemark(`not kept warm: ${sharing.reason}`, flags);
  if (flags.verbose) printRemark(`${result.ended}: ${sent} bytes sent, ${received} received`, flags);
}
