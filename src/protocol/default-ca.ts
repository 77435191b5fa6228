// The certificates that a Node process trusts when a connection names none, as a blob with its hash. The wrapper
// asks for the application, the daemon for itself; when both hashes are equal the daemon leaves `ca` out.
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { blobHash, joinCa } from './ca-blob.ts';
import { type NodeStart, nodeStart } from './node-start.ts';

/** Trusted certificates. */
export interface TrustedCa {
  /** Hash of the blob (see blobHash); equal hashes mean equal trust. */
  readonly sha256: string;
  /** The blob, or `undefined` when the store can be named but not listed (OpenSSL's own). */
  blob(): Buffer | undefined;
}

/** Why trust cannot be told to another process, as a reason for `socket.sharing.reason`. */
export interface UntellableCa {
  readonly reason: string;
}

/**
 * Trust in the given entries.
 * @param entries PEM texts; must not change afterwards
 */
export function trustIn(entries: readonly (string | Uint8Array)[]): TrustedCa | UntellableCa {
  const joined = joinCa(entries);
  if (joined === undefined) return { reason: 'a CA certificate is not a PEM text' };
  return {
    sha256: blobHash(joined),
    blob: () => Buffer.from(joinCa(entries) ?? ''),
  };
}

type Listing = readonly string[];

/** The list last hashed, and what came of it; Node answers the same array until its default store is changed. */
let last: { list: Listing; ca: TrustedCa | UntellableCa } | undefined;
let extraTexts: string[] | undefined;

/**
 * What this process trusts by default: Node's bundled list, the system's (`--use-system-ca`), NODE_EXTRA_CA_CERTS,
 * `tls.setDefaultCACertificates`, or OpenSSL's store where Node was built for that.
 */
export function defaultCa(): TrustedCa | UntellableCa {
  const { options, env, buildTrustsOpenssl } = nodeStart();
  if (options.has('--use-openssl-ca')) {
    return { reason: "OpenSSL's own CA store (--use-openssl-ca) cannot be listed" };
  }
  const { NODE_EXTRA_CA_CERTS: extra } = env;
  const listsExtra = typeof tls.getCACertificates === 'function';
  if (listsExtra && extra && !process.env.NODE_EXTRA_CA_CERTS) {
    return {
      reason: 'NODE_EXTRA_CA_CERTS was removed after the start, and Node no longer lists its certificates',
    };
  }
  const list = listsExtra ? tls.getCACertificates('default') : tls.rootCertificates;
  if (last?.list === list) return last.ca;
  if (buildTrustsOpenssl && !options.has('--use-bundled-ca') && (extra || isBundled(list))) {
    last = { list, ca: opensslStore(env) };
  } else if (!listsExtra && extra) {
    last = { list, ca: trustIn([...list, ...extraCertificates(extra)]) };
  } else {
    last = { list, ca: trustIn(list) };
  }
  return last.ca;
}

/** False after tls.setDefaultCACertificates, which replaces OpenSSL's store too. */
function isBundled(list: Listing): boolean {
  return list === tls.rootCertificates || list.join() === tls.rootCertificates.join();
}

/** Named, not listed: the same program with the same OpenSSL and no settings of its own trusts the same files. */
function opensslStore(env: NodeStart['env']): TrustedCa | UntellableCa {
  const setting = (['SSL_CERT_FILE', 'SSL_CERT_DIR', 'NODE_EXTRA_CA_CERTS'] as const).find(
    (name) => env[name],
  );
  if (setting !== undefined) {
    return {
      reason: `OpenSSL's own CA store, as this build of Node trusts it, cannot be listed with ${setting}`,
    };
  }
  const name = `OpenSSL store of ${process.execPath} with OpenSSL ${process.versions.openssl}`;
  return { sha256: blobHash(name), blob: () => undefined };
}

/** Node before 22.15 does not list them; it reads the file once, and goes on without one that it cannot read. */
function extraCertificates(file: string): readonly string[] {
  if (extraTexts !== undefined) return extraTexts;
  try {
    extraTexts = [readFileSync(file, 'utf8')];
  } catch (error) {
    extraTexts = [];
    process.emitWarning(`Ignoring extra certs from \`${file}\`, load failed: ${(error as Error).message}`);
  }
  return extraTexts;
}
