// OpenSSL keeps one list of errors for all connections of a thread, and Node asks it whether a connection has failed.
// Some calls of node:tls leave errors in it that they do not report: the next connection that reads would fail with an
// error of another one. Called by upstream.ts after each call that is given what a client sent.
import { X509Certificate } from 'node:crypto';

const NO_CERTIFICATE = '';

/** Empties OpenSSL's list of errors; takes about 15 µs. */
export function clearOpensslErrors(): void {
  try {
    // Of all that Node offers, the parser of certificates empties the list for the least (node_crypto_x509.cc).
    new X509Certificate(NO_CERTIFICATE);
  } catch {
    // It cannot succeed.
  }
}
