// What this Node process was started with, where that decides how node:tls behaves for its whole life: options of
// the command line and of NODE_OPTIONS, and the variables that Node reads only at its start. Used by the wrapper
// for the application and by the daemon for itself. Later changes to process.env do not show here.
import { readFileSync } from 'node:fs';

const START_VARIABLES = [
  'NODE_EXTRA_CA_CERTS',
  'NODE_OPTIONS',
  'OPENSSL_CONF',
  'SSL_CERT_DIR',
  'SSL_CERT_FILE',
] as const;

/** A variable that Node or its OpenSSL reads only once. */
export type StartVariable = (typeof START_VARIABLES)[number];

/** The start of a Node process. */
export interface NodeStart {
  /** Names of its options, as `--use-openssl-ca`; values are left out. */
  readonly options: ReadonlySet<string>;
  /** What it was started with of the variables that Node reads at its start. */
  readonly env: Readonly<Partial<Record<StartVariable, string>>>;
  /** True when Node was built to trust OpenSSL's store (`--openssl-use-def-ca-store`, as Debian does). */
  readonly buildTrustsOpenssl: boolean;
}

/** NODE_OPTIONS may also come from a file (`--env-file`), which /proc does not show. */
const nodeOptionsAtLoad = process.env.NODE_OPTIONS ?? '';

let known: NodeStart | undefined;

/** The start of this process; read once. */
export function nodeStart(): NodeStart {
  if (known !== undefined) return known;
  const env = startEnvironment();
  const { target_defaults: build } = process.config as { target_defaults?: { defines?: unknown } };
  const defines = Array.isArray(build?.defines) ? build.defines : [];
  known = {
    options: optionNames([
      ...process.execArgv,
      ...words(env.NODE_OPTIONS ?? ''),
      ...words(nodeOptionsAtLoad),
    ]),
    env,
    buildTrustsOpenssl: defines.includes('NODE_OPENSSL_CERT_STORE'),
  };
  return known;
}

/** Linux keeps the first environment; elsewhere what the process has by now must do. */
function startEnvironment(): NodeStart['env'] {
  let entries: [string, string | undefined][];
  try {
    const text = readFileSync('/proc/self/environ', 'utf8');
    entries = text.split('\0').map((entry) => {
      const equals = entry.indexOf('=');
      return [entry.slice(0, equals), entry.slice(equals + 1)];
    });
  } catch {
    entries = Object.entries(process.env);
  }
  return Object.fromEntries(
    entries.filter(([name]) => (START_VARIABLES as readonly string[]).includes(name)),
  );
}

function words(nodeOptions: string): string[] {
  return nodeOptions.replaceAll(/["\\]/g, '').split(/\s+/);
}

/** Node takes `_` for `-` in the names of its options. */
function optionNames(words: readonly string[]): Set<string> {
  const names = words.filter((word) => word.startsWith('--')).map((word) => word.split('=', 1)[0] ?? '');
  return new Set(names.map((name) => name.replaceAll('_', '-')));
}
