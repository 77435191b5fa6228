// Reads from the first bytes of a connection what its client asks for: the server name (RFC 6066 §3) and the protocols
// (RFC 7301 §3.1) of the TLS ClientHello (RFC 8446 §4.1.2), before node:tls gets them. Needed because node:tls wants the
// answer of an ALPNCallback at once, and it comes from another process. Pure: bytes in, answer out; never throws, holds
// at most twice the limit. Judges nothing: what it cannot read is left to node:tls, which sends the right alert.

/** What a client asks for; texts are decoded as node:tls decodes them for its callbacks. */
export interface ClientHello {
  readonly serverName: string | undefined;
  /** In the client's order of preference; empty when it offers none. */
  readonly protocols: readonly string[];
}

/** `more`: the message is not complete; `none`: these bytes are no ClientHello that can be read. */
export type HelloAnswer = ClientHello | 'more' | 'none';

/** Most bytes that are read before the reader gives up, record headers included. */
export const MAX_CLIENT_HELLO_BYTES = 64 * 1024;

/** Record layer, RFC 8446 §5.1: type, version, length; a fragment is neither empty nor longer than 2^14. */
const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_RECORD = 22;
const MAJOR_VERSION = 3;
const MAX_FRAGMENT_BYTES = 2 ** 14;

/** Handshake message, RFC 8446 §4: type, length of 24 bits. */
const MESSAGE_HEADER_BYTES = 4;
const CLIENT_HELLO = 1;

const RANDOM_BYTES = 32;
const MAX_SESSION_ID_BYTES = 32;
const SERVER_NAME_EXTENSION = 0;
const ALPN_EXTENSION = 16;
const HOST_NAME = 0;
/** Longest name of a host (RFC 1035 §2.3.4). */
const MAX_HOST_NAME_BYTES = 255;

const FIRST_CAPACITY_BYTES = 1024;

/** Reads one ClientHello, in chunks of any size. */
export class ClientHelloReader {
  readonly #header = Buffer.alloc(RECORD_HEADER_BYTES);
  /** Bytes of the record's header that have come. */
  #headerLength = 0;
  /** Bytes of the record's fragment that have not. */
  #fragmentLeft = 0;
  /** The handshake message, without record headers; grows with what has come, not with what was announced. */
  #message = Buffer.alloc(FIRST_CAPACITY_BYTES);
  #messageLength = 0;
  #seen = 0;
  #answer: HelloAnswer = 'more';

  /**
   * Takes the next bytes of the connection; they are not kept. After another answer than `more` it stays the same.
   * @param chunk bytes in order, from the first one of the connection on
   */
  push(chunk: Uint8Array): HelloAnswer {
    let rest = chunk;
    while (this.#answer === 'more' && rest.length > 0) {
      const taken = this.#fragmentLeft > 0 ? this.#takeFragment(rest) : this.#takeHeader(rest);
      this.#seen += taken;
      rest = rest.subarray(taken);
      if (this.#answer === 'more' && this.#seen >= MAX_CLIENT_HELLO_BYTES) this.#answer = 'none';
    }
    return this.#answer;
  }

  #takeHeader(bytes: Uint8Array): number {
    const taken = bytes.subarray(0, RECORD_HEADER_BYTES - this.#headerLength);
    this.#header.set(taken, this.#headerLength);
    this.#headerLength += taken.length;
    const [type, major] = this.#header;
    // The first bytes tell already whether this is TLS at all.
    if (type !== HANDSHAKE_RECORD || (this.#headerLength > 1 && major !== MAJOR_VERSION))
      this.#answer = 'none';
    if (this.#headerLength === RECORD_HEADER_BYTES) {
      const length = this.#header.readUInt16BE(3);
      if (length === 0 || length > MAX_FRAGMENT_BYTES) this.#answer = 'none';
      this.#fragmentLeft = length;
      this.#headerLength = 0;
    }
    return taken.length;
  }

  #takeFragment(bytes: Uint8Array): number {
    const taken = bytes.subarray(0, this.#fragmentLeft);
    this.#fragmentLeft -= taken.length;
    this.#append(taken);
    this.#answer = this.#readMessage();
    return taken.length;
  }

  #append(bytes: Uint8Array): void {
    const length = this.#messageLength + bytes.length;
    if (length > this.#message.length) {
      const larger = Buffer.alloc(Math.max(length, 2 * this.#message.length));
      larger.set(this.#message.subarray(0, this.#messageLength));
      this.#message = larger;
    }
    this.#message.set(bytes, this.#messageLength);
    this.#messageLength = length;
  }

  #readMessage(): HelloAnswer {
    if (this.#message[0] !== CLIENT_HELLO) return 'none';
    if (this.#messageLength < MESSAGE_HEADER_BYTES) return 'more';
    const end = MESSAGE_HEADER_BYTES + this.#message.readUIntBE(1, 3);
    if (end > MAX_CLIENT_HELLO_BYTES) return 'none';
    if (this.#messageLength < end) return 'more';
    return readClientHello(this.#message.subarray(MESSAGE_HEADER_BYTES, end)) ?? 'none';
  }
}

/** The body of the message, or `undefined` when it has not the form of RFC 8446 §4.1.2. */
function readClientHello(body: Buffer): ClientHello | undefined {
  const fields = new Cursor(body);
  fields.take(2 + RANDOM_BYTES);
  const sessionId = fields.vector(1);
  const cipherSuites = fields.vector(2);
  const compressions = fields.vector(1);
  if (sessionId.length > MAX_SESSION_ID_BYTES || cipherSuites.length < 2 || compressions.length < 1) {
    return undefined;
  }
  // Before TLS 1.3 a client may send no extensions at all.
  if (fields.isAtEnd) return { serverName: undefined, protocols: [] };
  const extensions = readExtensions(fields.vector(2));
  if (extensions === undefined || !fields.isAtEnd) return undefined;
  const name = extensions.get(SERVER_NAME_EXTENSION);
  const alpn = extensions.get(ALPN_EXTENSION);
  const serverName = name && readServerName(name);
  const protocols = alpn ? readProtocols(alpn) : [];
  if (protocols === undefined || (name !== undefined && serverName === undefined)) return undefined;
  return { serverName, protocols };
}

/** Extensions by type; none may come twice. */
function readExtensions(bytes: Buffer): Map<number, Buffer> | undefined {
  const found = new Map<number, Buffer>();
  const list = new Cursor(bytes);
  while (list.hasMore) {
    const type = list.integer(2);
    if (found.has(type)) return undefined;
    found.set(type, list.vector(2));
  }
  return list.isAtEnd ? found : undefined;
}

/** The list may have one name of each type, and there is one type. */
function readServerName(extension: Buffer): string | undefined {
  const fields = new Cursor(extension);
  const list = new Cursor(fields.vector(2));
  const type = list.integer(1);
  const name = list.vector(2);
  if (!fields.isAtEnd || !list.isAtEnd || type !== HOST_NAME) return undefined;
  if (name.length === 0 || name.length > MAX_HOST_NAME_BYTES || name.includes(0)) return undefined;
  return name.toString('latin1');
}

function readProtocols(extension: Buffer): string[] | undefined {
  const fields = new Cursor(extension);
  const list = new Cursor(fields.vector(2));
  const protocols: string[] = [];
  while (list.hasMore) {
    const name = list.vector(1);
    if (name.length === 0) return undefined;
    protocols.push(name.toString('ascii'));
  }
  return fields.isAtEnd && protocols.length > 0 ? protocols : undefined;
}

/** Goes through bytes; what is not there reads as nothing, and is noted. */
class Cursor {
  readonly #bytes: Buffer;
  #offset = 0;
  #isShort = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** All was there, and nothing is left. */
  get isAtEnd(): boolean {
    return !this.#isShort && this.#offset === this.#bytes.length;
  }

  get hasMore(): boolean {
    return !this.#isShort && this.#offset < this.#bytes.length;
  }

  take(length: number): Buffer {
    const end = this.#offset + length;
    if (end > this.#bytes.length) this.#isShort = true;
    if (this.#isShort) return Buffer.alloc(0);
    const taken = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }

  /** 0 when it is not there. */
  integer(width: 1 | 2): number {
    const bytes = this.take(width);
    return bytes.length === width ? bytes.readUIntBE(0, width) : 0;
  }

  /** Bytes behind their length. */
  vector(width: 1 | 2): Buffer {
    return this.take(this.integer(width));
  }
}
