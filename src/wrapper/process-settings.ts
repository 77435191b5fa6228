// Settings of the application's process that count as options of each connection: the daemon must not answer with
// its own. Those that it cannot take over are told as a reason. Values that a program may change are read at the
// time of the call, what Node reads at its start is read once.
import { constants, getFips } from 'node:crypto';
import dns from 'node:dns';
import tls from 'node:tls';
import { nodeStart } from '../protocol/node-start.ts';
import { nodeConnect } from './node-connect.ts';

/** Functions of Node as they were before anybody replaced them (tlshub/register among others). */
export const nodeFunctions = {
  createSecureContext: tls.createSecureContext,
  checkServerIdentity: tls.checkServerIdentity,
  lookup: dns.lookup,
} as const;

/** Ciphers of a Node without settings; any others are tried before they are sent. */
export const NODE_CIPHERS: string = constants.defaultCoreCipherList;

/** Options of Node that the daemon's process would have to be started with. */
const OBSTACLES: Readonly<Record<string, string>> = {
  '--tls-keylog': 'it writes the keys of the sessions of this process',
  '--trace-tls': 'it traces the sessions of this process',
  '--openssl-config': 'the daemon has a configuration of OpenSSL of its own',
  '--openssl-shared-config': 'the daemon has a configuration of OpenSSL of its own',
  '--openssl-legacy-provider': 'the daemon does not load it',
  '--enable-fips': 'the daemon is not in FIPS mode',
  '--force-fips': 'the daemon is not in FIPS mode',
  '--experimental-config-file': 'it may set options of TLS that cannot be seen',
  '--experimental-default-config-file': 'it may set options of TLS that cannot be seen',
};

let startObstacle: string | undefined;
let startIsRead = false;

/** Why no request of this process can be shared, or `undefined`. */
export function processObstacle(): string | undefined {
  if (!startIsRead) {
    startObstacle = findStartObstacle();
    startIsRead = true;
  }
  return startObstacle ?? (getFips() === 0 ? undefined : 'this process is in FIPS mode, the daemon is not');
}

function findStartObstacle(): string | undefined {
  const { options, env } = nodeStart();
  for (const [option, why] of Object.entries(OBSTACLES)) {
    if (options.has(option)) return `this process runs with ${option}: ${why}`;
  }
  if (env.OPENSSL_CONF) {
    return 'this process runs with OPENSSL_CONF: the daemon has a configuration of OpenSSL of its own';
  }
  return undefined;
}

/** Why this process looks names up as the daemon would not, or `undefined`. */
export function lookupObstacle(): string | undefined {
  if (dns.lookup !== nodeFunctions.lookup) return 'dns.lookup was replaced in this process';
  const order = dns.getDefaultResultOrder();
  return order === 'verbatim' ? undefined : `the order of looked-up addresses is ${order} in this process`;
}

let hasWarned = false;

/**
 * The default of `rejectUnauthorized`: false with NODE_TLS_REJECT_UNAUTHORIZED=0, for which Node warns once.
 */
export function defaultRejectUnauthorized(): boolean {
  if (process.env.NODE_TLS_REJECT_UNAUTHORIZED !== '0') return true;
  if (!hasWarned) {
    hasWarned = true;
    letNodeWarn();
  }
  return false;
}

/** Node warns before it refuses this call, so that the warning is its own and never comes twice. */
function letNodeWarn(): void {
  try {
    nodeConnect({ checkServerIdentity: undefined }).destroy();
  } catch {
    // Refused, as every version does: checkServerIdentity must be a function.
  }
}
