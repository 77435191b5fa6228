// The command line as such: help for every verb, exit code 2 for what is wrong, one JSON value when asked for JSON.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { NODE, runCli, spawnProcess } from '#helpers/run-node.js';
import { NUMBER_FLAGS } from '#src/cli/daemon-options.js';
import { VERBS } from '#src/cli/verbs.js';
import { DEFAULT_CONFIG } from '#src/daemon/config.js';

const VERB_NAMES = VERBS.map((verb) => verb().name());

test('the help lists every verb, the exit codes and how to go on', async () => {
  const { code, stdout, stderr } = await runCli(['--help']);
  assert.deepEqual([code, stderr], [0, '']);
  for (const name of VERB_NAMES) assert.match(stdout, new RegExp(`^ {2}${name} `, 'm'));
  assert.match(stdout, /Exit codes: 0 done, 1 failed, 2 wrong command line, 3 no daemon answers\./);
});

for (const name of VERB_NAMES) {
  test(`the help of ${name} says what it does, with examples`, async () => {
    const { code, stdout, stderr } = await runCli([name, '--help']);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, new RegExp(`^Usage: tlshub ${name}`));
    assert.match(stdout, new RegExp(`\\$ .*tlshub ${name}`));
    assert.equal((await runCli(['help', name])).stdout, stdout);
  });
}

test('the help of daemon shows every setting with its default', async () => {
  const { stdout } = await runCli(['daemon', '--help']);
  const flat = stdout.replace(/\s+/g, ' ');
  for (const { name, field, show, help } of NUMBER_FLAGS) {
    assert.ok(flat.includes(`--${name} <`), name);
    assert.ok(flat.includes(`${help} (default: ${show(DEFAULT_CONFIG[field])})`), name);
  }
  const settings = NUMBER_FLAGS.map(({ field }) => field as string);
  const numbers = Object.keys(DEFAULT_CONFIG).filter(
    (field) => !['configFile', 'peerCredentials', 'logLevel', 'shards', 'shard'].includes(field),
  );
  assert.deepEqual(settings.sort(), numbers.sort(), 'every setting has a flag');
});

test('--version is that of the package', async () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  assert.deepEqual(await runCli(['--version']), {
    code: 0,
    signal: null,
    stdout: `${version}\n`,
    stderr: '',
  });
});

const WRONG: readonly (readonly [args: string, message: RegExp])[] = [
  ['nonsense', /unknown command 'nonsense'/],
  ['stats', /unknown command 'stats'.*Did you mean status\?/],
  ['status --nonsense', /unknown option '--nonsense'/],
  ['status extra', /too many arguments for 'status'/],
  ['status --directory', /option '-d, --directory <DIR>' argument missing/],
  ['inspect', /missing required argument 'ID'/],
  ['inspect nonsense', /An id looks like s12/],
  ['close 12', /An id looks like s12/],
  ['drain --deadline 5', /option '--deadline <TIME>' argument '5' is invalid\. A time has a unit/],
  ['stop --deadline -1s', /A time has a unit/],
  ['stop --now --deadline 3s', /--now and --deadline exclude each other/],
  ['daemon --pool-idle 30', /option '--pool-idle <TIME>' argument '30' is invalid\. A time has a unit/],
  ['daemon --connect-timeout 0', /The time must be more than 0/],
  ['daemon --session-age 25d', /The longest time is 24d/],
  ['daemon --max-sessions 0', /option '--max-sessions <N>' argument '0' is invalid\. A whole number from 1/],
  ['daemon --max-buffered 1MB', /A size is a number of bytes, or has a unit/],
  ['daemon --log-level loud', /Allowed choices are trace, debug, info, warn, error, silent/],
  ['daemon --ready-fd 1', /A descriptor from 3 is needed/],
  ['start --linger forever', /A time has a unit/],
];

for (const [args, message] of WRONG) {
  test(`a wrong command line is exit code 2: tlshub ${args}`, async () => {
    const { code, stdout, stderr } = await runCli(args.split(' '));
    assert.deepEqual([code, stdout], [2, '']);
    const [first = '', ...rest] = stderr.replace(/\n\(Did/, ' (Did').split('\n');
    assert.match(first, /^tlshub: /);
    assert.match(first, message);
    assert.deepEqual(rest, ['  code: USAGE', '  help: see "tlshub --help" or "tlshub help VERB"', '']);
  });
}

test('without a verb the help goes to standard error, with exit code 2', async () => {
  const { code, stdout, stderr } = await runCli([]);
  assert.deepEqual([code, stdout], [2, '']);
  assert.match(stderr, /^Usage: tlshub/);
});

test('with --json a wrong command line is one JSON value too', async () => {
  const { code, stdout, stderr } = await runCli(['close', 'nonsense', '--json']);
  assert.deepEqual([code, stdout], [2, '']);
  const { error } = JSON.parse(stderr);
  assert.equal(error.code, 'USAGE');
  assert.match(error.message, /An id looks like s12/);
});

test('an unknown level in TLSHUB_LOG is told by the name of the variable', async () => {
  const { code, stderr } = await runCli(['daemon'], { env: { TLSHUB_LOG: 'loud' } });
  assert.equal(code, 2);
  assert.match(stderr, /'loud' from env 'TLSHUB_LOG' is invalid/);
});

test('a reader that closes early is no failure', async () => {
  // The shell's status is that of the command before the pipe, told on descriptor 3.
  const script = '{ { "$0" dist/cli/main.js --help; echo "exit $?" >&3; } | true; } 3>&1';
  const { stdout, stderr } = await spawnProcess('sh', ['-c', script, NODE], {}).result;
  assert.deepEqual({ stdout, stderr }, { stdout: 'exit 0\n', stderr: '' });
});
