// The environment of a daemon that an application's process starts: what a program needs to find its way on the host,
// and tlshub's own settings. Nothing of the application's: it must make no difference who happened to start the daemon.

/** Variables that are passed on. */
const PASSED_ON: ReadonlySet<string> = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'LANG',
  'TZ',
  'TMPDIR',
  'XDG_RUNTIME_DIR',
]);
/** Beginnings of names that are passed on. */
const PASSED_ON_PREFIXES = ['LC_', 'TLSHUB_'] as const;
/** Settings of tlshub that concern the application, not the daemon. */
const KEPT_BACK: ReadonlySet<string> = new Set(['TLSHUB_SHARE', 'TLSHUB_SHARE_SERVERS']);

/**
 * The environment for a daemon. Left out above all are the application's `NODE_OPTIONS` and its settings of trust
 * (`NODE_EXTRA_CA_CERTS`, `NODE_TLS_REJECT_UNAUTHORIZED`, `SSL_CERT_FILE`, `OPENSSL_CONF`, …).
 * @param env environment of the starting process
 */
export function daemonEnvironment(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => isPassedOn(name)));
}

function isPassedOn(name: string): boolean {
  if (KEPT_BACK.has(name)) return false;
  return PASSED_ON.has(name) || PASSED_ON_PREFIXES.some((prefix) => name.startsWith(prefix));
}
