// `npm run bench`: the suite. Compares tlshub with HAProxy, nginx, stunnel and node:tls, all in the same run, and prints
// one table. Standard error tells how far it is. README.md says how to read the figures.
import { readFileSync, writeFileSync } from 'node:fs';
import { messageOf } from '#src/errors.js';
import { HELP, type Order, parseFlags, type RunOrder } from './flags.ts';
import { runRounds } from './interleave.ts';
import { Lab } from './lab.ts';
import { BUSY_LOAD, machineFacts, versions } from './machine.ts';
import { type BenchNode, nodesFromNpm, singleNode } from './nodes.ts';
import { installPackages } from './packages.ts';
import { compareText } from './report/compare.ts';
import { parseReport, REPORT_FORMAT, type Report } from './report/report.ts';
import { chartSvg } from './report/svg.ts';
import { reportText } from './report/table.ts';
import type { Row } from './row.ts';
import { GROUPS, type GroupName } from './rows/groups.ts';
import { type RunScope, withScope } from './run-scope.ts';

const EXIT_USAGE = 2;
const startMs = performance.now();

/** How far it is, with the time since the start. */
function say(text: string): void {
  const seconds = Math.round((performance.now() - startMs) / 1000);
  const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  process.stderr.write(`[${clock}] ${text}\n`);
}

function nodesOf({ node, nodes }: RunOrder): BenchNode[] {
  return nodes === undefined ? [singleNode(node ?? process.execPath)] : nodesFromNpm(nodes, say);
}

/** The rows of the groups; a group that cannot be had is left out with the reason. */
async function rowsOf(lab: Lab, names: readonly GroupName[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const name of names) {
    lab.say(`preparing: ${name}`);
    try {
      rows.push(...(await GROUPS[name](lab)));
    } catch (error) {
      lab.leaveOut(name, error);
    }
  }
  return rows;
}

async function run(scope: RunScope, order: RunOrder): Promise<void> {
  const began = new Date().toISOString();
  const machine = machineFacts();
  if (machine.loadBefore > BUSY_LOAD)
    say(`the machine is busy (load ${machine.loadBefore}): figures will move`);
  const missing = order.install ? installPackages(say) : undefined;
  const nodes = nodesOf(order);
  const lab = await Lab.open(scope, order.plan, nodes, say);
  if (missing !== undefined) lab.leaveOut('what needs other programs', missing);
  const { comparisons, failed } = await runRounds(lab, await rowsOf(lab, order.only));
  const report: Report = {
    format: REPORT_FORMAT,
    began,
    seconds: (performance.now() - startMs) / 1000,
    settings: { quick: order.quick, rounds: order.plan.rounds, only: order.only },
    machine,
    versions: versions(nodes),
    leftOut: lab.leftOut,
    comparisons,
  };
  write(report, order);
  if (failed > 0 || comparisons.length === 0) process.exitCode = 1;
}

function write(report: Report, { json, svg }: RunOrder): void {
  const text = `${JSON.stringify(report, null, 1)}\n`;
  if (json === '-') process.stdout.write(text);
  else console.log(reportText(report));
  if (json !== undefined && json !== '-') writeFileSync(json, text);
  if (svg !== undefined) writeFileSync(svg, chartSvg(report));
}

/** The order of the command line; ends the process when there is no sense in it. */
function readOrder(): Order {
  try {
    return parseFlags(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${HELP}\n`);
    process.exit(EXIT_USAGE);
  }
}

const order = readOrder();
if (order.do === 'help') console.log(HELP);
else if (order.do === 'compare') {
  const [before, after] = [order.before, order.after].map((path) => parseReport(readFileSync(path, 'utf8')));
  if (before !== undefined && after !== undefined) console.log(compareText(before, after));
} else await withScope((scope) => run(scope, order));
