// The certificates of a group for server names (SNI), as tls.Server.addContext has them: the name that was added last
// counts first, and one that is added again takes the place of the old one.
import type { SecureContext } from 'node:tls';

/** Certificates by name. */
export class ServerContexts {
  readonly #entries = new Map<string, SecureContext>();

  /** How many there are. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Adds a certificate.
   * @param servername a host name; `*` stands for any text without a dot
   */
  add(servername: string, context: SecureContext): void {
    this.#entries.delete(servername);
    this.#entries.set(servername, context);
  }

  /** Forgets them all. */
  clear(): void {
    this.#entries.clear();
  }

  /** The certificate for a name; `undefined` means the server's own. */
  find(servername: string): SecureContext | undefined {
    const name = servername.toLowerCase();
    return [...this.#entries].reverse().find(([pattern]) => matches(pattern.toLowerCase(), name))?.[1];
  }
}

/**
 * Whether a name is one of a pattern's. Not a regular expression: a few `*` would let a client's name, tried in every
 * way, hold up all connections of the daemon.
 */
function matches(pattern: string, name: string): boolean {
  let at = 0;
  let inPattern = 0;
  let star = -1;
  /** Where the text of the last star ends, as far as tried. */
  let starEnd = 0;
  while (at < name.length) {
    if (pattern[inPattern] === '*') {
      star = inPattern++;
      starEnd = at;
    } else if (pattern[inPattern] === name[at]) {
      inPattern += 1;
      at += 1;
    } else if (star !== -1 && name[starEnd] !== '.') {
      inPattern = star + 1;
      starEnd += 1;
      at = starEnd;
    } else {
      return false;
    }
  }
  while (pattern[inPattern] === '*') inPattern += 1;
  return inPattern === pattern.length;
}
