// The certificates of a group for server names (SNI), as tls.Server.addContext has them: the name that was added last
// counts first, and one that is added again takes the place of the old one.
import type { SecureContext } from 'node:tls';

interface Entry {
  readonly pattern: RegExp;
  readonly context: SecureContext;
}

/** Certificates by name. */
export class ServerContexts {
  readonly #entries = new Map<string, Entry>();

  /**
   * Adds a certificate.
   * @param servername a host name; `*` stands for any text without a dot
   */
  add(servername: string, context: SecureContext): void {
    const text = servername.replace(/([.^$+?\-\\[\]{}])/g, '\\$1').replaceAll('*', '[^.]*');
    this.#entries.delete(servername);
    this.#entries.set(servername, { pattern: new RegExp(`^${text}$`, 'i'), context });
  }

  /** How many there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** Forgets them all. */
  clear(): void {
    this.#entries.clear();
  }

  /** The certificate for a name; `undefined` means the server's own. */
  find(servername: string): SecureContext | undefined {
    return [...this.#entries.values()].reverse().find(({ pattern }) => pattern.test(servername))?.context;
  }
}
