// The command line of the suite. Throws an error that says what is wrong with it.
import { parseArgs } from 'node:util';
import { FULL, type Plan, QUICK } from './plan.ts';
import { GROUP_NAMES, type GroupName, parseGroups } from './rows/groups.ts';

/** What `--help` prints. */
export const HELP = `npm run bench -- [options]

  --quick            three minutes instead of a quarter of an hour; wide ranges
  --rounds N         rounds (default: ${FULL.rounds}, with --quick ${QUICK.rounds})
  --only ROW,...     some of ${GROUP_NAMES.join(', ')}
  --node PATH        the Node that runs the daemons (default: this one)
  --nodes N,N,...    several, from npm into a folder that is kept: 20,24,26
  --json FILE        write the report as JSON; - is standard output, in place of the table
  --svg FILE         write a chart
  --compare OLD NEW  run nothing: what differs between two reports
  --no-install       install nothing from Debian
  --help             print this`;

/** What is to be done. */
export type Order =
  | { readonly do: 'help' }
  | { readonly do: 'compare'; readonly before: string; readonly after: string }
  | RunOrder;

/** A run. */
export interface RunOrder {
  readonly do: 'run';
  readonly quick: boolean;
  readonly plan: Plan;
  readonly only: readonly GroupName[];
  /** Path of the program; absent: this process's. */
  readonly node?: string | undefined;
  /** Releases from npm, in place of {@link RunOrder.node}. */
  readonly nodes?: readonly string[] | undefined;
  readonly json?: string | undefined;
  readonly svg?: string | undefined;
  readonly install: boolean;
}

/** Reads the arguments behind the program's name. */
export function parseFlags(args: readonly string[]): Order {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string' },
      node: { type: 'string' },
      nodes: { type: 'string' },
      json: { type: 'string' },
      svg: { type: 'string' },
      compare: { type: 'boolean', default: false },
      'no-install': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return { do: 'help' };
  if (values.compare) {
    const [before, after, ...more] = positionals;
    if (before === undefined || after === undefined || more.length > 0) {
      throw new Error('--compare takes two files: OLD.json NEW.json');
    }
    return { do: 'compare', before, after };
  }
  if (positionals.length > 0) throw new Error(`"${positionals[0]}" is too much`);
  if (values.node !== undefined && values.nodes !== undefined) {
    throw new Error('--node and --nodes exclude each other');
  }
  const plan = values.quick ? QUICK : FULL;
  return {
    do: 'run',
    quick: values.quick,
    plan: { ...plan, rounds: values.rounds === undefined ? plan.rounds : parseRounds(values.rounds) },
    only: values.only === undefined ? GROUP_NAMES : parseGroups(values.only),
    node: values.node,
    nodes: values.nodes?.split(','),
    json: values.json,
    svg: values.svg,
    install: !values['no-install'],
  };
}

function parseRounds(text: string): number {
  const rounds = Number(text);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds: "${text}" is no number of rounds`);
  return rounds;
}
