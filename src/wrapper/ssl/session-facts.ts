// What a session says of itself. A socket forgets it when it closes; SSL_get_cipher(3) and its kin answer until
// SSL_free(3), so it is kept here.
import type { X509Certificate } from 'node:crypto';
import { codeOf } from '../../errors.ts';
import type { TlshubSocket } from '../connect.ts';
import { verifyNumber, X509_V } from './verify-result.ts';

/** The facts of one open session. */
export class SessionFacts {
  /** Protocol version, as `TLSv1.3`. */
  readonly version: string | null;
  /** OpenSSL's name of the cipher suite. */
  readonly cipher: string | null;
  /** The protocol that was agreed by ALPN. */
  readonly alpn: string | null;
  readonly sessionReused: boolean;
  /** Number of {@link X509_V}. */
  readonly verifyResult: number;
  readonly #socket: TlshubSocket;
  #peerCertificate: X509Certificate | null | undefined;

  /** @param socket open */
  constructor(socket: TlshubSocket) {
    this.#socket = socket;
    this.version = socket.getProtocol();
    this.cipher = socket.getCipher()?.name ?? null;
    this.alpn = socket.alpnProtocol || null;
    this.sessionReused = socket.isSessionReused();
    this.verifyResult = verifyResultOf(socket);
  }

  /** The peer's certificate, `null` when it sent none. It is looked up once, at the latest by {@link keep}. */
  get peerCertificate(): X509Certificate | null {
    this.#peerCertificate ??= this.#socket.getPeerX509Certificate() ?? null;
    return this.#peerCertificate;
  }

  /** The socket is about to close. */
  keep(): void {
    void this.peerCertificate;
  }
}

function verifyResultOf(socket: TlshubSocket): number {
  // Node's types promise an Error; mostly it is its code that is there.
  const error = socket.authorizationError as Error | string | null | undefined;
  if (error === null || error === undefined) return X509_V.OK;
  return verifyNumber(typeof error === 'string' ? error : codeOf(error)) ?? X509_V.UNSPECIFIED;
}
