// The environment of a parked session's command: what a program needs to find its way on the host, and what it is
// started for. Nothing else of the daemon's: a daemon that was started by hand has its starter's whole environment.

/** Variables of the daemon that a command gets. */
const PASSED_ON: ReadonlySet<string> = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'TZ',
  'TMPDIR',
  'XDG_RUNTIME_DIR',
]);

/**
 * The environment for a command.
 * @param own what tells the command why it was started (`TLSHUB_…`)
 * @param env environment of the daemon
 */
export function commandEnvironment(
  own: Readonly<Record<string, string>>,
  env: NodeJS.ProcessEnv = process.env,
): NodeJS.ProcessEnv {
  const passedOn = Object.entries(env).filter(([name]) => PASSED_ON.has(name) || name.startsWith('LC_'));
  return { ...Object.fromEntries(passedOn), ...own };
}
