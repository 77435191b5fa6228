// The verbs of OpenSSL's SSL object that only tell: certificate, cipher, version, and how the session is shared. They
// change nothing. Base of the class in ssl.ts, which says when there is a session.
import type { X509Certificate } from 'node:crypto';
import { codeOf } from '../../errors.ts';
import type { TlshubSocket } from '../connect.ts';
import { type SharingInfo, undecided } from '../sharing-info.ts';
import { SessionFacts } from './session-facts.ts';
import { verifyNumber, X509_V } from './verify-result.ts';

/** Answers what a session is. */
export class SslDescription {
  #socket: TlshubSocket | undefined;
  #facts: SessionFacts | undefined;

  /** SSL_get_peer_certificate(3): `null` when the peer sent none or the handshake is not done. */
  getPeerCertificate(): X509Certificate | null {
    return this.#facts?.peerCertificate ?? null;
  }

  /** SSL_get_cipher(3): OpenSSL's name of the cipher suite, `null` before the handshake is done. */
  getCipher(): string | null {
    return this.#facts?.cipher ?? null;
  }

  /** SSL_get_version(3): as `TLSv1.3`, `null` before the handshake is done. */
  getVersion(): string | null {
    return this.#facts?.version ?? null;
  }

  /** SSL_get0_alpn_selected(3): `null` when none was agreed. */
  getAlpnSelected(): string | null {
    return this.#facts?.alpn ?? null;
  }

  /** SSL_session_reused(3): 1 when the handshake resumed an earlier session, else 0. */
  sessionReused(): 1 | 0 {
    return this.#facts?.sessionReused === true ? 1 : 0;
  }

  /** SSL_get_verify_result(3): OpenSSL's number (see `X509_V`), also after a handshake that failed for it. */
  getVerifyResult(): number {
    return this.#facts?.verifyResult ?? verifyNumber(codeOf(this.#socket?.errored)) ?? X509_V.OK;
  }

  /** Whether and why the session is shared, as `socket.sharing`. */
  get sharing(): SharingInfo {
    return this.#socket?.sharing ?? undecided();
  }

  /**
   * From now on the answers are about this socket's session.
   * @param open true when the handshake is done
   */
  protected describe(socket: TlshubSocket, open: boolean): void {
    this.#socket = socket;
    const socketOnSecureConnect = () => {
      this.#facts = new SessionFacts(socket);
    };
    if (open) socketOnSecureConnect();
    else socket.once('secureConnect', socketOnSecureConnect);
  }

  /** The socket is about to close; the answers stay. */
  protected keepDescription(): void {
    this.#facts?.keep();
  }
}
