// Errors on the wire: what node:tls would show the application, property by property. The stack is not sent; the
// receiver has its own.
import { isTlshubErrorCode, TlshubError } from '../errors.ts';
import type { WireError } from './messages.ts';

/** Own properties that Node puts on the errors of `net`, `tls` and OpenSSL, and that are plain values. */
const PLAIN_PROPERTIES = [
  'code',
  'errno',
  'syscall',
  'address',
  'port',
  'localAddress',
  'localPort',
  'hostname',
  'host',
  'reason',
  'library',
  'function',
  'opensslErrorStack',
  'path',
  'dest',
  'shard',
] as const;

/**
 * An error as it travels. The peer's certificate on it (`cert`) is left out: the receiver rebuilds it from `certs`.
 * @param error what a TLS or socket call failed with
 * @param chain the peer's certificate and its issuers (base64 DER), for an error that carries it
 */
export function encodeError(
  error: Error,
  chain?: { certificates: readonly string[]; rooted: boolean },
): WireError {
  const source = error as unknown as Record<string, unknown>;
  const wire: WireError = { message: error.message, name: error.name };
  for (const property of PLAIN_PROPERTIES) {
    if (source[property] !== undefined) Object.assign(wire, { [property]: source[property] });
  }
  if (error instanceof AggregateError) wire.errors = error.errors.map((inner) => encodeError(inner as Error));
  if (chain !== undefined) Object.assign(wire, { certs: chain.certificates, certsRooted: chain.rooted });
  return wire;
}

/**
 * The error again, with the class, code, message and properties it had in the daemon.
 * @param wire an error from the wire
 */
export function decodeError(wire: WireError): Error {
  if (isTlshubErrorCode(wire.code)) return new TlshubError(wire.code, wire.message);
  const inner = Array.isArray(wire.errors) ? wire.errors.filter(isWireError).map(decodeError) : undefined;
  const error = inner === undefined ? makeError(wire) : new AggregateError(inner, wire.message);
  for (const property of PLAIN_PROPERTIES) {
    if (wire[property] !== undefined) Object.assign(error, { [property]: wire[property] });
  }
  return error;
}

const CLASSES: ReadonlyMap<unknown, ErrorConstructor> = new Map([
  ['TypeError', TypeError],
  ['RangeError', RangeError],
  ['SyntaxError', SyntaxError],
]);

function makeError(wire: WireError): Error {
  return new (CLASSES.get(wire.name) ?? Error)(wire.message);
}

function isWireError(value: unknown): value is WireError {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { message?: unknown }).message === 'string'
  );
}
