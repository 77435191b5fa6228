// Keys of the session tickets of one server group (RFC 5077, RFC 8446 §4.6.1). ALWAYS: new tickets are made with the
// newest key; tickets of the keys kept behind it are accepted, and renewed. NEVER: a key leaves the ring, or two groups
// have one ring, because a ticket carries what its client was found to be. The keys are lost with the daemon only:
// contexts come and go (new certificates), the ring stays. Node 20 to 26 ask for keys by a callback of the context that
// is not documented; where it is missing, there is one key, and each rotation ends all tickets.
import { randomBytes } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { TlshubError } from '../../errors.ts';

const ROTATE_EVERY_MS = 12 * 60 * 60 * 1000;
const KEEP = 2;

/** Length of ticketKeys, as tls.createServer takes them: name, HMAC key and AES key, 16 bytes each. */
const TICKET_KEYS_BYTES = 48;
const PART_BYTES = 16;

/** What OpenSSL is told of a ticket (SSL_CTX_set_tlsext_ticket_key_cb(3)). */
const REFUSED = 0;
const GOOD = 1;
const GOOD_BUT_RENEW = 2;

/** `[verdict, hmacKey, aesKey]`, and for a new ticket `name, iv` behind them. */
type Answer = [verdict: number, hmac: Buffer, aes: Buffer, name?: Buffer, iv?: Buffer];

/** OpenSSL's part of a SecureContext. */
interface NativeContext {
  enableTicketKeyCallback?(): void;
  onticketkeycallback?: (name: Buffer, iv: Buffer, isNew: boolean) => Answer;
  setTicketKeys(keys: Buffer): void;
}

const IVS_AT_ONCE = 256;
let ivs = Buffer.alloc(0);

/** Random bytes that nobody had before; a call for them costs more than the bytes. */
function drawIv(): Buffer {
  if (ivs.length === 0) ivs = randomBytes(PART_BYTES * IVS_AT_ONCE);
  const iv = ivs.subarray(0, PART_BYTES);
  ivs = ivs.subarray(PART_BYTES);
  return iv;
}

/** One key; it ends as zeros. */
class TicketKey {
  readonly #bytes: Buffer;
  readonly #name: Buffer;
  readonly #hmac: Buffer;
  readonly #aes: Buffer;

  /** @param bytes 48 of them, which belong to the key from now on */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#name = bytes.subarray(0, PART_BYTES);
    this.#hmac = bytes.subarray(PART_BYTES, 2 * PART_BYTES);
    this.#aes = bytes.subarray(2 * PART_BYTES);
  }

  isNamed(name: Buffer): boolean {
    return this.#name.equals(name);
  }

  encrypt(): Answer {
    return [GOOD, this.#hmac, this.#aes, this.#name, drawIv()];
  }

  decrypt(verdict: number): Answer {
    return [verdict, this.#hmac, this.#aes];
  }

  giveTo(context: NativeContext): void {
    context.setTicketKeys(this.#bytes);
  }

  destroy(): void {
    this.#bytes.fill(0);
  }
}

/** The keys of one group. */
export class TicketKeyRing {
  readonly #keep: number;
  readonly #timer: NodeJS.Timeout;
  #newest = randomKey();
  /** The keys before it, the youngest first. */
  #older: TicketKey[] = [];
  #isFixed = false;
  #refusesAll = false;
  /** Contexts that cannot ask. */
  readonly #mute = new Set<WeakRef<NativeContext>>();

  /**
   * @param options `rotateEveryMs`, milliseconds until there is a new key, default 12 hours; `keep`, keys behind the
   *   newest whose tickets are still accepted, default 2
   */
  constructor(options: { rotateEveryMs?: number; keep?: number } = {}) {
    this.#keep = options.keep ?? KEEP;
    this.#timer = setInterval(() => this.rotate(), options.rotateEveryMs ?? ROTATE_EVERY_MS);
    this.#timer.unref();
  }

  /**
   * Makes a context use the keys of the ring, now and in future. Of a server only its own context needs it: Node takes
   * certificates, and nothing else, of those for other names (SNI).
   * @returns false where Node cannot ask for keys, so that each rotation ends all tickets
   */
  apply({ context }: SecureContext): boolean {
    const native = context as NativeContext;
    if (typeof native.enableTicketKeyCallback !== 'function') {
      this.#mute.add(new WeakRef(native));
      this.#newest.giveTo(native);
      return false;
    }
    native.onticketkeycallback = (name, _iv, isNew) => this.#answer(name, isNew);
    native.enableTicketKeyCallback();
    return true;
  }

  /** Takes a new key, and drops the oldest when there are too many. Without effect after {@link useFixed}. */
  rotate(): void {
    if (this.#isFixed) return;
    this.#older.unshift(this.#newest);
    this.#newest = randomKey();
    for (const dropped of this.#older.splice(this.#keep)) dropped.destroy();
    this.#tellMute();
  }

  /**
   * Uses keys that the application gave, instead of all others and for good (`ticketKeys`, `server.setTicketKeys`).
   * Throws ERR_TLSHUB_INVALID_CALL when they are not 48 bytes.
   * @param keys as tls.createServer takes them; they are copied
   */
  useFixed(keys: Uint8Array): void {
    if (keys.byteLength !== TICKET_KEYS_BYTES) {
      throw new TlshubError('ERR_TLSHUB_INVALID_CALL', `ticket keys must be ${TICKET_KEYS_BYTES} bytes`);
    }
    for (const dropped of [this.#newest, ...this.#older.splice(0)]) dropped.destroy();
    this.#newest = new TicketKey(Buffer.from(keys));
    this.#isFixed = true;
    this.#tellMute();
  }

  /**
   * From now on no ticket is accepted. For a server that asks for certificates and has others for some names: OpenSSL
   * would take the ticket of a client that was verified for one name under another name, whose CA list may differ.
   */
  refuseAll(): void {
    this.#refusesAll = true;
  }

  /** Ends the rotation; contexts may go on with the keys as they are. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #answer(name: Buffer, isNew: boolean): Answer {
    if (isNew) return this.#newest.encrypt();
    if (this.#refusesAll) return this.#newest.decrypt(REFUSED);
    if (this.#newest.isNamed(name)) return this.#newest.decrypt(GOOD);
    const older = this.#older.find((key) => key.isNamed(name));
    // Node wants keys with a refusal too; OpenSSL does not use them.
    return older?.decrypt(GOOD_BUT_RENEW) ?? this.#newest.decrypt(REFUSED);
  }

  #tellMute(): void {
    for (const reference of this.#mute) {
      const native = reference.deref();
      if (native === undefined) this.#mute.delete(reference);
      else this.#newest.giveTo(native);
    }
  }
}

/** Not of the pool that other buffers come from. */
function randomKey(): TicketKey {
  const bytes = Buffer.alloc(TICKET_KEYS_BYTES);
  bytes.set(randomBytes(TICKET_KEYS_BYTES));
  return new TicketKey(bytes);
}
