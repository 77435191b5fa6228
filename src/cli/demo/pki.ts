// Certificates without openssl: a root, authorities below it, and leaves, each with a fresh key. Used by `tlshub demo`
// and by the tests, never by daemon or wrapper. The X.509 library is loaded on first use: it costs about 200 ms.
import { webcrypto } from 'node:crypto';
import { isIP } from 'node:net';

/** Kind of key: P-256 (default) or RSA with 2,048 bits. */
export type KeyType = 'ec' | 'rsa';

/** What every certificate may be told. */
export interface Validity {
  /** Start of validity; default one hour ago. */
  notBefore?: Date;
  /** End of validity; default in 30 days. */
  notAfter?: Date;
  /** Kind of the certificate's own key; default `ec`. */
  keyType?: KeyType;
}

/** What a leaf is for. */
export interface LeafOptions extends Validity {
  /** DNS names and IP addresses of the subject alternative name; the first is also the common name. */
  names: readonly string[];
  /** For a client instead of a server (extended key usage); default false. */
  clientAuth?: boolean;
  /** Signed by its own key instead of the authority's; default false. */
  selfSigned?: boolean;
}

/** A certificate with its key; all texts are PEM. */
export interface Certificate {
  cert: string;
  /** PKCS #8, not encrypted. */
  key: string;
  /** `cert` and the authorities between it and the root, which is left out: what a TLS server sends. */
  chain: string;
}

/** A certificate authority. */
export interface Authority extends Certificate {
  /** Makes a certificate that this authority signs (or, with `selfSigned`, does not). */
  issue(options: LeafOptions): Promise<Certificate>;
  /** Makes an authority that this one signs. */
  createIntermediate(options: { name: string } & Validity): Promise<Authority>;
}

const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;

const KEY_ALGORITHMS = {
  ec: { name: 'ECDSA', namedCurve: 'P-256' },
  rsa: {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  },
} as const;

type X509Library = typeof import('@peculiar/x509');
type CryptoKeyPair = webcrypto.CryptoKeyPair;

interface Signer {
  /** Distinguished name (RFC 4514). */
  subject: string;
  keys: CryptoKeyPair;
  /** PEM of this authority and those above it, without the root; empty for a root. */
  chain: string;
}

async function loadLibrary(): Promise<X509Library> {
  // The library's own container asks for this polyfill of the Reflect API before it loads.
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

/**
 * Makes a root authority.
 * @param options `name` is its common name
 */
export async function createCa(options: { name: string } & Validity): Promise<Authority> {
  const x509 = await loadLibrary();
  const keys = await generateKeys(options.keyType);
  const subject = `CN=${options.name}`;
  const cert = await sign(x509, subject, keys, { subject, keys, chain: '' }, options, caExtensions(x509));
  return makeAuthority(x509, { subject, keys, chain: '' }, cert);
}

async function makeAuthority(x509: X509Library, signer: Signer, cert: string): Promise<Authority> {
  return {
    cert,
    key: await exportKey(signer.keys),
    chain: signer.chain === '' ? cert : signer.chain,
    issue: (options) => issueLeaf(x509, signer, options),
    createIntermediate: async (options) => {
      const keys = await generateKeys(options.keyType);
      const subject = `CN=${options.name}`;
      const lower = await sign(x509, subject, keys, signer, options, caExtensions(x509));
      return makeAuthority(x509, { subject, keys, chain: lower + signer.chain }, lower);
    },
  };
}

async function issueLeaf(x509: X509Library, signer: Signer, options: LeafOptions): Promise<Certificate> {
  const keys = await generateKeys(options.keyType);
  const subject = `CN=${options.names[0] ?? 'unnamed'}`;
  const issuer = options.selfSigned === true ? { subject, keys, chain: '' } : signer;
  const cert = await sign(x509, subject, keys, issuer, options, leafExtensions(x509, options));
  return { cert, key: await exportKey(keys), chain: cert + issuer.chain };
}

async function sign(
  x509: X509Library,
  subject: string,
  keys: CryptoKeyPair,
  issuer: Signer,
  validity: Validity,
  extensions: InstanceType<X509Library['Extension']>[],
): Promise<string> {
  const certificate = await x509.X509CertificateGenerator.create(
    {
      subject,
      issuer: issuer.subject,
      notBefore: validity.notBefore ?? new Date(Date.now() - HOUR_MS),
      notAfter: validity.notAfter ?? new Date(Date.now() + 30 * DAY_MS),
      publicKey: keys.publicKey,
      signingKey: issuer.keys.privateKey,
      signingAlgorithm: { name: issuer.keys.privateKey.algorithm.name, hash: 'SHA-256' },
      extensions: [
        ...extensions,
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        await x509.AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return `${certificate.toString('pem')}\n`;
}

function caExtensions(x509: X509Library): InstanceType<X509Library['Extension']>[] {
  const { keyCertSign, cRLSign, digitalSignature } = x509.KeyUsageFlags;
  return [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(keyCertSign | cRLSign | digitalSignature, true),
  ];
}

function leafExtensions(x509: X509Library, options: LeafOptions): InstanceType<X509Library['Extension']>[] {
  const usage = options.clientAuth === true ? 'clientAuth' : 'serverAuth';
  const { digitalSignature, keyEncipherment } = x509.KeyUsageFlags;
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(
      options.keyType === 'rsa' ? digitalSignature | keyEncipherment : digitalSignature,
      true,
    ),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[usage]]),
    new x509.SubjectAlternativeNameExtension(
      options.names.map((name) => ({ type: isIP(name) === 0 ? 'dns' : 'ip', value: name })),
    ),
  ];
}

function generateKeys(keyType: KeyType = 'ec'): Promise<CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEY_ALGORITHMS[keyType], true, ['sign', 'verify']);
}

async function exportKey(keys: CryptoKeyPair): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`;
}
