// The errors that the SSL verbs make themselves. Those of the session come from Node and the daemon as they are.
import { TlshubError } from '../../errors.ts';

/**
 * An error of OpenSSL's library as Node would show it.
 * @param reason OpenSSL's own text of the reason
 */
export function sslLibraryError(reason: string): Error {
  const code = `ERR_SSL_${reason.toUpperCase().replaceAll(' ', '_')}`;
  return Object.assign(new Error(reason), { library: 'SSL routines', reason, code });
}

/** As OpenSSL's for a call before SSL_connect(3). */
export function uninitializedError(): Error {
  return sslLibraryError('uninitialized');
}

/** An argument that is none; the call rejects with it. */
export function invalidArgument(why: string): TlshubError {
  return new TlshubError('ERR_TLSHUB_INVALID_OPTION', why);
}

/** A second reader. */
export function busyError(): TlshubError {
  return new TlshubError(
    'ERR_TLSHUB_SESSION_BUSY',
    'another call of this object waits for bytes of the session',
  );
}

/** A handshake that was not done within `wait`, where there is no object to go on with. */
export function timedOutError(): Error {
  return Object.assign(new Error('the handshake was not done in time'), { code: 'ETIMEDOUT' });
}
