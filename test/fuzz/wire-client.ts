// A client of the daemon that speaks the wire itself, line by line and byte by byte, well or badly as a test wants. It
// shares no code with the wrapper's connections; only tests use it.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { Scope } from '#helpers/scope.js';
import { within } from '#helpers/wait-for.js';
import { PROTOCOL_VERSION } from '#src/protocol/limits.js';
import type { ListenAddress, ServerKey } from '#src/protocol/server-key.js';
import type { ContextKey, SessionKey } from '#src/protocol/session-key.js';

/** A line of the daemon as it was parsed. */
export type Message = Record<string, unknown>;

/** One connection to the daemon's socket. */
export class WireClient {
  readonly socket: Socket;
  /** The daemon has ended its side. */
  ended = false;
  closed = false;
  error: NodeJS.ErrnoException | undefined;
  #received: Buffer = Buffer.alloc(0);
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#wake();
    });
    socket.on('error', (error) => {
      this.error = error;
    });
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  /** Connects; the connection is dropped after the test. */
  static async open(scope: Scope, directory: string): Promise<WireClient> {
    const socket = connect({ path: join(directory, 'tlshub.sock'), allowHalfOpen: true });
    scope.after(() => void socket.destroy());
    await within(once(socket, 'connect'), { what: 'a connection to the daemon' });
    return new WireClient(socket);
  }

  /** Connects to a port of the daemon, as a client of its server; dropped after the test. */
  static async openTls(scope: Scope, port: number): Promise<WireClient> {
    const options = { host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false };
    const socket = connectTls({ ...options, allowHalfOpen: true } as typeof options);
    scope.after(() => void socket.destroy());
    await within(once(socket, 'secureConnect'), { what: 'a connection to the server' });
    return new WireClient(socket);
  }

  /** Bytes that have come and were not taken. */
  get pending(): Buffer {
    return this.#received;
  }

  /** Sends a message as a line. */
  send(message: object): void {
    this.socket.write(`${JSON.stringify(message)}\n`);
  }

  /** Sends bytes as they are. */
  sendRaw(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** The next line, or `undefined` when the daemon has ended its side without one. */
  async line(): Promise<Message | undefined> {
    await this.#until(() => this.#received.includes(0x0a), 'a line');
    const end = this.#received.indexOf(0x0a);
    if (end === -1) return undefined;
    return JSON.parse(this.#take(end + 1).toString()) as Message;
  }

  /** The next line but those that tell of the opening of a session; fails when there is none. */
  async message(): Promise<Message> {
    const message = await this.line();
    if (message === undefined) throw new Error(`the daemon closed without a line (${this.error?.code})`);
    return message.event === 'open' ? this.message() : message;
  }

  /** The next line that carries the property; those before it are dropped. */
  async messageWith(property: string, value: unknown): Promise<Message> {
    for (;;) {
      const message = await this.message();
      if (message[property] === value) return message;
    }
  }

  /** Takes so many bytes, when they have come. */
  async bytes(count: number): Promise<Buffer> {
    await this.#until(() => this.#received.length >= count, `${count} bytes`);
    if (this.#received.length < count)
      throw new Error(`the daemon ended after ${this.#received.length} bytes`);
    return this.#take(count);
  }

  /** Waits until the daemon has ended its side or the connection is gone; answers what came before and was not taken. */
  async end(): Promise<Buffer> {
    await this.#until(() => false, 'the end of the connection');
    return this.#take(this.#received.length);
  }

  /** Waits for the condition, or the end. */
  async #until(condition: () => boolean, what: string): Promise<void> {
    while (!condition() && !this.ended && !this.closed) {
      const changed = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await within(changed, { what });
    }
  }

  #take(count: number): Buffer {
    const bytes = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return bytes;
  }
}

/** A process id as a wrapper draws it. */
export function newProcessId(): string {
  return randomBytes(16).toString('hex');
}

/** The hello of a link. */
export function hello(process: string, id = 1): Message {
  return { call: 'hello', id, protocol: PROTOCOL_VERSION, process, pid: process.length, version: '0.0.0' };
}

/** A link that has said hello, with the calls numbered for it. */
export class WireLink {
  readonly client: WireClient;
  readonly processId: string;
  #nextId = 2;

  private constructor(client: WireClient, processId: string) {
    this.client = client;
    this.processId = processId;
  }

  /** Connects and says hello. */
  static async open(scope: Scope, directory: string, processId = newProcessId()): Promise<WireLink> {
    const client = await WireClient.open(scope, directory);
    client.send(hello(processId));
    const reply = await client.message();
    if (reply.rc !== 1) throw new Error(`hello was refused: ${JSON.stringify(reply)}`);
    return new WireLink(client, processId);
  }

  /** Makes a call and answers its reply, whatever it is; events before it are dropped. */
  async call(name: string, fields: object = {}): Promise<Message> {
    const id = this.#nextId++;
    this.client.send({ call: name, id, ...fields });
    return this.client.messageWith('reply', id);
  }

  /** Tells an event. */
  tell(event: string, fields: object): void {
    this.client.send({ event, ...fields });
  }
}

/** Name of a CA list as it travels. */
export function sha256(blob: string): string {
  return createHash('sha256').update(blob).digest('hex');
}

/** Puts a CA list that fits one chunk. */
export async function putCa(link: WireLink, ca: string): Promise<void> {
  const data = Buffer.from(ca).toString('base64');
  const reply = await link.call('put', { sha256: sha256(ca), offset: 0, data, last: true });
  if (reply.rc !== 1) throw new Error(`put was refused: ${JSON.stringify(reply)}`);
}

/** A session key with nothing set but where to and whom to trust. */
export function sessionKey(port: number, ca: string, changes: Partial<SessionKey> = {}): SessionKey {
  return {
    host: '127.0.0.1',
    port,
    path: null,
    family: 0,
    hints: null,
    localAddress: null,
    localPort: null,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: 250,
    servername: 'localhost',
    ALPNProtocols: null,
    rejectUnauthorized: true,
    checkServerIdentity: false,
    requestOCSP: false,
    minDHSize: 1024,
    context: null,
    ...secureContext(ca),
    ...changes,
  };
}

/** A secure context with nothing set but whom to trust. */
export function secureContext(ca: string, changes: Partial<ContextKey> = {}): ContextKey {
  return {
    ca: sha256(ca),
    cert: null,
    key: null,
    pfx: null,
    passphrase: null,
    crl: null,
    dhparam: null,
    ciphers: null,
    sigalgs: null,
    ecdhCurve: null,
    minVersion: null,
    maxVersion: null,
    secureProtocol: null,
    secureOptions: null,
    honorCipherOrder: null,
    sessionIdContext: null,
    sessionTimeout: null,
    ticketKeys: null,
    allowPartialTrustChain: null,
    certificateCompression: null,
    ...changes,
  };
}

/** A certificate and its key as a secure context has them. */
export function identityOf({ cert, key }: { cert: string; key: string }): Pick<ContextKey, 'cert' | 'key'> {
  const base64 = (pem: string) => Buffer.from(pem).toString('base64');
  return { cert: [base64(cert)], key: [{ data: base64(key), passphrase: null }] };
}

/** What `listen` can be told, in part. */
export interface ListenChanges {
  listener?: number;
  address?: Partial<ListenAddress>;
  server?: Partial<ServerKey>;
  group?: object;
  contexts?: readonly object[];
  ticketKeys?: string;
  survive?: boolean | null;
  adopts?: boolean;
  socket?: object;
}

/** The fields of `listen`: a port of 127.0.0.1 that the system chooses, closed at once when its worker has gone. */
export function listenFields({ address, server, group, ...changes }: ListenChanges = {}): Message {
  return {
    listener: 1,
    address: {
      host: '127.0.0.1',
      port: 0,
      path: null,
      ipv6Only: false,
      exclusive: false,
      reusePort: false,
      readableAll: false,
      writableAll: false,
      backlog: null,
      ...address,
    },
    server: {
      context: null,
      ...secureContext(''),
      ALPNProtocols: null,
      requestCert: false,
      rejectUnauthorized: true,
      handshakeTimeout: 10_000,
      asks: { sni: false, alpn: false, ocsp: false },
      ...server,
    },
    contexts: [],
    group: { name: null, balance: 'fewest', linger: 0, backlog: 511, ...group },
    survive: null,
    adopts: false,
    socket: {},
    ...changes,
  };
}

/** The request line of a lane; without a link, of a plain client. */
export function leaseCall(key: SessionKey, link?: WireLink, lane = 1, wait = 0): Message {
  const holder = link === undefined ? {} : { process: link.processId, lane };
  return { call: 'lease', protocol: PROTOCOL_VERSION, ...holder, key, wait, socket: {} };
}

/** Opens a lane and answers it with its reply; fails when it is refused. */
export async function openLane(
  scope: Scope,
  directory: string,
  request: Message,
): Promise<{ lane: WireClient; reply: Message }> {
  const lane = await WireClient.open(scope, directory);
  lane.send(request);
  const reply = await lane.message();
  if (reply.rc !== 1) throw new Error(`the lane was refused: ${JSON.stringify(reply.error)}`);
  return { lane, reply };
}
