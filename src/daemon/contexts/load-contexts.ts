// Makes contexts of the configuration file: reads what its definitions name and tries all of it, so that whatever is
// wrong shows at load, with its reason, and not at the first handshake. Called by load-configuration.ts.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { resolve } from 'node:path';
import tls from 'node:tls';
import { codeOf, messageOf } from '../../errors.ts';
import { encodeAlpn } from '../../protocol/alpn.ts';
import { blobHash, joinCa, NO_CA_SHA256 } from '../../protocol/ca-blob.ts';
import { defaultCa } from '../../protocol/default-ca.ts';
import type { ContextKey } from '../../protocol/session-key.ts';
import { toSecureContextOptions } from '../connect-options.ts';
import { clearOpensslErrors } from '../openssl-errors.ts';
import {
  type ContextDefinition,
  type ContextSide,
  type MaterialDefinition,
  VERSIONS,
} from './context-file.ts';
import { readGuardedFile } from './guarded-file.ts';
import { flaw } from './toml-sections.ts';

/** A context with all that its definition names. */
export interface LoadedContext {
  readonly side: ContextSide;
  /** User ids that may use it; `undefined` is the daemon's own. */
  readonly uids: readonly number[] | undefined;
  /** What a secure context is made of; `ca` is the name of the list below. */
  readonly context: ContextKey;
  /** Trusted certificates (see splitCa); `bundled`: what the daemon's Node trusts by default. */
  readonly ca: Buffer | 'bundled';
  /** Wire form in base64, or `null`. */
  readonly ALPNProtocols: string | null;
}

const NO_CA = Buffer.alloc(0);
const BEGIN = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/g;
const CERTIFICATE = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[A-Za-z0-9+/=\s]*?-----END \1-----/g;

/**
 * Loads one context. Throws ERR_TLSHUB_CONFIG, which says what is wrong.
 * @param directory relative paths are relative to it
 */
export function loadContext(
  definition: MaterialDefinition & Pick<ContextDefinition, 'side' | 'uids'>,
  directory: string,
): LoadedContext {
  const { side, uids, alpn } = definition;
  const ca = trust(definition, directory);
  const context: ContextKey = {
    ca: ca === 'bundled' ? nameOfDefault() : blobHash(ca),
    ...identity(definition, directory),
    pfx: null,
    passphrase: null,
    crl: null,
    dhparam: null,
    ciphers: definition.ciphers ?? tls.DEFAULT_CIPHERS,
    sigalgs: null,
    ecdhCurve: tls.DEFAULT_ECDH_CURVE,
    ...versions(definition),
    secureProtocol: null,
    secureOptions: null,
    honorCipherOrder: null,
    sessionIdContext: null,
    sessionTimeout: null,
    ticketKeys: null,
    allowPartialTrustChain: null,
    certificateCompression: null,
  };
  trySecureContext(context, ca);
  const wire = alpn && encodeAlpn(alpn);
  return { side, uids, context, ca, ALPNProtocols: wire?.toString('base64') ?? null };
}

/** OpenSSL takes versions that leave none, and every handshake fails then. */
function versions(definition: MaterialDefinition): Pick<ContextKey, 'minVersion' | 'maxVersion'> {
  const minVersion = definition.min_version ?? tls.DEFAULT_MIN_VERSION;
  const maxVersion = definition.max_version ?? tls.DEFAULT_MAX_VERSION;
  if (VERSIONS.indexOf(minVersion) > VERSIONS.indexOf(maxVersion))
    throw flaw(
      `no version is left between ${minVersion} and ${maxVersion}, where one of them is Node's default`,
    );
  return { minVersion, maxVersion };
}

/** Certificate and key, which must belong together. */
function identity(definition: MaterialDefinition, directory: string): Pick<ContextKey, 'cert' | 'key'> {
  const { certificate, key, passphrase_file: passphraseFile } = definition;
  if (certificate === undefined || key === undefined) return { cert: null, key: null };
  const chain = readGuardedFile(resolve(directory, certificate), 'public');
  const [leaf] = within('certificate', () => certificatesIn(chain));
  const pem = readGuardedFile(resolve(directory, key), 'secret');
  const passphrase =
    passphraseFile === undefined
      ? undefined
      : readGuardedFile(resolve(directory, passphraseFile), 'secret')
          .toString('utf8')
          .replace(/\r?\n$/, '');
  if (leaf?.checkPrivateKey(privateKey(pem, passphrase)) !== true)
    throw flaw(`the key in ${key} is not the one of the certificate in ${certificate}`);
  return {
    cert: [chain.toString('base64')],
    key: [
      {
        data: pem.toString('base64'),
        passphrase: passphrase === undefined ? null : Buffer.from(passphrase).toString('base64'),
      },
    ],
  };
}

function privateKey(pem: Buffer, passphrase: string | undefined): KeyObject {
  try {
    return createPrivateKey({ key: pem, ...(passphrase !== undefined && { passphrase }) });
  } catch (error) {
    if (passphrase === undefined && pem.includes('ENCRYPTED'))
      throw flaw('key: it is encrypted, and there is no "passphrase_file"');
    const hint = passphrase === undefined ? '' : ', or its passphrase is another one';
    throw flaw(`key: it is not a private key in PEM form${hint} (${messageOf(error)})`);
  }
}

/** Absent, a client trusts what Node trusts by default; a server, whose clients have certificates of their own, nobody. */
function trust({ side, ca }: Pick<ContextDefinition, 'side' | 'ca'>, directory: string): Buffer | 'bundled' {
  if (ca === undefined) return side === 'client' ? 'bundled' : NO_CA;
  const entries = ca.map((path) => readGuardedFile(resolve(directory, path), 'public'));
  for (const [index, entry] of entries.entries()) within(`ca: ${ca[index]}`, () => certificatesIn(entry));
  const joined = joinCa(entries);
  if (joined === undefined) throw flaw('ca: a file has a zero byte in it');
  return Buffer.from(joined);
}

/** Only a name: a context's trust is taken from its own `ca`, never looked up by this. */
function nameOfDefault(): string {
  const own = defaultCa();
  return 'sha256' in own ? own.sha256 : NO_CA_SHA256;
}

/** Every certificate of a PEM text; node:tls would read until the first flaw, and trust what it had until then. */
function certificatesIn(pem: Buffer): X509Certificate[] {
  const text = pem.toString('latin1');
  const blocks = text.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw flaw('there is no certificate in PEM form in it');
  if (blocks.length !== text.match(BEGIN)?.length) throw flaw('a certificate in it has no end');
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw flaw(`its certificate ${index + 1} is not one (${messageOf(error)})`);
    }
  });
}

/** Lets node:tls say what else is wrong, such as ciphers that there are not. */
function trySecureContext(context: ContextKey, ca: Buffer | 'bundled'): void {
  try {
    tls.createSecureContext(toSecureContextOptions(context, ca));
  } catch (error) {
    throw flaw(messageOf(error));
  } finally {
    clearOpensslErrors();
  }
}

/** Runs it; what it refuses (ERR_TLSHUB_CONFIG) is told with its place in front. */
export function within<Result>(where: string, run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    throw codeOf(error) === 'ERR_TLSHUB_CONFIG' ? flaw(`${where}: ${messageOf(error)}`) : error;
  }
}
