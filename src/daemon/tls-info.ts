// What the daemon tells a wrapper about an open TLS session, so that the wrapper can answer every member of
// tls.TLSSocket without asking again. Reads a TLSSocket; keeps nothing.
import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import type { DetailedPeerCertificate, SecureContext, TLSSocket, TlsOptions } from 'node:tls';
import type { TlsInfo } from '../protocol/messages.ts';
import { sameText } from './equal-texts.ts';

/** Label of the tls-exporter channel binding (RFC 9266 §2). */
const EXPORTER_LABEL = 'EXPORTER-Channel-Binding';
const EXPORTER_BYTES = 32;

/** More certificates than this are not a chain but an attack. */
const MAX_CHAIN_LENGTH = 32;

/**
 * Describes a session after its handshake.
 * @param tls a socket after `secureConnect`
 */
export function describeTls(tls: TLSSocket): TlsInfo {
  return describe(tls, channelBinding(tls));
}

/**
 * Describes a session of a server: without its channel binding, which costs as much as all the rest and which few servers
 * ask for; who does is answered by the call `export`.
 */
export function describeServed(tls: TLSSocket): TlsInfo {
  return describe(tls, null);
}

function describe(tls: TLSSocket, exporter: string | null): TlsInfo {
  const chain = peerChain(tls.getPeerCertificate(true));
  const cipher = tls.getCipher() as TlsInfo['cipher'];
  const ephemeral = tls.getEphemeralKeyInfo() as Record<string, string | number> | null;
  // A server's connection was asked already where it comes from, as what it was before TLS.
  const socket = (tls as unknown as { _parent?: Socket | null })._parent ?? tls;
  // The last question about the peer's certificate: Node up to 24 forgets the chain when it is asked.
  const peerSent = countIssuers(tls.getPeerX509Certificate());
  return {
    protocol: tls.getProtocol(),
    cipher: cipher ?? null,
    alpnProtocol: tls.alpnProtocol as string | false | null,
    servername: (tls as { servername?: string | false }).servername ?? null,
    authorized: tls.authorized,
    authorizationError: (tls.authorizationError as unknown as string | null) ?? null,
    peerChain: chain.certificates,
    peerChainRooted: chain.rooted,
    peerSent,
    certificate: ownCertificate(tls),
    ephemeralKeyInfo: ephemeral,
    finished: base64(tls.getFinished()),
    peerFinished: base64(tls.getPeerFinished()),
    exporter,
    sharedSigalgs: tls.getSharedSigalgs() as string[],
    resumed: tls.isSessionReused(),
    ticket: null,
    localAddress: tls.localAddress ?? null,
    localPort: tls.localPort ?? null,
    localFamily: tls.localFamily ?? null,
    remoteAddress: socket.remoteAddress ?? tls.remoteAddress ?? null,
    remotePort: socket.remotePort ?? tls.remotePort ?? null,
    remoteFamily: socket.remoteFamily ?? tls.remoteFamily ?? null,
  };
}

/** Certificates of secure contexts that have one only, in base64: OpenSSL takes 0.1 ms to tell a connection's own. */
const onlyCertificates = new WeakMap<object, string>();

/**
 * Notes the certificate of a server's context, where no other can be chosen.
 * @param options that it was made of
 */
export function noteCertificate(context: SecureContext, { cert, pfx }: TlsOptions): void {
  const [only, another] = Array.isArray(cert) ? cert : [cert];
  if (only === undefined || another !== undefined || pfx !== undefined) return;
  onlyCertificates.set(context, new X509Certificate(only).raw.toString('base64'));
}

function ownCertificate(tls: TLSSocket): string | null {
  const { _tlsOptions: options, _handle: handle } = tls as unknown as {
    _tlsOptions?: { secureContext?: object };
    _handle?: { sni_context?: object } | null;
  };
  const known = handle?.sni_context === undefined && onlyCertificates.get(options?.secureContext ?? tls);
  return known || (tls.getX509Certificate()?.raw.toString('base64') ?? null);
}

/**
 * The DER of a certificate and of its issuers, as far as OpenSSL found them.
 * @param first what `getPeerCertificate(true)` answered, or the `cert` of an error
 */
export function peerChain(first: DetailedPeerCertificate | undefined): {
  certificates: string[];
  rooted: boolean;
} {
  const certificates: string[] = [];
  let current = first;
  while (current?.raw !== undefined && certificates.length < MAX_CHAIN_LENGTH) {
    certificates.push(sameText(current.raw.toString('base64')));
    if (current.issuerCertificate === current) return { certificates, rooted: true };
    current = current.issuerCertificate;
  }
  return { certificates, rooted: false };
}

/** Length of the chain that a certificate from the handshake is linked to. */
function countIssuers(first: X509Certificate | undefined): number {
  let count = 0;
  for (let current = first; current !== undefined && count < MAX_CHAIN_LENGTH; count++) {
    current = current.issuerCertificate;
  }
  return count;
}

function base64(buffer: Buffer | undefined): string | null {
  return buffer === undefined ? null : buffer.toString('base64');
}

function channelBinding(tls: TLSSocket): string | null {
  try {
    return tls.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0)).toString('base64');
  } catch {
    // No exporter without a master secret (a session whose handshake was cut short): the binding is just absent.
    return null;
  }
}
