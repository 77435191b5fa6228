// An HTTPS origin that says exactly the bytes that a test wants, for responses that no HTTP library would send. It
// parses requests only as far as their length, and knows each connection by its number.
import { createServer, type TLSSocket } from 'node:tls';
import { listen } from './listen.ts';
import type { Scope } from './scope.ts';

/** A request that has come to the end of its headers, or of its body where that has a length. */
export interface OriginRequest {
  /** Request line and headers. */
  head: string;
  /** Path of the request line. */
  path: string;
  /** Number of the connection, from 1. */
  connection: number;
  /** Number of the request on its connection, from 1. */
  request: number;
  socket: TLSSocket;
}

/** A running origin. */
export interface HttpOrigin {
  readonly port: number;
  /** TLS connections so far. */
  readonly connections: number;
  readonly requests: readonly OriginRequest[];
}

/** A response with a body and its length. */
export function ok(body: string | number, headers: readonly string[] = []): string {
  const text = String(body);
  return ['HTTP/1.1 200 OK', `Content-Length: ${text.length}`, ...headers, '', text].join('\r\n');
}

/**
 * Starts an origin, closed after the test.
 * @param answer called for each request; default: answers with the number of the connection
 */
export async function httpOrigin(
  scope: Scope,
  certificate: { cert: string; key: string },
  answer: (request: OriginRequest) => void = ({ socket, connection }) => socket.write(ok(connection)),
): Promise<HttpOrigin> {
  let connections = 0;
  const requests: OriginRequest[] = [];
  const sockets = new Set<TLSSocket>();
  const server = createServer(certificate, (socket) => {
    connections += 1;
    const connection = connections;
    let count = 0;
    let received = '';
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text;
      for (let end = endOfRequest(received); end !== undefined; end = endOfRequest(received)) {
        const head = received.slice(0, received.indexOf('\r\n\r\n'));
        received = received.slice(end);
        count += 1;
        const request = { head, path: head.split(' ')[1] ?? '', connection, request: count, socket };
        requests.push(request);
        answer(request);
      }
    });
  });
  const port = await listen(server);
  scope.after(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  return {
    port,
    requests,
    get connections() {
      return connections;
    },
  };
}

/** Where the first request in the text ends, or `undefined` when it is not all there. `/early` is answered by its head. */
function endOfRequest(received: string): number | undefined {
  const headEnd = received.indexOf('\r\n\r\n');
  if (headEnd === -1) return undefined;
  const head = received.slice(0, headEnd);
  if (head.includes(' /early')) return headEnd + 4;
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
    const last = received.indexOf('\r\n0\r\n\r\n', headEnd + 2);
    return last === -1 ? undefined : last + 7;
  }
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  return received.length >= headEnd + 4 + length ? headEnd + 4 + length : undefined;
}
