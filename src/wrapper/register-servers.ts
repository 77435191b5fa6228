// The servers of an unchanged application: replaces tls.createServer and tls.Server, which https.Server calls and which
// the servers of http2 extend when that module is loaded later, so that an option `shared` is understood, and servers
// that say nothing are shared where the policy says so. All else is Node's own. Called by register.ts, once.
import https from 'node:https';
import tls, { type Server, type TlsOptions } from 'node:tls';
import { codeOf, isTlshubErrorCode } from '../errors.ts';
import { normalizeListenArguments } from './server/listen-arguments.ts';
import { type ServerKind, sharedOf, shareNodeServer } from './server/share-node-server.ts';
import type { ServerPolicy } from './share-policy.ts';

type Method = (...args: unknown[]) => unknown;

/** What a server that is shared by policy has beside Node's; gone again where the policy does not want its port. */
const OWN_METHODS = ['setSecureContext', 'addContext', 'setTicketKeys', 'getTicketKeys'] as const;
const OWN_MEMBERS = ['listen', 'handOff', 'sharing', ...OWN_METHODS] as const;

/** Replaces Node's constructors; the caller syncs the exports of its modules. */
export function registerServers(policy: ServerPolicy): void {
  const NodeServer = tls.Server;
  const decide = (server: Server, options: unknown, kind: ServerKind): Server => {
    const shared = sharedOf(options);
    if (shared !== undefined) shareNodeServer(server, options, shared, kind);
    else if (!policy.sharesNothing) shareByPolicy(server, options, kind, policy);
    return server;
  };
  const SharingServer: typeof NodeServer = new Proxy(NodeServer, {
    construct(target, args, newTarget) {
      const server = Reflect.construct(target, args, newTarget) as Server;
      return decide(server, args[0], newTarget.name === 'Http2SecureServer' ? 'http2' : 'tls');
    },
    apply(target, self: unknown, args: unknown[]) {
      if (!(self instanceof target)) return decide(Reflect.construct(target, args) as Server, args[0], 'tls');
      Reflect.apply(target as unknown as Method, self, args);
      decide(self, args[0], self instanceof https.Server ? 'https' : 'tls');
      return undefined;
    },
  });
  const createServer = (...args: [TlsOptions?, never?]) => new SharingServer(...(args as [TlsOptions]));
  Object.assign(tls, { Server: SharingServer, createServer: likeNodes(createServer, tls.createServer) });
  replaceLoadedHttp2(decide);
}

/** Classes of http2 that were made before extend Node's own tls.Server for good. */
function replaceLoadedHttp2(decide: (server: Server, options: unknown, kind: ServerKind) => Server): void {
  const { moduleLoadList } = process as unknown as { moduleLoadList?: readonly string[] };
  // Loading it for nothing would cost every program 4 to 17 ms.
  if (moduleLoadList?.includes('NativeModule internal/http2/core') === false) return;
  const http2 = process.getBuiltinModule('node:http2');
  const { createSecureServer } = http2;
  const create = (...args: unknown[]) =>
    decide(Reflect.apply(createSecureServer, http2, args), args[0], 'http2');
  Object.assign(http2, { createSecureServer: likeNodes(create, createSecureServer) });
}

/** Shares a server that says nothing, until it listens on a port that the policy does not name. */
function shareByPolicy(server: Server, options: unknown, kind: ServerKind, policy: ServerPolicy): void {
  shareNodeServer(server, options, true, kind);
  const own = server as unknown as Record<string, Method>;
  // What cannot be shared listens by itself, and says why.
  if (!Object.hasOwn(own, 'listen')) return;
  const keepTo = () => {
    for (const name of OWN_MEMBERS) Reflect.deleteProperty(server, name);
  };
  const { listen } = own;
  own.listen = (...args) => {
    const wanted = normalizeListenArguments(args);
    const port = 'nodes' in wanted ? null : wanted.address.port;
    if (policy.sharesPort(port)) own.listen = listen as Method;
    else keepTo();
    return own.listen?.(...args);
  };
  for (const name of OWN_METHODS) {
    const method = own[name] as Method;
    own[name] = (...args) => {
      try {
        return method(...args);
      } catch (error) {
        // The program knows nothing of tlshub: what cannot cross ends the sharing, while that can be done.
        if (server.listening || !isTlshubErrorCode(codeOf(error))) throw error;
        keepTo();
        return own[name]?.(...args);
      }
    };
  }
}

/** A function that looks like one of Node's. */
function likeNodes<Nodes extends object>(ours: object, nodes: Nodes): Nodes {
  const { prototype: _prototype, ...properties } = Object.getOwnPropertyDescriptors(
    nodes,
  ) as PropertyDescriptorMap;
  return Object.defineProperties(ours, properties) as Nodes;
}
