// The error that the application gets, from the error that the daemon got: Node's own class, code, message and
// documented fields, the peer's certificate included (`ERR_TLS_CERT_ALTNAME_INVALID`).
import type { WireError } from '../protocol/messages.ts';
import { decodeError } from '../protocol/wire-error.ts';
import { type LegacyCertificate, legacyChain } from './remote-tls.ts';

/**
 * Rebuilds an error.
 * @param wire from a reply or event of the daemon
 */
export function rebuildError(wire: WireError): Error {
  const error = decodeError(wire) as Error & { cert?: LegacyCertificate };
  if (Array.isArray(wire.certs)) {
    error.cert = legacyChain(wire.certs.map(String), wire.certsRooted === true);
  }
  return error;
}
