// Public names of the package: all of node:tls, with `connect` and `createSecureContext` understanding shared
// sessions, and what tlshub adds.
import nodeTls from 'node:tls';
import { TlshubError } from './errors.ts';
import { Agent } from './wrapper/agent.ts';
import { attach } from './wrapper/attach.ts';
import { connect, type TlshubSocket } from './wrapper/connect.ts';
import { createSecureContext } from './wrapper/secure-context.ts';
import {
  createServer,
  type ShareableServerOptions,
  type TlshubServer,
} from './wrapper/server/create-server.ts';
import { sharingClass } from './wrapper/server/http-servers.ts';
import { sessions } from './wrapper/sessions.ts';

export type * from 'node:tls';
export * from 'node:tls';
export type { TlshubErrorCode } from './errors.ts';
export type { AgentOptions } from './wrapper/agent.ts';
export type { AttachOptions } from './wrapper/attach.ts';
export type { Connect, ShareableConnectionOptions, TlshubSocket } from './wrapper/connect.ts';
export type { ShareableServerOptions, TlshubServer } from './wrapper/server/create-server.ts';
export type { ServerSharedOptions } from './wrapper/server/server-sharing.ts';
export type { ServerSharingInfo } from './wrapper/server/share-server.ts';
export type { SessionInfo } from './wrapper/sessions.ts';
export type { SharingInfo } from './wrapper/sharing-info.ts';
export type { SharedOptions } from './wrapper/sharing-options.ts';
export { Agent, attach, connect, createSecureContext, createServer, Server, sessions, TlshubError };

/** tls.Server with `shared`, as {@link createServer}. */
const Server = sharingClass(nodeTls.Server, 'tls') as unknown as new (
  options?: ShareableServerOptions,
  listener?: (socket: TlshubSocket) => void,
) => TlshubServer;

const own = { Agent, attach, connect, createSecureContext, createServer, Server, sessions, TlshubError };

/** All of node:tls with the names above in place; what an application changes on node:tls is seen through it. */
const tlshub: typeof nodeTls & typeof own = Object.assign(Object.create(nodeTls), own);

// The `DEFAULT_…` settings are variables of node:tls: setting one here must set it there.
for (const name of Object.keys(nodeTls).filter((key) => key.startsWith('DEFAULT_'))) {
  const settings = nodeTls as unknown as Record<string, unknown>;
  Object.defineProperty(tlshub, name, {
    enumerable: true,
    get: () => settings[name],
    set: (value) => {
      settings[name] = value;
    },
  });
}

export default tlshub;
