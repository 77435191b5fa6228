// All rows of the suite, by the names of --only.
import type { Lab } from '../lab.ts';
import type { Row } from '../row.ts';
import { bulkRows } from './bulk.ts';
import { acceptRows, connectionRows } from './connections.ts';
import { heldRows } from './held.ts';
import { latencyRows } from './latency.ts';
import { leaseRows } from './lease.ts';
import { memoryRows } from './memory.ts';
import { requestRows } from './requests.ts';

/** Groups in the order of the table. */
export const GROUPS = {
  lease: leaseRows,
  requests: requestRows,
  bulk: bulkRows,
  latency: latencyRows,
  connections: connectionRows,
  accept: acceptRows,
  memory: memoryRows,
  held: heldRows,
} as const satisfies Record<string, (lab: Lab) => Promise<Row[]>>;

/** Name of a group of rows. */
export type GroupName = keyof typeof GROUPS;

/** All names, in the order of the table. */
export const GROUP_NAMES = Object.keys(GROUPS) as GroupName[];

/** The names of a comma-separated list, in the order of the table; throws for a name that is none. */
export function parseGroups(list: string): GroupName[] {
  const wanted = list.split(',');
  const unknown = wanted.find((name) => !GROUP_NAMES.some((group) => group === name));
  if (unknown !== undefined) throw new Error(`--only: "${unknown}" is none of ${GROUP_NAMES.join(', ')}`);
  return GROUP_NAMES.filter((name) => wanted.includes(name));
}
