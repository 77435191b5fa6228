// What an HTTP/2 session of a client sees of a shared socket. Does not load node:http2: programs that run under
// `tlshub/register` would all pay for it. Called by http2-connect.ts and register.ts.
import { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { SharedSocket } from './shared-socket.ts';

const TLS_MEMBERS = [
  // A new HTTP/2 session calls disableRenegotiation() at once; there is no TLS session to call it on yet.
  ...Object.getOwnPropertyNames(TLSSocket.prototype).filter((name) => name !== 'disableRenegotiation'),
  ...['encrypted', 'alpnProtocol', 'authorized', 'authorizationError', 'servername', 'sharing'],
];

let isShown = false;

/**
 * Lets an HTTP/2 session find on a shared socket what it asks a TLS socket for. It wraps one that has no handle yet
 * (`JSStreamSocket` in lib/internal/http2/core.js), and would take the wrapping for a connection without TLS. To be
 * called before the session is made.
 */
export function showTlsToHttp2(): void {
  if (isShown) return;
  isShown = true;
  // The class is not exported; node:tls wraps a stream of the application in the same one.
  const carrier = new TLSSocket(new Duplex({ read() {}, write() {} }) as never);
  const { _handle: handle } = carrier as unknown as { _handle?: { readonly _parentWrap?: object } };
  const prototype = handle?._parentWrap && (Object.getPrototypeOf(handle._parentWrap) as object);
  carrier.destroy();
  if (prototype === undefined) return;
  for (const name of TLS_MEMBERS.filter((member) => !(member in prototype))) {
    const get = function (this: { readonly stream?: unknown }) {
      const { stream } = this;
      if (!(stream instanceof SharedSocket)) return undefined;
      // A session looks for its protocol before it is agreed on, and speaks no other.
      const value = (Reflect.get(stream, name) ?? (name === 'alpnProtocol' ? 'h2' : undefined)) as unknown;
      return typeof value === 'function' ? value.bind(stream) : value;
    };
    Object.defineProperty(prototype, name, { configurable: true, get });
  }
}
