// The client of bench:accept and bench:serve: TLS 1.3 connections that send a request and wait for an answer of known
// length. It parses nothing and checks no certificate after the first, so that the servers are what is busy.
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { type ConnectionOptions, connect, createSecureContext, type TLSSocket } from 'node:tls';

/** The one cipher and the one group that are offered, so that every server does the same work. */
const CIPHER = 'TLS_AES_128_GCM_SHA256';
const GROUP = 'X25519';

/** What is loaded. */
export interface Target {
  readonly port: number;
  /** Certificate of the server's authority. */
  readonly ca: string;
  readonly serves: 'echo' | 'http';
}

const REQUESTS = {
  echo: Buffer.from('x'),
  http: Buffer.from('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n'),
} as const;

/** A client of one server. */
export class Load {
  readonly #options: ConnectionOptions;
  readonly #request: Buffer;
  readonly #responseBytes: number;
  readonly #session: Buffer | undefined;

  private constructor(options: ConnectionOptions, request: Buffer, responseBytes: number, session?: Buffer) {
    this.#options = options;
    this.#request = request;
    this.#responseBytes = responseBytes;
    this.#session = session;
  }

  /**
   * Makes a client, and with it one connection that is checked and shows how long an answer is.
   * @param resume whether all later connections resume the session of this one
   */
  static async prepare({ port, ca, serves }: Target, resume: boolean): Promise<Load> {
    const secureContext = createSecureContext({
      ca,
      ciphers: CIPHER,
      ecdhCurve: GROUP,
      minVersion: 'TLSv1.3',
    });
    const options = { host: '127.0.0.1', port, servername: 'localhost', secureContext };
    const request = REQUESTS[serves];
    const socket = connect(options);
    const ticket = once(socket, 'session');
    await once(socket, 'secureConnect');
    const { name: cipher } = socket.getCipher();
    const { name: group } = socket.getEphemeralKeyInfo() as { name?: string };
    if (cipher !== CIPHER || group !== GROUP) throw new Error(`${cipher} with ${group} was agreed`);
    socket.write(request);
    const responseBytes = serves === 'echo' ? request.length : await httpAnswerBytes(socket);
    const session = resume ? ((await ticket)[0] as Buffer) : undefined;
    socket.destroy();
    return new Load({ ...options, rejectUnauthorized: false }, request, responseBytes, session);
  }

  /** Opens connections, so many at a time, with one request each, and closes them. */
  async openMany(connections: number, inFlight: number): Promise<void> {
    await together(connections, inFlight, () => this.#openOnce());
  }

  /** Opens a connection that stays, for {@link request}. */
  async open(): Promise<TLSSocket> {
    const socket = connect({ ...this.#options, session: this.#session });
    await once(socket, 'secureConnect');
    return socket;
  }

  /** Makes requests over all the sockets, one at a time over each. */
  async requestMany(sockets: readonly TLSSocket[], requests: number): Promise<void> {
    let left = requests;
    await Promise.all(
      sockets.map(async (socket) => {
        while (left-- > 0) await this.#exchange(socket);
      }),
    );
  }

  async #openOnce(): Promise<void> {
    const socket = connect({ ...this.#options, session: this.#session });
    await this.#exchange(socket);
    if (socket.isSessionReused() !== (this.#session !== undefined)) {
      throw new Error(this.#session === undefined ? 'a session was resumed' : 'a session was not resumed');
    }
    socket.end();
    await once(socket, 'close');
  }

  /** One request; before the handshake is over it waits for that. */
  #exchange(socket: TLSSocket): Promise<void> {
    return new Promise((resolve, reject) => {
      let missing = this.#responseBytes;
      const socketOnData = (chunk: Buffer) => {
        missing -= chunk.length;
        if (missing > 0) return;
        leave();
        if (missing === 0) resolve();
        else reject(new Error(`an answer has ${-missing} bytes too many`));
      };
      const socketOnClose = () => {
        leave();
        reject(new Error(`a connection ended ${missing} bytes early`));
      };
      const socketOnError = (error: Error) => {
        leave();
        reject(error);
      };
      const leave = () => {
        socket.off('data', socketOnData);
        socket.off('close', socketOnClose);
        socket.off('error', socketOnError);
      };
      socket.on('data', socketOnData);
      socket.on('close', socketOnClose);
      socket.on('error', socketOnError);
      socket.write(this.#request);
    });
  }
}

/** Reads one HTTP answer with a content-length; answers how long it was, head and body. */
export async function httpAnswerBytes(socket: Readable): Promise<number> {
  let text = '';
  for (;;) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    text += chunk.toString('latin1');
    const headEnd = text.indexOf('\r\n\r\n');
    if (headEnd === -1) continue;
    const [, length] = /^content-length: (\d+)\r$/im.exec(text) ?? [];
    if (!text.startsWith('HTTP/1.1 200 ') || length === undefined) throw new Error(`answered: ${text}`);
    const bytes = headEnd + 4 + Number(length);
    if (text.length >= bytes) return bytes;
  }
}

/** Does something so many times, some of them at a time. */
export async function together(count: number, atOnce: number, work: () => Promise<void>): Promise<void> {
  let left = count;
  const worker = async () => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
