#!/usr/bin/env node
// The command `tlshub`: it makes the verbs of verbs.ts, parses, runs the verb, prints what went wrong
// and sets the exit code; it knows nothing about sessions.
import { Command, CommanderError } from 'commander';
import { codeOf } from '../errors.ts';
import { VERSION } from '../version.ts';
import { EXIT_CODES, exitCodeOf, UsageError } from './exit-codes.ts';
import { printError, printHelp } from './output.ts';
import { VERBS } from './verbs.ts';

const EPILOGUE = `
Exit codes: 0 done, 1 failed, 2 wrong command line, 3 no daemon answers.
"tlshub help VERB" explains a verb. A daemon is started by itself at first use.`;

/** What commander wrote about a wrong command line; printed as an error, by our own rules. */
let complaint = '';

function program(): Command {
  const root = new Command('tlshub')
    .description('Live TLS sessions as a service of the host: a daemon owns them, many processes share them.')
    .version(VERSION, '-V, --version', 'print the version')
    .addHelpText('after', EPILOGUE);
  for (const verb of VERBS) root.addCommand(verb());
  for (const command of [root, ...root.commands]) configure(command);
  return root;
}

function configure(command: Command): void {
  command
    .exitOverride()
    .helpOption('-h, --help', 'show this help')
    .configureOutput({
      writeOut: (text) => printHelp(text, 'stdout'),
      writeErr: (text) => printHelp(text, 'stderr'),
      outputError: (text) => {
        complaint = text.replace(/^error: /, '').trim();
      },
    });
}

/** The exit code for what commander or a verb threw; printed as far as it has not been. */
function report(error: unknown, json: boolean): number {
  if (!(error instanceof CommanderError)) {
    printError(error, { json });
    return exitCodeOf(error);
  }
  if (complaint !== '') printError(new UsageError(complaint), { json });
  return error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
}

/** A reader that has seen enough (`tlshub sessions | head`) is no failure. */
function stdoutOnError(error: Error): void {
  process.exit(codeOf(error) === 'EPIPE' ? EXIT_CODES.ok : report(error, process.argv.includes('--json')));
}

process.stdout.on('error', stdoutOnError);
try {
  await program().parseAsync(process.argv);
} catch (error) {
  process.exitCode = report(error, process.argv.includes('--json'));
}
