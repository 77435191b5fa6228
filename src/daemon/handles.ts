// Handles: unguessable names by which another process takes a detached session over. A handle is bound to the uid
// that detached, works once, and says which run of the daemon issued it, so that a stale one is told apart.
import { randomBytes } from 'node:crypto';
import { TlshubError } from '../errors.ts';
import { TurnoverMap } from '../link/turnover.ts';
import type { Session } from './session.ts';

const HANDLE_PATTERN = /^tlshub1\.([0-9a-f]{16})\.([0-9a-f]{32})$/;

const GENERATION_BYTES = 7;
const SECRET_BYTES = 16;
const SECRETS_AT_ONCE = 256;

/** The handles of one run of the daemon. */
export class Handles {
  /** Names this run of the daemon: the shard in two hexadecimal digits, then 56 random bits in 14. */
  readonly generation: string;
  readonly #sessions = new TurnoverMap<string, Session>();
  /** Random bytes that no secret was made of yet. */
  #random = Buffer.alloc(0);

  /** @param shard which of the directory's daemon processes this is */
  constructor(shard = 0) {
    this.generation = `${shard.toString(16).padStart(2, '0')}${randomBytes(GENERATION_BYTES).toString('hex')}`;
  }

  /** A new handle for a session, in place of an older one; good until it is revoked, or the session begins to close. */
  issue(session: Session): string {
    this.revoke(session);
    const secret = this.#drawSecret();
    this.#sessions.set(secret, session);
    session.handleSecret = secret;
    return `tlshub1.${this.generation}.${secret}`;
  }

  /** The session's handle names nothing any more. */
  revoke(session: Session): void {
    if (session.handleSecret !== undefined) this.#sessions.delete(session.handleSecret);
    session.handleSecret = undefined;
  }

  /**
   * The detached session of a handle. Throws ERR_TLSHUB_HANDLE_INVALID, _STALE or _UNKNOWN, and
   * ERR_TLSHUB_SESSION_BUSY while the process that used the handle holds the session.
   * @param handle text from `detach()`
   * @param uid who asks; another's handle is unknown to him
   */
  resolve(handle: string, uid: number): Session {
    const [, generation, secret] = HANDLE_PATTERN.exec(handle) ?? [];
    if (generation === undefined || secret === undefined) throw new TlshubError('ERR_TLSHUB_HANDLE_INVALID');
    if (generation !== this.generation) throw new TlshubError('ERR_TLSHUB_HANDLE_STALE');
    const session = this.#sessions.get(secret);
    if (session?.uid !== uid || session.closeReason !== undefined)
      throw new TlshubError('ERR_TLSHUB_HANDLE_UNKNOWN');
    if (session.state === 'leased') throw new TlshubError('ERR_TLSHUB_SESSION_BUSY');
    return session;
  }

  /** The session that a handle names, whatever its state; no permission follows from it. */
  peek(handle: string): Session | undefined {
    return this.#sessions.get(HANDLE_PATTERN.exec(handle)?.[2] ?? '');
  }

  /** A call for random bytes costs more than the bytes: many secrets are drawn at once. */
  #drawSecret(): string {
    if (this.#random.length === 0) this.#random = randomBytes(SECRET_BYTES * SECRETS_AT_ONCE);
    const secret = this.#random.toString('hex', 0, SECRET_BYTES);
    // A secret that was given away is not kept here.
    this.#random.fill(0, 0, SECRET_BYTES);
    this.#random = this.#random.subarray(SECRET_BYTES);
    return secret;
  }
}
