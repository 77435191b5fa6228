// A TLS server, in this process or in the daemon, and what its application and its clients see, in words that can be compared.
import { once } from 'node:events';
import { type AddressInfo, connect as connectPlain, type Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { Scope } from '#helpers/scope.js';
import { within } from '#helpers/wait-for.js';
import tls, { type ServerSharedOptions, type ShareableServerOptions, type TlshubServer } from '#src/index.js';
import type { Mode } from '../sharing/both-ways.ts';

/** What a client saw of its connection. */
export interface ClientView {
  /** Common name of the server's certificate. */
  certificate?: string | undefined;
  alpn?: string | false | null;
  protocol?: string | null;
  cipher?: string | undefined;
  resumed?: boolean;
  /** What the server answered. */
  answer?: string;
  /** The OCSP response, as text; `null` for none. */
  ocsp?: string | null;
  /** Code of the error. */
  error?: string | undefined;
}

/** What the application saw of a session. */
export interface SessionView {
  servername: string | false | null | undefined;
  alpn: string | false | null;
  protocol: string | null;
  authorized: boolean;
  authorizationError: unknown;
  /** Common name of the client's certificate. */
  certificate: string | undefined;
}

/** A server that answers each chunk with itself, and takes notes. */
export interface ObservedServer {
  readonly server: TlshubServer;
  readonly port: number;
  readonly sessions: SessionView[];
  /** Codes of `tlsClientError`. */
  readonly failures: (string | undefined)[];
  close(): Promise<void>;
}

interface WithCommonName {
  subject?: { CN?: string };
}

/**
 * Starts a server that listens on a port of its own.
 * @param mode where
 * @param prepare called before it listens
 */
export async function observedServer(
  scope: Scope,
  mode: Mode,
  options: ShareableServerOptions,
  prepare: (server: TlshubServer) => void = () => {},
  shared: ServerSharedOptions = {},
): Promise<ObservedServer> {
  const sessions: SessionView[] = [];
  const failures: (string | undefined)[] = [];
  const server = tls.createServer({
    ...options,
    shared: mode === 'shared' ? { ...shared, fallback: false } : false,
  });
  server.on('secureConnection', (socket) => {
    sessions.push({
      servername: (socket as { servername?: string | false | null }).servername,
      alpn: socket.alpnProtocol,
      protocol: socket.getProtocol(),
      authorized: socket.authorized,
      authorizationError: socket.authorizationError ?? null,
      certificate: (socket.getPeerCertificate() as WithCommonName | undefined)?.subject?.CN,
    });
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    failures.push(error.code);
    socket.destroy();
  });
  prepare(server);
  server.listen(0, '127.0.0.1');
  await within(once(server, 'listening'), { what: 'listening' });
  const close = async () => {
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  };
  scope.after(() => void server.close());
  return { server, port: (server.address() as AddressInfo).port, sessions, failures, close };
}

/** Connects with TLS, sends a word, and answers what came of it. */
export async function visit(port: number, options: ConnectionOptions): Promise<ClientView> {
  const socket = connect({ port, host: '127.0.0.1', ...options });
  return within(viewOf(socket), { what: 'the end of a visit' });
}

function viewOf(socket: TLSSocket): Promise<ClientView> {
  return new Promise((resolve) => {
    const view: ClientView = {};
    socket.on('OCSPResponse', (response: Buffer | null) => {
      view.ocsp = response === null ? null : response.toString();
    });
    socket.once('secureConnect', () => {
      const { CN } = (socket.getPeerCertificate() as WithCommonName).subject ?? {};
      Object.assign(view, {
        certificate: CN,
        alpn: socket.alpnProtocol,
        protocol: socket.getProtocol(),
        cipher: socket.getCipher()?.name,
        resumed: socket.isSessionReused(),
      });
      socket.write('word');
    });
    socket.once('data', (chunk: Buffer) => {
      view.answer = chunk.toString();
      socket.end();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      view.error ??= error.code;
    });
    socket.once('close', () => resolve(view));
  });
}

/** Sends bytes that are no TLS, or not all of it, and waits for the end. */
export async function visitPlainly(port: number, bytes: Buffer | string, leaves = false): Promise<void> {
  const socket = connectPlain(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.resume();
  if (leaves) socket.end(bytes);
  else socket.write(bytes);
  await within(new Promise((resolve) => socket.once('close', resolve)), { what: 'the end of a plain visit' });
}
