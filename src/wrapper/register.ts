// Makes the TLS of an unchanged application shared: replaces tls.connect, tls.createSecureContext, https.Agent and
// https.globalAgent on Node's module objects, where https, http2, fetch, WebSocket and libraries find them; the servers
// are register-servers.ts. What the policy does not share, and what cannot be shared, goes to Node's own functions as
// before. Called by ../register.ts.
import { realpathSync } from 'node:fs';
import https from 'node:https';
import { syncBuiltinESMExports } from 'node:module';
import tls, { type ConnectionOptions } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../errors.ts';
import { Agent, type AgentOptions, adoptAgent, agentSettings, nodeOptions } from './agent.ts';
import { connect, type ShareableConnectionOptions } from './connect.ts';
import { normalizeConnectArguments } from './connect-arguments.ts';
import { nodeConnect } from './node-connect.ts';
import { registerServers } from './register-servers.ts';
import { createSecureContext } from './secure-context.ts';
import {
  parseServerPolicy,
  parseSharePolicy,
  SERVE_ALONE,
  SHARE_NOTHING,
  type SharePolicy,
} from './share-policy.ts';
import { showTlsToHttp2 } from './tls-for-http2.ts';

type Options = AgentOptions | null;

let isRegistered = false;

/**
 * Replaces Node's functions, once. With TLSHUB=off it leaves everything as it is; with a TLSHUB_SHARE or a
 * TLSHUB_SHARE_SERVERS that cannot be understood it warns, and shares only what asks for it.
 */
export function register(): void {
  if (isRegistered || process.env.TLSHUB === 'off' || isOwnCommand()) return;
  isRegistered = true;
  const policy = policyOf('TLSHUB_SHARE', parseSharePolicy, SHARE_NOTHING, 'session');
  Object.assign(tls, { connect: connectBy(policy), createSecureContext });
  const AgentOfPolicy = agentBy(policy);
  const { globalAgent } = https;
  const isNodes = Object.getPrototypeOf(globalAgent) === https.Agent.prototype;
  Object.assign(https, {
    Agent: AgentOfPolicy,
    // A program may have put an agent of its own there already.
    ...(isNodes && { globalAgent: new AgentOfPolicy(globalAgent.options) }),
  });
  registerServers(policyOf('TLSHUB_SHARE_SERVERS', parseServerPolicy, SERVE_ALONE, 'server'));
  syncBuiltinESMExports();
}

/** True in tlshub's own command: a daemon must not ask a daemon for its sessions. */
function isOwnCommand(): boolean {
  const [, script] = process.argv;
  if (script === undefined) return false;
  try {
    return realpathSync(script) === realpathSync(fileURLToPath(new URL('../cli/main.js', import.meta.url)));
  } catch {
    return false;
  }
}

/** What a variable of the environment says; one that cannot be understood shares nothing. */
function policyOf<Policy>(
  code: string,
  parse: (text: string | undefined) => Policy,
  nothing: Policy,
  what: string,
): Policy {
  try {
    return parse(process.env[code]);
  } catch (error) {
    process.emitWarning(`${messageOf(error)}. No TLS ${what} is shared.`, { code });
    return nothing;
  }
}

/** tls.connect for a program that does not say `shared`; where it does, that is what happens. */
function connectBy(policy: SharePolicy): typeof tls.connect {
  function connectByPolicy(...args: unknown[]): tls.TLSSocket {
    const { options, callback } = normalizeConnectArguments(args);
    const { shared = policy.shares(options) } = options as ShareableConnectionOptions;
    if (shared === false) return nodeConnect(...(args as [ConnectionOptions]));
    if (String(options.ALPNProtocols) === 'h2') showTlsToHttp2();
    return connect({ ...options, shared }, callback);
  }
  const { prototype: _prototype, ...properties } = Object.getOwnPropertyDescriptors(
    nodeConnect,
  ) as PropertyDescriptorMap;
  return Object.defineProperties(connectByPolicy, properties) as typeof tls.connect;
}

/** https.Agent by the policy. Like Node's it can be called without `new`, and from the constructor of a heir. */
function agentBy(policy: SharePolicy): new (options?: Options) => Agent {
  const NodeAgent = https.Agent;
  const settle = (agent: https.Agent, options: Options | undefined) => {
    const { shared, ...settings } = agentSettings(options);
    const keepsInProcess = Boolean(options?.keepAlive);
    adoptAgent(agent, { ...settings, keepsInProcess, shared: shared ?? ((target) => policy.shares(target)) });
    if (policy.sharesNothing && shared === undefined) {
      Object.assign(agent, { keepAlive: keepsInProcess });
      agent.options.keepAlive = options?.keepAlive;
    }
  };

  class SharingAgent extends Agent {
    constructor(options?: Options) {
      super(options);
      settle(this, options);
    }
  }
  Object.defineProperties(SharingAgent, {
    name: { value: 'Agent' },
    // Agents that were made before count too, but not for the classes of heirs.
    [Symbol.hasInstance]: {
      value(this: { prototype: object }, value: unknown): boolean {
        if (this.prototype === SharingAgent.prototype) return value instanceof NodeAgent;
        return Function.prototype[Symbol.hasInstance].call(this, value);
      },
    },
  });

  const callable = new Proxy(SharingAgent, {
    apply(_target, self: unknown, [options]: [Options | undefined]) {
      if (!Object.prototype.isPrototypeOf.call(SharingAgent.prototype, self as object))
        return new callable(options);
      Reflect.apply(NodeAgent, self, [{ ...nodeOptions(options), keepAlive: true }]);
      settle(self as https.Agent, options);
      return undefined;
    },
  });
  SharingAgent.prototype.constructor = callable;
  return callable;
}
