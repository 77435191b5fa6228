// The callbacks of a TLS server that ask the application: SNICallback, ALPNCallback and the event OCSPRequest, as
// node:tls calls them, on top of questions.ts. node:tls wants the answer of ALPNCallback at once, so the client's hello
// is read, and the question asked, before the handshake begins.
import type { Socket } from 'node:net';
import type { SecureContext, Server, TlsOptions } from 'node:tls';
import type { ServerKey } from '../../protocol/server-key.ts';
import type { ContextKey } from '../../protocol/session-key.ts';
import { decodeError } from '../../protocol/wire-error.ts';
import { type ClientHello, ClientHelloReader } from './client-hello.ts';
import type { Answer, Question } from './questions.ts';

type SniCallback = (error: Error | null, context?: SecureContext) => void;
type OcspCallback = (error: Error | null, response: Buffer | null) => void;

interface HandshakeQuestionsOptions {
  key: ServerKey;
  ask(question: Question, timeoutMs: number): Promise<Answer>;
  /** The certificate for a name without a question. */
  find(servername: string): SecureContext | undefined;
  /** Makes a context of what the application answered; throws what node:tls throws. */
  makeContext(context: ContextKey): SecureContext;
}

/** Asks for one server. */
export class HandshakeQuestions {
  readonly #options: HandshakeQuestionsOptions;
  /** Answers to ALPN questions for the handshakes that are about to ask: by what the client said. */
  readonly #protocols = new Map<string, string | undefined>();

  constructor(options: HandshakeQuestionsOptions) {
    this.#options = options;
  }

  /** The callbacks for tls.createServer. */
  callbacks(): TlsOptions {
    const { asks } = this.#options.key;
    return {
      SNICallback: (servername, callback) => this.#sni(servername, callback as SniCallback),
      ...(asks.alpn && {
        ALPNCallback: ({ servername, protocols }) =>
          this.#protocols.get(helloText({ serverName: servername || undefined, protocols })),
      }),
    };
  }

  /** Adds the listeners that ask. */
  listen(server: Server): void {
    if (!this.#options.key.asks.ocsp) return;
    server.on('OCSPRequest', (certificate: Buffer, issuer: Buffer | null, callback: OcspCallback) => {
      const question: Question = {
        kind: 'ocsp',
        certificate: certificate.toString('base64'),
        issuer: issuer === null ? null : issuer.toString('base64'),
      };
      this.#ask(question).then(
        ({ response }) => callback(null, response === undefined ? null : Buffer.from(response, 'base64')),
        (error: Error) => callback(error, null),
      );
    });
  }

  /**
   * Asks what must be known before the handshake, then begins it.
   * @param socket accepted, nothing read
   * @param fail told when there is to be no handshake, with the error that node:tls would have
   */
  before(socket: Socket, begin: () => void, fail: (error: Error) => void): void {
    if (!this.#options.key.asks.alpn) {
      begin();
      return;
    }
    const reader = new ClientHelloReader();
    const chunks: Buffer[] = [];
    const socketOnData = (chunk: Buffer) => {
      chunks.push(chunk);
      const hello = reader.push(chunk);
      if (hello === 'more') return;
      socket.off('data', socketOnData);
      clearTimeout(timer);
      socket.pause();
      const answered = hello === 'none' || hello.protocols.length === 0 ? undefined : this.#alpn(hello);
      Promise.resolve(answered).then(() => {
        if (socket.destroyed) return;
        socket.unshift(Buffer.concat(chunks));
        begin();
      }, fail);
    };
    const timer = setTimeout(() => fail(handshakeTimeout()), this.#options.key.handshakeTimeout);
    socket.once('close', () => clearTimeout(timer));
    socket.on('data', socketOnData);
  }

  async #alpn(hello: ClientHello): Promise<void> {
    const { serverName, protocols } = hello;
    const question: Question = { kind: 'alpn', servername: serverName ?? '', protocols: [...protocols] };
    const { protocol } = await this.#ask(question);
    // node:tls throws for a protocol that was not offered, where nobody could catch it. A later answer to the same words
    // replaces this one: the application has been asked the very same.
    const isOffered = protocol !== undefined && protocols.includes(protocol);
    this.#protocols.set(helloText(hello), isOffered ? protocol : undefined);
    const [oldest] = this.#protocols.keys();
    if (this.#protocols.size > MAX_REMEMBERED && oldest !== undefined) this.#protocols.delete(oldest);
  }

  #sni(servername: string, callback: SniCallback): void {
    const { key, find, makeContext } = this.#options;
    if (!key.asks.sni) {
      callback(null, find(servername));
      return;
    }
    this.#ask({ kind: 'sni', servername })
      .then(({ context }) => (context === undefined ? undefined : makeContext(context)))
      .then(
        (context) => callback(null, context),
        (error: Error) => callback(error),
      );
  }

  async #ask(question: Question): Promise<Answer> {
    const answer = await this.#options.ask(question, this.#options.key.handshakeTimeout);
    if (answer.error !== undefined) throw decodeError(answer.error);
    return answer;
  }
}

/** The error of node:tls for a client that takes too long. */
function handshakeTimeout(): Error {
  return Object.assign(new Error('TLS handshake timeout'), { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' });
}

/** Answers kept for handshakes that are under way. */
const MAX_REMEMBERED = 1_024;

function helloText({ serverName, protocols }: ClientHello): string {
  return JSON.stringify([serverName ?? '', protocols]);
}
