// Authentication that sticks to the connection instead of the request: whoever gets such a connection next would speak
// as the user before. One rule for both ends: exchange-doubt.ts in the wrapper and http-fields.ts in the daemon ask it.

/**
 * Schemes that authenticate the connection (RFC 4559; NTLM and its relatives), as words in a header's value.
 */
const CONNECTION_BOUND = /(?:^|[\s,])(?:negotiate|nego2|ntlm|kerberos|credssp)(?:[\s,]|$)/i;

/**
 * True when the value of `Authorization`, `WWW-Authenticate` or one of their kind names a scheme that authenticates the
 * connection.
 */
export function isConnectionAuth(value: string): boolean {
  return CONNECTION_BOUND.test(value);
}
