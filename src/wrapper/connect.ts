// tls.connect with the `shared` parameter: decides between node:tls in the process and a session of the daemon, and
// never weakens or hides the choice (`socket.sharing.reason`).
import type { Socket } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { TlshubError, type TlshubErrorCode } from '../errors.ts';
import { socketDirectory } from '../link/socket-path.ts';
import { normalizeConnectArguments } from './connect-arguments.ts';
import { refuseOwnContext } from './context-key.ts';
import { nodeConnect } from './node-connect.ts';
import type { OnRead } from './on-read.ts';
import { resolveRequest } from './resolve-request.ts';
import type { SessionVerbs } from './session-verbs.ts';
import { SharedSocket } from './shared-socket.ts';
import { type SharingInfo, undecided } from './sharing-info.ts';
import { resolveSharedOptions, type SharedOptions } from './sharing-options.ts';

/** Options of tls.connect with the first parameter of the mission: whether a shared session is wanted. */
export type ShareableConnectionOptions = ConnectionOptions & { shared?: boolean | SharedOptions };

/** What `connect` returns: a TLS socket that can be given up. */
export type TlshubSocket = TLSSocket & {
  sharing: SharingInfo;
  release(): Promise<void>;
  detach(): Promise<string>;
} & Pick<SessionVerbs, 'commit' | 'setState' | 'setName' | 'park' | 'handOff'> & { state: Buffer | null };

type Listener = () => void;

/** The overloads of tls.connect. */
export interface Connect {
  (options: ShareableConnectionOptions, secureConnectListener?: Listener): TlshubSocket;
  (path: string, options?: ShareableConnectionOptions, secureConnectListener?: Listener): TlshubSocket;
  (port: number, host?: string, options?: ShareableConnectionOptions, listener?: Listener): TlshubSocket;
  (port: number, options?: ShareableConnectionOptions, listener?: Listener): TlshubSocket;
}

/**
 * Opens a TLS session: `shared: true` (or an object of {@link SharedOptions}) in the daemon, else in the process.
 * Every overload, event and error is that of node:tls (Node docs, `tls.connect`). Throws as tls.connect does, and
 * ERR_TLSHUB_INVALID_OPTION for a wrong `shared`, ERR_TLSHUB_NOT_SHAREABLE when `fallback: false` (or a `context`)
 * meets an option that cannot cross.
 */
export const connect: Connect = (...args: unknown[]): TlshubSocket => {
  const { options, callback } = normalizeConnectArguments(args);
  const shared = resolveSharedOptions((options as ShareableConnectionOptions).shared);
  if (shared === undefined) return inProcess(args, null);
  if (shared.context !== null) refuseOwnContext(options);
  if (process.env.TLSHUB === 'off') {
    // Without the context's certificate and trust it would be another connection than the one that is wanted.
    if (shared.context !== null) refuse(args, options, 'TLSHUB=off, and only the daemon has its context');
    return inProcess(args, 'TLSHUB=off');
  }
  const request = resolveRequest(options, shared.context);
  if (!request.shared) {
    if (shared.fallback) return inProcess(args, request.reason);
    refuse(args, options, request.reason);
  }
  const { key, caBlob, local } = request;
  const socket = new SharedSocket({
    directory: socketDirectory(),
    target: {
      call: 'lease',
      key,
      caBlob,
      named: shared.named,
      waitMs: shared.waitMs,
      socket: request.socket,
    },
    stream: {
      allowHalfOpen: local.allowHalfOpen,
      highWaterMark: local.highWaterMark,
      signal: local.signal,
    } as object,
    onread: local.onread as OnRead | undefined,
    rejectUnauthorized: local.rejectUnauthorized,
    identity: local.checkServerIdentity && { hostname: local.identity, check: local.checkServerIdentity },
    fallBack: shared.fallback ? () => nodeConnect(withoutStreamOptions(options)) : undefined,
  });
  if (local.timeout !== undefined) socket.setTimeout(local.timeout);
  if (callback !== undefined) socket.once('secureConnect', callback);
  return socket as unknown as TlshubSocket;
};

/** Options that the outer socket applies; the inner one of a fallback must not apply them a second time. */
function withoutStreamOptions(options: ConnectionOptions): ConnectionOptions {
  const {
    shared: _shared,
    onread: _onread,
    signal: _signal,
    timeout: _timeout,
    ...rest
  } = options as Record<string, unknown>;
  return { ...rest, allowHalfOpen: true } as ConnectionOptions;
}

/** Throws what node:tls throws for these arguments, else ERR_TLSHUB_NOT_SHAREABLE; no connection comes of it. */
function refuse(args: unknown[], options: ConnectionOptions, reason: string): never {
  if (!options.socket) {
    const probe = nodeConnect(...(args as [ConnectionOptions]));
    probe.on('error', () => {});
    probe.destroy();
  }
  throw new TlshubError('ERR_TLSHUB_NOT_SHAREABLE', `the session cannot be shared: ${reason}`);
}

/** TLS in the process by Node's own tls.connect, with the arguments as they came. */
function inProcess(args: unknown[], reason: string | null): TlshubSocket {
  const socket = nodeConnect(...(args as [ConnectionOptions])) as unknown as TlshubSocket;
  // An application that asked for nothing gets exactly what node:tls gives.
  if (reason === null) return socket;
  const sharing: SharingInfo = { ...undecided(), reason };
  const refuseWith = (code: TlshubErrorCode) => async (): Promise<never> => {
    throw new TlshubError(code, `the session is not shared: ${reason}`);
  };
  return Object.assign(socket, {
    sharing,
    release: async () => {
      (socket as unknown as Socket).end();
    },
    detach: refuseWith('ERR_TLSHUB_NOT_DETACHABLE'),
    commit: refuseWith('ERR_TLSHUB_NOT_LEASED'),
    setState: refuseWith('ERR_TLSHUB_NOT_LEASED'),
    setName: refuseWith('ERR_TLSHUB_NOT_LEASED'),
    park: refuseWith('ERR_TLSHUB_NOT_DETACHABLE'),
    handOff: refuseWith('ERR_TLSHUB_NOT_DETACHABLE'),
    state: null,
  });
}
