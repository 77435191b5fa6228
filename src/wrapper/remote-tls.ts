// Answers the members of tls.TLSSocket from what the daemon sent when the session was opened, with the same objects
// and the same values as node:tls gives for a session in the process (Node docs, tls.TLSSocket).
import { X509Certificate } from 'node:crypto';
import type { TlsInfo } from '../protocol/messages.ts';

/** Label of the tls-exporter channel binding (RFC 9266 §2). */
const EXPORTER_LABEL = 'EXPORTER-Channel-Binding';
const EXPORTER_BYTES = 32;

/** Certificate object of Node's older API (`getPeerCertificate`). */
export type LegacyCertificate = Record<string, unknown> & { issuerCertificate?: LegacyCertificate };

/** The description of an open session, as Node's methods. */
export class RemoteTls {
  readonly info: TlsInfo;
  #chain: X509Certificate[] | undefined;

  constructor(info: TlsInfo) {
    this.info = info;
  }

  getPeerCertificate(detailed = false): LegacyCertificate {
    const [first] = this.#certificates();
    if (first === undefined) return {};
    return detailed ? legacyChain(this.info.peerChain, this.info.peerChainRooted) : legacyCertificate(first);
  }

  /** As node:tls gives it, linked to the issuers that the peer sent (`issuerCertificate`). */
  getPeerX509Certificate(): X509Certificate | undefined {
    const certificates = this.#certificates();
    for (const [index, certificate] of certificates.slice(0, this.info.peerSent).entries()) {
      const issuer = index + 1 < this.info.peerSent ? certificates[index + 1] : undefined;
      Object.defineProperty(certificate, 'issuerCertificate', { configurable: true, value: issuer });
    }
    return certificates[0];
  }

  getCertificate(): LegacyCertificate {
    const own = this.getX509Certificate();
    return own === undefined ? {} : legacyCertificate(own);
  }

  getX509Certificate(): X509Certificate | undefined {
    return this.info.certificate === null
      ? undefined
      : new X509Certificate(fromBase64(this.info.certificate));
  }

  getCipher(): TlsInfo['cipher'] | undefined {
    return this.info.cipher === null ? undefined : { ...this.info.cipher };
  }

  getProtocol(): string | null {
    return this.info.protocol;
  }

  getEphemeralKeyInfo(): TlsInfo['ephemeralKeyInfo'] {
    return this.info.ephemeralKeyInfo && { ...this.info.ephemeralKeyInfo };
  }

  getFinished(): Buffer | undefined {
    return optionalBuffer(this.info.finished);
  }

  getPeerFinished(): Buffer | undefined {
    return optionalBuffer(this.info.peerFinished);
  }

  getSharedSigalgs(): string[] {
    return [...this.info.sharedSigalgs];
  }

  /** An opaque name of the session: given to `tls.connect` as `session` it is accepted, and tells no secret. */
  getSession(): Buffer | undefined {
    return optionalBuffer(this.info.ticket);
  }

  getTLSTicket(): Buffer | undefined {
    return optionalBuffer(this.info.ticket);
  }

  isSessionReused(): boolean {
    return this.info.resumed;
  }

  /**
   * The keying material that came with the open reply, or `undefined` when the daemon has to be asked.
   * TLS 1.3 does not tell an absent context from an empty one (RFC 8446 §7.5); TLS 1.2 does (RFC 5705 §4).
   */
  knownKeyingMaterial(length: number, label: string, context: Buffer | undefined): Buffer | undefined {
    const emptyContext = context === undefined ? this.info.protocol === 'TLSv1.3' : context.length === 0;
    if (label !== EXPORTER_LABEL || length !== EXPORTER_BYTES || !emptyContext) return undefined;
    return optionalBuffer(this.info.exporter);
  }

  #certificates(): X509Certificate[] {
    this.#chain ??= this.info.peerChain.map((der) => new X509Certificate(fromBase64(der)));
    return this.#chain;
  }
}

/**
 * A chain as `getPeerCertificate(true)` shows it: each certificate carries its issuer.
 * @param chain DER in base64, the peer's own first
 * @param rooted whether the last one is its own issuer
 */
export function legacyChain(chain: readonly string[], rooted: boolean): LegacyCertificate {
  const certificates = chain.map((der) => legacyCertificate(new X509Certificate(fromBase64(der))));
  for (const [index, certificate] of certificates.entries()) {
    const issuer = certificates[index + 1] ?? (rooted ? certificate : undefined);
    if (issuer !== undefined) certificate.issuerCertificate = issuer;
  }
  return certificates[0] ?? {};
}

/** The older certificate object, as node:tls makes it (`translatePeerCertificate` in Node's _tls_common). */
export function legacyCertificate(certificate: X509Certificate): LegacyCertificate {
  const legacy = certificate.toLegacyObject() as unknown as LegacyCertificate;
  if (typeof legacy.infoAccess === 'string') legacy.infoAccess = parseInfoAccess(legacy.infoAccess);
  return legacy;
}

function parseInfoAccess(text: string): Record<string, string[]> {
  const parsed: Record<string, string[]> = Object.create(null);
  for (const [, method = '', value = ''] of text.matchAll(/([^\n:]*):([^\n]*)(?:\n|$)/g)) {
    // Node quotes values that could be misread (CVE-2021-44532); they are JSON strings then.
    const plain = value.charCodeAt(0) === 0x22 ? (JSON.parse(value) as string) : value;
    parsed[method] = [...(parsed[method] ?? []), plain];
  }
  return parsed;
}

function optionalBuffer(text: string | null): Buffer | undefined {
  return text === null ? undefined : fromBase64(text);
}

function fromBase64(text: string): Buffer {
  return Buffer.from(text, 'base64');
}
