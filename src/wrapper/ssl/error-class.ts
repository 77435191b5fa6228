// The classes of SSL_get_error(3) and which of them an error of Node belongs to. Nothing else knows codes of Node here.
import { codeOf } from '../../errors.ts';
import { X509_V } from './verify-result.ts';

/** Classes that `getError` answers, with OpenSSL's numbers (SSL_get_error(3)). */
export const SSL_ERROR = {
  /** The call did what it was asked to. */
  NONE: 0,
  /** TLS itself failed: an alert, a broken record, a certificate, a call that the session's state forbids. */
  SSL: 1,
  /** Nothing to read within `wait`; call again. */
  WANT_READ: 2,
  /** Earlier bytes were not taken within `wait`; call again. */
  WANT_WRITE: 3,
  /** The connection, the daemon or the use of this API failed; `lastError` says what. */
  SYSCALL: 5,
  /** The peer has ended its side. */
  ZERO_RETURN: 6,
} as const;

/** A value of {@link SSL_ERROR}. */
export type SslErrorClass = (typeof SSL_ERROR)[keyof typeof SSL_ERROR];

/** Prefixes of the codes that Node gives to failures of TLS (Node docs, "Errors"). */
const TLS_PREFIXES = ['ERR_SSL_', 'ERR_TLS_', 'ERR_OSSL_'];

/** The class of an error that ended a session: SSL or SYSCALL. */
export function classOf(error: Error): SslErrorClass {
  const code = codeOf(error) ?? '';
  const ofTls =
    TLS_PREFIXES.some((prefix) => code.startsWith(prefix)) ||
    Object.hasOwn(X509_V, code) ||
    // An alert of the peer that Node met while writing.
    code === 'EPROTO' ||
    typeof (error as { library?: unknown }).library === 'string';
  return ofTls ? SSL_ERROR.SSL : SSL_ERROR.SYSCALL;
}
