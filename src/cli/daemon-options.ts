// The flags of `tlshub daemon` and `tlshub start`: one for each setting of daemon/config.ts, in units for people.
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { type DaemonConfig, DEFAULT_CONFIG, isLogLevel, LOG_LEVELS } from '../daemon/config.ts';
import { socketDirectory } from '../link/socket-path.ts';
import { UsageError } from './exit-codes.ts';
import {
  durationFlag,
  parseCount,
  parseDuration,
  parsePositiveDuration,
  parseShards,
  parseSize,
  sizeFlag,
} from './units.ts';

type NumberField = {
  [Field in keyof DaemonConfig]: DaemonConfig[Field] extends number ? Field : never;
}[Exclude<keyof DaemonConfig, 'shard'>];

interface NumberFlag {
  readonly field: NumberField;
  readonly name: string;
  readonly placeholder: string;
  readonly help: string;
  readonly parse: (text: string) => number;
  readonly show: (value: number) => string;
}

const time = { placeholder: 'TIME', parse: parseDuration, show: durationFlag } as const;
const positiveTime = { ...time, parse: parsePositiveDuration } as const;
const size = { placeholder: 'SIZE', parse: parseSize, show: sizeFlag } as const;
const count = { placeholder: 'N', parse: parseCount, show: String } as const;

/** The flags for numbers, in the order of the help. */
export const NUMBER_FLAGS: readonly NumberFlag[] = [
  {
    field: 'idleExitMs',
    name: 'idle-exit',
    ...time,
    help: 'end after this time without sessions and links; 0 = never',
  },
  {
    field: 'connectTimeoutMs',
    name: 'connect-timeout',
    ...positiveTime,
    help: 'for look-up, connect and handshake',
  },
  {
    field: 'helloTimeoutMs',
    name: 'hello-timeout',
    ...positiveTime,
    help: 'for the first line of a connection',
  },
  { field: 'poolIdleMs', name: 'pool-idle', ...positiveTime, help: 'how long a released session stays warm' },
  {
    field: 'sessionAgeMs',
    name: 'session-age',
    ...positiveTime,
    help: 'from this age a session is not leased again',
  },
  { field: 'lingerMs', name: 'linger', ...time, help: 'how long a named session stays without a holder' },
  {
    field: 'handleTtlMs',
    name: 'handle-ttl',
    ...positiveTime,
    help: 'how long a detached session waits for its handle',
  },
  {
    field: 'drainDeadlineMs',
    name: 'drain-deadline',
    ...time,
    help: 'how long lanes may run on after SIGTERM',
  },
  { field: 'maxSessions', name: 'max-sessions', ...count, help: 'most sessions of one user' },
  {
    field: 'maxSessionsPerKey',
    name: 'max-sessions-per-key',
    ...count,
    help: 'most sessions with equal options',
  },
  { field: 'maxConnections', name: 'max-connections', ...count, help: 'most connections from processes' },
  {
    field: 'maxHandshakes',
    name: 'max-handshakes',
    ...count,
    help: 'most handshakes of clients at once; more wait',
  },
  {
    field: 'maxHandshakesPerAddress',
    name: 'max-handshakes-per-address',
    ...count,
    help: 'most handshakes at once from one address; more are turned away',
  },
  { field: 'maxBufferedBytes', name: 'max-buffered', ...size, help: 'most bytes in the buffers of one user' },
  { field: 'ticketCacheSize', name: 'ticket-cache', ...count, help: 'most TLS tickets kept for resumption' },
];

/** An option whose value is found under the name of its setting. */
class NumberOption extends Option {
  readonly #field: NumberField;

  constructor(flags: string, help: string, field: NumberField) {
    super(flags, help);
    this.#field = field;
  }

  override attributeName(): string {
    return this.#field;
  }
}

/** What commander makes of the flags. */
export type DaemonFlags = Partial<Pick<DaemonConfig, Exclude<NumberField, 'shard'>>> & {
  shards?: number;
  directory?: string;
  config?: string;
  logLevel?: string;
  peerCredentials: boolean;
};

/** The directory that a command line means: its `--directory`, else the environment's. */
export function directoryOf(flags: { readonly directory?: string }): string {
  return flags.directory === undefined ? socketDirectory() : resolve(flags.directory);
}

/** Adds `--directory` to a verb. */
export function addDirectoryOption(command: Command): Command {
  return command.option(
    '-d, --directory <DIR>',
    'directory of the socket (default: $TLSHUB_DIR, see "tlshub doctor")',
  );
}

/** Adds all flags of a daemon to a verb. */
export function addDaemonOptions(command: Command): Command {
  addDirectoryOption(command);
  command.option(
    '-c, --config <FILE>',
    'file that defines contexts and endpoints (default: tlshub.toml in the directory, if it is there)',
  );
  const level = new Option(
    '--log-level <LEVEL>',
    `least level that is logged (default: ${DEFAULT_CONFIG.logLevel})`,
  );
  command.addOption(level.choices(LOG_LEVELS).env('TLSHUB_LOG'));
  const shards = new Option(
    '--shards <N>',
    'daemon processes, which share the sessions out (default: 1 up to 4 cores, then half the cores)',
  );
  command.addOption(shards.argParser(parseShards));
  command.option('--no-peer-credentials', 'do not check the user id of connecting processes (unsafe)');
  for (const { name, placeholder, help, parse, show, field } of NUMBER_FLAGS) {
    const text = `${help} (default: ${show(DEFAULT_CONFIG[field])})`;
    command.addOption(new NumberOption(`--${name} <${placeholder}>`, text, field).argParser(parse));
  }
  return command;
}

/** The flags, with the one that a daemon gives to its further processes. */
type ConfigFlags = Omit<DaemonFlags, 'shards'> & { shards?: number | null; shard?: number };

/** The settings that the flags mean, defaults filled in. Throws {@link UsageError}. */
export function configOf({
  directory,
  config,
  logLevel = DEFAULT_CONFIG.logLevel,
  shards = null,
  shard = 0,
  ...flags
}: ConfigFlags): DaemonConfig {
  if (!isLogLevel(logLevel)) throw new UsageError(`there is no log level ${logLevel}`);
  const numbers = Object.fromEntries(
    NUMBER_FLAGS.map(({ field }) => [field, flags[field] ?? DEFAULT_CONFIG[field]]),
  ) as Pick<DaemonConfig, NumberField>;
  const { peerCredentials } = flags;
  const configFile = config === undefined ? null : resolve(config);
  return {
    ...numbers,
    directory: directoryOf({ directory }),
    configFile,
    shards,
    shard,
    logLevel,
    peerCredentials,
  };
}

/** The flags again as `tlshub daemon` takes them, without `--directory`: for a daemon that is started. */
export function flagsFor({ config, logLevel, peerCredentials, shards, ...flags }: DaemonFlags): string[] {
  const numbers = NUMBER_FLAGS.flatMap(({ field, name, show }) => {
    const value = flags[field];
    return value === undefined ? [] : [`--${name}`, show(value)];
  });
  const level = logLevel === undefined ? [] : ['--log-level', logLevel];
  // The daemon runs in another directory.
  const file = config === undefined ? [] : ['--config', resolve(config)];
  const count = shards === undefined ? [] : ['--shards', `${shards}`];
  return [...file, ...level, ...count, ...(peerCredentials ? [] : ['--no-peer-credentials']), ...numbers];
}
