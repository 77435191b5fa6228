// The flags of `tlshub connect` that are about named sessions: what they mean, which go together, and the `shared`
// option that they make. Pure.
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { MessageRule } from '../../protocol/message-splitter.ts';
import { SESSION_MODES, type SessionMode } from '../../protocol/session-name.ts';
import type { SharedOptions } from '../../wrapper/sharing-options.ts';
import { UsageError } from '../exit-codes.ts';
import { parseDuration } from '../units.ts';

/** The flags as commander gives them. */
export interface NamedFlags {
  readonly name?: string;
  readonly mode?: SessionMode;
  readonly linger?: number;
  readonly messages?: MessageRule;
  readonly end?: boolean;
}

const FLAGS = ['name', 'mode', 'linger', 'messages', 'end'] as const;

/** Adds the flags to the verb. */
export function addNamedOptions(command: Command): void {
  command
    .option(
      '--name <NAME>',
      'join the session of this name, or open it; at the end of input: leave it for others',
    )
    .addOption(
      new Option('--mode <MODE>', 'who may read a named session (default: exclusive)').choices(SESSION_MODES),
    )
    .option('--linger <TIME>', 'how long a named session stays with no process (default: 1m)', parseDuration)
    .option(
      '--messages <RULE>',
      'where a message ends in turn mode: chunk, lines, delimiter=TEXT or length=1|2|4 (default: chunk)',
      parseMessages,
    )
    .option('--end', 'with --name, at the end of input: end the session, for all processes');
}

/** Throws UsageError when a flag is there without --name, or one that --name excludes. */
export function checkNamedFlags(flags: NamedFlags & { detach?: boolean; share: boolean; attach?: string }) {
  const present = FLAGS.find((name) => flags[name] !== undefined);
  if (present === undefined) return;
  if (flags.attach !== undefined)
    throw new UsageError(`--attach goes on with a session as it is; --${present} is too much`);
  if (flags.name === undefined) throw new UsageError(`--${present} is for named sessions: give --name`);
  if (!flags.share) throw new UsageError('--no-share and --name exclude each other');
  if (flags.messages !== undefined && flags.mode !== 'turn')
    throw new UsageError('--messages is for --mode turn');
}

/** The part of the `shared` option that the flags make. */
export function namedOptions({ name, mode, linger, messages }: NamedFlags): SharedOptions {
  if (name === undefined) return {};
  return {
    name,
    ...(mode !== undefined && { mode }),
    ...(linger !== undefined && { linger }),
    ...(messages !== undefined && { messages }),
  };
}

/**
 * The rule of a text: `chunk`, `lines`, `delimiter=TEXT` (`\n`, `\r`, `\t` and `\0` may be written so) or `length=N`.
 * Throws commander's InvalidArgumentError.
 */
export function parseMessages(text: string): MessageRule {
  if (text === 'chunk') return 'chunk';
  if (text === 'lines') return { delimiter: '\n' };
  const [, kind, value = ''] = /^(delimiter|length)=(.+)$/s.exec(text) ?? [];
  if (kind === 'delimiter') {
    const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', 0: '\0', '\\': '\\' };
    return { delimiter: value.replace(/\\([nrt0\\])/g, (_, letter: string) => escapes[letter] ?? '') };
  }
  const length = ([1, 2, 4] as const).find((size) => `${size}` === value);
  if (kind === 'length' && length !== undefined) return { lengthPrefix: length };
  throw new InvalidArgumentError('A rule is chunk, lines, delimiter=TEXT, length=1, length=2 or length=4.');
}
