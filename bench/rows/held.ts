// Rows of a lease from daemons that hold few and many sessions, each with a key of its own. What is compared with is the
// daemon that holds the fewest.
import type { Lab } from '../lab.ts';
import { availableMemory, descriptorLimit, SPARE_DESCRIPTORS } from '../limits.ts';
import type { BenchNode } from '../nodes.ts';
import { holdSessions, Opener, repeat } from '../opener.ts';
import { ORIGIN_ADDRESSES } from '../peers/origin.ts';
import type { Contender, Row } from '../row.ts';
import { p50 } from '../statistics.ts';

/** What a held session may take of daemon and origin together. */
const SESSION_BYTES = 160 * 1024;

/** One row for each Node: `held`. */
export async function heldRows(lab: Lab): Promise<Row[]> {
  const { tlsPort } = await lab.origin();
  const rows: Row[] = [];
  for (const node of lab.nodes) {
    const contenders: Contender[] = [];
    for (const sessions of lab.plan.heldSessions) {
      const problem = problemOf(sessions);
      if (problem === undefined) contenders.push(await hold(lab, node, tlsPort, sessions));
      else lab.leaveOut(`${sessions} held sessions`, problem);
    }
    const metric = {
      key: 'open',
      title: `lease${node.label}`,
      unit: 'ms',
      better: 'less',
      digits: 3,
    } as const;
    rows.push({ key: `held${node.label.replaceAll(/[ ·]+/g, '-')}`, metrics: [metric], contenders });
  }
  return rows;
}

function problemOf(sessions: number): string | undefined {
  const descriptors = sessions + SPARE_DESCRIPTORS;
  if (descriptors > descriptorLimit()) {
    return `needs a hard limit of ${descriptors} descriptors, here it is ${descriptorLimit()}`;
  }
  if (sessions * SESSION_BYTES > availableMemory()) return 'needs more memory than is free';
  return undefined;
}

async function hold(lab: Lab, node: BenchNode, port: number, sessions: number): Promise<Contender> {
  lab.say(`opening ${sessions} sessions that a daemon holds${node.label}`);
  const { directory } = await lab.stage.daemon('held', node.path);
  process.env.TLSHUB_DIR = directory;
  await holdSessions(lab.stage.ca, port, sessions, ORIGIN_ADDRESSES);
  const opener = new Opener(lab.stage.ca, port);
  await opener.prepare();
  const many = (count: number) => {
    process.env.TLSHUB_DIR = directory;
    return repeat(count, () => opener.once('lease', 'open'));
  };
  return {
    name: `${sessions} sessions held`,
    isPeer: sessions === lab.plan.heldSessions[0],
    warmUp: () => many(lab.plan.warmUpLeases),
    measure: async () => ({ open: p50(await many(lab.plan.leases)) }),
  };
}
